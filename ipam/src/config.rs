//! The plugin's configuration: as written, then checked.
use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use cni::{Call, Route, SpecVersion, json::Cidr};
use ipnetwork::IpNetwork;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::{
    Error, Range, RangeError, RangeSet,
    cidr::{parse_address_or_cidr, parse_cidr},
    route,
};

/// Where reservations lie when `dataDir` is not given.
const DATA_DIR: &str = "/var/lib/cni/networks";

/// What ADD and STATUS need.
#[derive(Debug)]
pub(crate) struct Config {
    /// `ipRanges` of the runtime, then the inline range, then `ranges`; an attachment gets one
    /// address from each.
    pub(crate) sets: Vec<RangeSet>,
    /// Requested addresses of every source, each once.
    pub(crate) requested: Vec<IpAddr>,
    pub(crate) routes: Vec<Route>,
    /// File to read DNS settings from.
    pub(crate) resolv_conf: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
}

impl Config {
    /// Reads and checks everything, `CNI_ARGS` included.
    pub(crate) fn load(call: &Call<'_>) -> Result<Self, Error> {
        let net: Net = cni::json::from_slice(call.stdin)?;
        let ipam = net.ipam.ok_or(Error::NoIpam)?;
        let requested = requested(call, &net.args, &net.runtime_config)?;
        let data_dir = data_dir(&ipam.data_dir);
        let resolv_conf = (!ipam.resolv_conf.is_empty()).then(|| ipam.resolv_conf.clone().into());
        let written = written_sets(net.runtime_config.ip_ranges, &ipam.inline(), ipam.ranges);
        let sets = check_sets(&written, call.version)?;
        Ok(Self {
            sets,
            requested,
            routes: ipam.routes,
            resolv_conf,
            data_dir,
        })
    }

    /// Whether an interface can have the addresses and the routes.
    ///
    /// # Errors
    /// What the kernel refuses of every interface plugin.
    pub(crate) fn is_usable(&self) -> Result<(), Error> {
        for (set, ranges) in self.sets.iter().enumerate() {
            let usable = ranges.is_usable();
            usable.map_err(|source| Error::RangeSet { set, source })?;
        }
        Ok(route::check(&self.routes)?)
    }
}

/// What DEL, CHECK and GC need: where the reservations lie. Ranges may be wrong or missing, a
/// runtime may have forgotten `ipRanges`.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    /// Whether there is an `ipam` object at all.
    pub(crate) configured: bool,
    /// How many range sets are written, well or badly.
    pub(crate) sets: usize,
}

impl Place {
    pub(crate) fn load(call: &Call<'_>) -> Result<Self, Error> {
        let net: PlaceNet = cni::json::from_slice(call.stdin)?;
        let sets = net.runtime_config.ip_ranges.0;
        let Some(ipam) = net.ipam else {
            return Ok(Self {
                data_dir: DATA_DIR.into(),
                configured: false,
                sets,
            });
        };
        let sets = sets + usize::from(ipam.subnet.0 > 0) + ipam.ranges.0;
        Ok(Self {
            data_dir: data_dir(&ipam.data_dir),
            configured: true,
            sets,
        })
    }
}

/// Whether the configuration declares the capability `ipRanges`.
pub(crate) fn takes_ranges(call: &Call<'_>) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Declared {
        capabilities: BTreeMap<String, bool>,
    }
    let declared = cni::json::from_slice::<Declared>(call.stdin).unwrap_or_default();
    declared.capabilities.get("ipRanges") == Some(&true)
}

fn data_dir(written: &str) -> PathBuf {
    Path::new(if written.is_empty() {
        DATA_DIR
    } else {
        written
    })
    .to_owned()
}

