//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::{
    conf::{self, GSO_MAX_SIZES, IpamConf},
    flowtable::{self, Uplinks},
    masquerade::{self, Masquerading},
    status::{not_available, ready},
};
use cni::{Call, Dns};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Error;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// Masquerades what the pod sends out of its subnet.
    ip_masq: bool,
    /// What masquerades: `nftables` or `iptables`; without it nftables where the kernel has it.
    #[schemars(extend("enum" = ["nftables", "iptables"], "x-since" = "1.6.0"))]
    ip_masq_backend: Option<String>,
    /// MTU of both ends of the pair; 0 is the kernel's default.
    #[schemars(extend("x-unit" = "bytes", "examples" = [1450]))]
    mtu: i64,
    /// BIG TCP: the largest TCP segment of IPv4 that both ends of the pair take at once; 0 is the
    /// kernel's default of 65536, more needs Linux 6.3. Pods that exchange more on one node need
    /// fewer walks through the kernel, but whatever else is on the way must take as much: never
    /// with a tunnel, nor for much traffic through a network card that takes less.
    /// `lab bench net --against` says whether it pays on a machine.
    #[schemars(range(min = 0, max = *GSO_MAX_SIZES.end()), extend("x-unit" = "bytes", "x-since" = "podwire", "examples" = [196_608]))]
    gso_max_size: i64,
    /// nftables flowtables: links by which pods' packets leave the node. Established connections between pods and
    /// them bypass the rules of the forward hook as soon as a packet is larger than 4096 bytes: a stream costs a
    /// sixth less, a short connection a twentieth more, and filters, counters and policies that come later do not see
    /// what is taken. Needs Linux 5.8 with flowtables.
    #[schemars(inner(length(min = 1, max = 15)), extend("x-since" = "podwire", "examples" = [["eth0"]]))]
    flowtable_uplinks: Vec<String>,
    ipam: IpamConf,
    dns: Dns,
}

impl NetConf {
    fn masquerading(&self) -> Result<Option<Masquerading>, masquerade::Error> {
        Masquerading::wanted(self.ip_masq, self.ip_masq_backend.as_deref(), &self.ipam)
    }

    /// The pod has nothing but what IPAM gives.
    fn demand_ipam(&self) -> Result<(), Error> {
        if self.ipam.is_none() {
            return Err(Error::NoIpam);
        }
        Ok(())
    }
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    pub masquerading: Option<Masquerading>,
    /// Bytes; the kernel's default if none.
    pub mtu: Option<u32>,
    /// Bytes; the kernel's default if none.
    pub gso_max_size: Option<u32>,
    pub uplinks: Option<Uplinks>,
    pub ipam: IpamConf,
    pub dns: Dns,
}

impl Config {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type or with an impossible value; no IPAM.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf: NetConf = call.config()?;
        conf.demand_ipam()?;
        Ok(Self {
            masquerading: conf.masquerading().map_err(cni::Error::internal)?,
            mtu: conf::veth_mtu(conf.mtu)?,
            gso_max_size: conf::gso_max_size(conf.gso_max_size)?,
            uplinks: Uplinks::read(&conf.flowtable_uplinks)?,
            ipam: conf.ipam,
            dns: conf.dns,
        })
    }
}

/// STATUS: answers 50 where ADD cannot work; then IPAM is asked.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let conf: NetConf = call.config()?;
    attach::status::may_change_networks()?;
    conf.demand_ipam().map_err(not_available)?;
    flowtable::is_usable(&conf.flowtable_uplinks)?;
    ready(call, &conf.ipam, conf.masquerading())
}
