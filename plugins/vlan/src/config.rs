//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::{
    conf::IpamConf,
    parent::Named,
    status::{self, not_available},
};
use cni::{Call, Dns};
use kernel::{Link, LinkKind, NewKind, Vlan};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Error;

/// VLAN IDs end here (IEEE 802.1Q).
const LAST_VLAN: u16 = 4094;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// The link that carries the VLAN; it must be up. Required.
    #[schemars(extend("examples" = ["eth0"]))]
    master: String,
    /// The VLAN. A master has one interface for each of its VLANs, in whatever namespace.
    #[schemars(range(min = 0, max = LAST_VLAN), extend("examples" = [5]))]
    vlan_id: i64,
    /// MTU of the pod's interface in bytes, at most the master's; 0 is the master's.
    #[schemars(range(min = 0), extend("x-unit" = "bytes", "examples" = [1450]))]
    mtu: i64,
    /// The master is in the container's namespace.
    #[schemars(extend("x-since" = "1.3.0"))]
    link_in_container: bool,
    ipam: IpamConf,
    dns: Dns,
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    master: String,
    inside: bool,
    pub vlan: Vlan,
    pub mtu: i64,
    pub ipam: IpamConf,
    pub dns: Dns,
}

impl NetConf {
    /// The pod has nothing but what IPAM gives, on nothing but the master.
    fn demand_master_and_ipam(&self) -> Result<(), Error> {
        if self.master.is_empty() {
            return Err(Error::NoMaster);
        }
        if self.ipam.is_none() {
            return Err(Error::NoIpam);
        }
        Ok(())
    }

    fn vlan(&self) -> Result<Vlan, Error> {
        let id = u16::try_from(self.vlan_id).ok();
        let id = id.filter(|id| *id <= LAST_VLAN);
        Ok(Vlan {
            id: id.ok_or(Error::VlanId(self.vlan_id))?,
            ..Vlan::default()
        })
    }
}

impl Config {
    /// Reads and checks all of it that can be checked without the master, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type or with an impossible value; no master, no IPAM.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf: NetConf = call.config()?;
        conf.demand_master_and_ipam()?;
        Ok(Self {
            vlan: conf.vlan()?,
            master: conf.master,
            inside: conf.link_in_container,
            mtu: conf.mtu,
            ipam: conf.ipam,
            dns: conf.dns,
        })
    }

    pub(crate) fn master(&self) -> Named<'_> {
        Named {
            master: &self.master,
            inside: self.inside,
        }
    }
}

/// Whether a link is of the kind that this plugin makes.
pub(crate) fn is_vlan(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Vlan(_))
}

/// STATUS: answers 50 where ADD cannot work; then IPAM is asked. Values that ADD refuses as wrong
/// are not judged, as in the reference plugins.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let conf: NetConf = call.config()?;
    attach::status::may_change_networks()?;
    conf.demand_master_and_ipam().map_err(not_available)?;
    let named = Named {
        master: &conf.master,
        inside: conf.link_in_container,
    };
    status::parent(named)?.map_or(Ok(()), |parent| is_up(&parent))?;
    status::kernel_has(&NewKind::Vlan(Vlan::default()))?;
    status::ask_ipam(call, &conf.ipam)
}

/// The kernel sets no VLAN up on a link that is down.
fn is_up(parent: &Link) -> Result<(), cni::Error> {
    match parent.up {
        true => Ok(()),
        false => Err(not_available(Error::MasterDown(parent.name.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlan_ids_are_those_of_802_1q_and_zero() {
        let vlan = |vlan_id| {
            let conf = NetConf {
                vlan_id,
                ..NetConf::default()
            };
            conf.vlan().map(|vlan| vlan.id).map_err(|e| e.to_string())
        };
        for id in [0, 1, 4094] {
            assert_eq!(vlan(i64::from(id)), Ok(id));
        }
        for id in [-1, 4095, 65536 + 5, i64::MAX] {
            let text = format!("invalid VLAN ID {id} (must be between 0 and 4094)");
            assert_eq!(vlan(id), Err(text));
        }
    }
}
