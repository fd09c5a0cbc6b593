//! The plugin's configuration: as written, then which of its sources counts.
use std::net::IpAddr;

use cni::{Call, Dns, IpConfig, Route, SpecVersion, json, json::parse_cidr};
use ipnetwork::IpNetwork;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Error;

/// What ADD gives.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) ips: Vec<IpConfig>,
    pub(super) routes: Vec<Route>,
    pub(super) dns: Dns,
}

/// Where addresses may come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The configuration and `CNI_ARGS`.
    Everything,
    /// The configuration: `CNI_ARGS` belongs to a container.
    WithoutArgs,
}

impl Config {
    pub(super) fn load(call: &Call<'_>, source: Source) -> Result<Self, Error> {
        let net: Net = cni::json::from_slice(call.stdin)?;
        let ipam = net.ipam.ok_or(Error::NoIpam)?;
        let from_args = match source {
            Source::Everything => requested_by_args(call)?,
            Source::WithoutArgs => Vec::new(),
        };
        let runtime = requested(&net.runtime_config.ips)?;
        let hints = requested(&net.args.cni.ips)?;
        let ips = match (runtime.is_empty(), hints.is_empty()) {
            (false, _) => runtime,
            (true, false) => hints,
            (true, true) => configured(&ipam.addresses)?
                .into_iter()
                .chain(from_args)
                .collect(),
        };
        fits_in(call.version, &ips)?;
        Ok(Self {
            ips,
            routes: ipam.routes,
            dns: ipam.dns,
        })
    }
}

fn configured(addresses: &[Address]) -> Result<Vec<IpConfig>, Error> {
    let read = |one: &Address| {
        let address = parse_cidr(&one.address).map_err(|_| Error::Address(one.address.clone()))?;
        Ok(given(address, one.gateway))
    };
    addresses.iter().map(read).collect()
}

fn requested(texts: &[String]) -> Result<Vec<IpConfig>, Error> {
    let read = |text: &String| {
        let address = parse_cidr(text).map_err(|_| Error::RequestedAddress(text.clone()))?;
        Ok(given(address, None))
    };
    texts.iter().map(read).collect()
}

/// `IP` and `GATEWAY` of `CNI_ARGS`, lists with commas. A gateway belongs to every address of
/// `IP` in whose subnet it lies; the last one wins.
fn requested_by_args(call: &Call<'_>) -> Result<Vec<IpConfig>, Error> {
    let args = call.cni_args(&["IP", "GATEWAY"]).map_err(Error::Protocol)?;
    let mut ips = list(args.get("IP"))
        .map(|text| parse_cidr(text).map_err(|_| Error::ArgsAddress(text.to_owned())))
        .map(|address| Ok(given(address?, None)))
        .collect::<Result<Vec<IpConfig>, Error>>()?;
    for text in list(args.get("GATEWAY")) {
        let gateway = cni::json::parse_ip(text).map_err(|_| Error::ArgsGateway(text.to_owned()))?;
        let served = ips.iter_mut().filter(|ip| ip.address.contains(gateway));
        served.for_each(|ip| ip.gateway = Some(gateway));
    }
    Ok(ips)
}

/// The pieces of a list with commas; none where it is empty or absent.
fn list(text: Option<&str>) -> impl Iterator<Item = &str> {
    let text = text.filter(|text| !text.is_empty());
    text.into_iter()
        .flat_map(|text| text.split(',').map(str::trim))
}

fn given(address: IpNetwork, gateway: Option<IpAddr>) -> IpConfig {
    IpConfig {
        address,
        gateway,
        interface: None,
    }
}

/// Results before 0.3.0 have one place per family.
fn fits_in(version: SpecVersion, ips: &[IpConfig]) -> Result<(), Error> {
    let v4 = ips.iter().filter(|ip| ip.address.is_ipv4()).count();
    match version < SpecVersion::V0_3_0 && (v4 > 1 || ips.len() - v4 > 1) {
        true => Err(Error::TwoPerFamily(version)),
        false => Ok(()),
    }
}

/// The configuration of a network whose addresses are written down.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Net {
    /// Where the addresses come from.
    ipam: Option<Ipam>,
    /// Hints of whoever wrote the configuration for one container.
    args: Args,
    /// What the runtime asks for.
    runtime_config: RuntimeConfig,
}

/// The `ipam` object of type `static`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Ipam {
    /// The pod's addresses. Those of `CNI_ARGS` come behind them; `args.cni.ips` and
    /// `runtimeConfig.ips` take their place.
    addresses: Vec<Address>,
    /// The pod's routes.
    routes: Vec<Route>,
    /// The pod's name resolution.
    dns: Dns,
}

/// One address of the pod.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Address {
    /// The address with the prefix length of its subnet, `10.1.2.3/24`.
    #[schemars(with = "json::Cidr", extend("examples" = ["10.1.2.3/24"]))]
    address: String,
    /// The subnet's gateway, which routes without a next hop of their own go by.
    #[serde(with = "cni::json::ip")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.2.1"]))]
    gateway: Option<IpAddr>,
}

/// The `args` object.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Args {
    /// Hints by the CNI conventions.
    cni: CniArgs,
}

/// The `args.cni` object.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct CniArgs {
    /// Addresses with prefix lengths, in place of the configured ones.
    #[schemars(with = "Vec<json::Cidr>", extend("examples" = [["10.1.2.3/24"]]))]
    ips: Vec<String>,
}

/// The `runtimeConfig` object.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RuntimeConfig {
    /// Addresses with prefix lengths, in place of all others (capability `ips`).
    #[schemars(with = "Vec<json::Cidr>", extend("examples" = [["10.1.2.3/24"]]))]
    ips: Vec<String>,
}
