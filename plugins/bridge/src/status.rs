//! STATUS: whether ADD can be serviced.

use attach::status::not_available;
use cni::Call;
use kernel::{Link, LinkKind, Netlink, vlan::has_bridge_vlans};

use crate::{
    config::{self, NetConf},
    device,
    error::Error,
    flood_suppression, vlan_gateway,
};

/// Answers 50 where ADD cannot work: the
/// bridge's name is taken or refused by the kernel, the bridge has no free port, the kernel has no ports without flooding
/// or no flowtables where they are asked for, packets cannot be masqueraded. Then IPAM is asked.
///
/// Values that ADD refuses as wrong are not judged here, as in the reference plugins.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let conf: NetConf = call.config()?;
    attach::status::may_change_networks()?;
    let bridge = bridge_can_be_used(conf.bridge_name())?;
    vlans_can_be_had(&conf, bridge.as_ref())?;
    if conf.suppress_flooding {
        flood_suppression::is_usable().map_err(not_available)?;
    }
    attach::flowtable::is_usable(&conf.flowtable_uplinks)?;
    attach::status::ready(call, &conf.ipam, conf.masquerading())
}

/// The bridge, if it is there already.
fn bridge_can_be_used(name: &str) -> Result<Option<Link>, cni::Error> {
    let name = config::bridge_name(name).map_err(not_available)?;
    let host = Netlink::open().map_err(Error::from)?;
    match host.link(&name).map_err(Error::from)? {
        Some(link) if !matches!(link.kind, LinkKind::Bridge { .. }) => {
            Err(not_available(Error::NotABridge {
                name: name.to_string(),
            }))
        }
        Some(bridge) => match device::has_room(&host, &bridge) {
            Ok(()) => Ok(Some(bridge)),
            Err(full @ Error::NoFreePort { .. }) => Err(not_available(full)),
            Err(other) => Err(other.into()),
        },
        None => Ok(None),
    }
}

fn vlans_can_be_had(conf: &NetConf, bridge: Option<&Link>) -> Result<(), cni::Error> {
    // Numbers that are no VLANs are not judged here.
    let Ok(Some(vlans)) = conf.vlans() else {
        return Ok(());
    };
    let name = config::bridge_name(conf.bridge_name())?;
    if conf.is_gateway() {
        vlan_gateway::of(&name, &vlans).map_err(not_available)?;
    }
    if bridge.is_some_and(device::filters) || has_bridge_vlans().map_err(Error::from)? {
        return Ok(());
    }
    let name = name.to_string();
    Err(not_available(Error::NoVlanFiltering { name }))
}