/// `CNI_ARGS`, then `args.cni.ips`, then `runtimeConfig.ips`; they add up.
fn requested(call: &Call<'_>, args: &Args, runtime: &RuntimeConfig) -> Result<Vec<IpAddr>, Error> {
    let from_env = requested_by_env(call)?.map(|address| Requested(Some(address)));
    let mut requested = Vec::new();
    for Requested(address) in from_env.iter().chain(&args.cni.ips).chain(&runtime.ips) {
        let address = address.ok_or(Error::EmptyRequest)?;
        if !requested.contains(&address) {
            requested.push(address);
        }
    }
    Ok(requested)
}

fn requested_by_env(call: &Call<'_>) -> Result<Option<IpAddr>, Error> {
    let args = call.cni_args(&["IP"]).map_err(Error::Args)?;
    let Some(text) = args.get("IP").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let refused = || {
        Error::Args(cni::Error::msg(format!(
            "ARGS: error parsing value of pair \"IP={text}\": invalid IP address {text}"
        )))
    };
    parse_address_or_cidr(text).map(Some).ok_or_else(refused)
}

fn written_sets(
    runtime: Vec<Vec<WrittenRange>>,
    inline: &WrittenRange,
    ranges: Vec<Vec<WrittenRange>>,
) -> Vec<Vec<WrittenRange>> {
    let inline = inline.subnet.is_some().then(|| vec![inline.clone()]);
    runtime.into_iter().chain(inline).chain(ranges).collect()
}

fn check_sets(written: &[Vec<WrittenRange>], version: SpecVersion) -> Result<Vec<RangeSet>, Error> {
    let sets: Vec<RangeSet> = written
        .iter()
        .enumerate()
        .map(|(set, ranges)| check_set(ranges).map_err(|source| Error::RangeSet { set, source }))
        .collect::<Result<_, _>>()?;
    let v4 = sets.iter().filter(|set| set.is_ipv4()).count();
    if sets.is_empty() {
        return Err(Error::NoRanges);
    }
    if version < SpecVersion::V0_3_0 && (v4 > 1 || sets.len() - v4 > 1) {
        return Err(Error::TwoPerFamily(version));
    }
    for (first, set) in sets.iter().enumerate() {
        if let Some(distance) = sets[first + 1..]
            .iter()
            .position(|other| set.overlaps(other))
        {
            return Err(Error::SetsOverlap {
                first,
                second: first + 1 + distance,
            });
        }
    }
    Ok(sets)
}

fn check_set(ranges: &[WrittenRange]) -> Result<RangeSet, RangeError> {
    let check = |range: &WrittenRange| {
        let subnet = range.subnet.as_ref().map(|subnet| subnet.0);
        Range::new(subnet, range.range_start, range.range_end, range.gateway)
    };
    RangeSet::new(ranges.iter().map(check).collect::<Result<_, _>>()?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Net {
    ipam: Option<Ipam>,
    args: Args,
    runtime_config: RuntimeConfig,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    /// As `subnet` of a range: a short way to write one range, which comes before `ranges`.
    #[schemars(extend("examples" = ["10.1.0.0/24"]))]
    subnet: Option<Subnet>,
    /// As `rangeStart` of a range, beside `subnet`.
    #[serde(with = "cni::json::ip")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.0.10"]))]
    range_start: Option<IpAddr>,
    /// As `rangeEnd` of a range, beside `subnet`.
    #[serde(with = "cni::json::ip")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.0.20"]))]
    range_end: Option<IpAddr>,
    /// As `gateway` of a range, beside `subnet`.
    #[serde(with = "cni::json::ip")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.0.1"]))]
    gateway: Option<IpAddr>,
    /// Sets of ranges. An attachment gets one address of each set; the ranges of a set are of
    /// one family and are used one after the other.
    #[schemars(extend("examples" = [[[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]]))]
    ranges: Vec<Vec<WrittenRange>>,
    /// Routes of the pod. Without `gw` a route is by the gateway of its family.
    #[schemars(extend("examples" = [[{"dst": "0.0.0.0/0"}]]))]
    routes: Vec<Route>,
    /// Where reservations lie, in a directory for each network. One that is shared by nodes is
    /// no safe place.
    #[schemars(extend("default" = DATA_DIR))]
    data_dir: String,
    /// A file in the form of resolv.conf(5), to read the pod's name resolution from.
    #[schemars(extend("examples" = ["/etc/resolv.conf"]))]
    resolv_conf: String,
}

impl Ipam {
    /// The old single range, written beside the other keys.
    fn inline(&self) -> WrittenRange {
        WrittenRange {
            subnet: self.subnet.clone(),
            range_start: self.range_start,
            range_end: self.range_end,
            gateway: self.gateway,
        }
    }
}

#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct WrittenRange {
    /// The subnet, without host bits; /30 or /126 at the smallest.
    #[schemars(extend("examples" = ["10.1.0.0/24"]))]
    subnet: Option<Subnet>,
    /// First address to hand out; without it the subnet's first.
    #[serde(with = "cni::json::ip")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.0.10"]))]
    range_start: Option<IpAddr>,
    /// Last address to hand out; without it the subnet's last, but for the broadcast address.
    #[serde(with = "cni::json::ip")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.0.20"]))]
    range_end: Option<IpAddr>,
    /// The subnet's gateway, which is never handed out; without it the subnet's first address.
    #[serde(with = "cni::json::ip")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.0.1"]))]
    gateway: Option<IpAddr>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Args {
    /// Hints in the form that the conventions of CNI give them.
    cni: CniArgs,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct CniArgs {
    /// Addresses to hand out, each from the set that holds it. They add up with those of
    /// `runtimeConfig` and `IP` of `CNI_ARGS`.
    #[schemars(extend("examples" = [["10.1.0.15"]]))]
    ips: Vec<Requested>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConfig {
    /// Sets of ranges, which come before those of `ipam`.
    ip_ranges: Vec<Vec<WrittenRange>>,
    /// Addresses to hand out.
    #[schemars(extend("examples" = [["10.1.0.15"]]))]
    ips: Vec<Requested>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlaceNet {
    ipam: Option<PlaceIpam>,
    runtime_config: PlaceRuntime,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlaceIpam {
    subnet: Size,
    ranges: Size,
    data_dir: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlaceRuntime {
    ip_ranges: Size,
}

/// A subnet, host bits kept.
#[derive(Clone, JsonSchema)]
struct Subnet(#[schemars(with = "Cidr")] IpNetwork);

/// A requested address, with or without a prefix length; an empty text is refused later, by name.
#[derive(JsonSchema)]
struct Requested(#[schemars(with = "String")] Option<IpAddr>);

/// How many elements a list has, whatever they are; anything else that is there counts as one.
#[derive(Default)]
struct Size(usize);

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let refused = || de::Error::custom(format!("invalid CIDR address: {text}"));
        parse_cidr(&text).map(Self).ok_or_else(refused)
    }
}

impl<'de> Deserialize<'de> for Requested {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let refused = || de::Error::custom(format!("invalid IP address {text}"));
        match text.is_empty() {
            true => Ok(Self(None)),
            false => parse_address_or_cidr(&text)
                .map(|a| Self(Some(a)))
                .ok_or_else(refused),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl<'de> de::Visitor<'de> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Size, A::Error> {
        let mut size = 0;
        while list.next_element::<de::IgnoredAny>()?.is_some() {
            size += 1;
        }
        Ok(Size(size))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Size, A::Error> {
        while map
            .next_entry::<de::IgnoredAny, de::IgnoredAny>()?
            .is_some()
        {}
        Ok(Size(1))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        Ok(Size(usize::from(!text.is_empty())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Size, E> {
        Ok(Size(1))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Size, E> {
        Ok(Size(1))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Size, E> {
        Ok(Size(1))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Size, E> {
        Ok(Size(1))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Size, E> {
        Ok(Size(0))
    }
}
