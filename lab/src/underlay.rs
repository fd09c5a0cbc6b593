//! Underlays: bridges in the keeper's network namespace that join nodes and routers, as switches do.
//! Nothing of them is in the machine's own network.

use anyhow::{Context, Result};
use ipnetwork::IpNetwork;
use kernel::{
    IfName, Link, LinkChange, LinkIndex, NetNs, Netlink, NewKind, NewLink, Peer, Route, if_there,
    sysctl,
};
use sandbox::Process;

use crate::impairment::{Ends, Impairment};
use crate::topology::{Cable, Underlay};

/// What has bridges show their packets to iptables, ip6tables and arptables (br_netfilter).
const SHOWN_TO_FILTERS: [&str; 3] = [
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
];

/// Makes the bridge of an underlay.
///
/// # Errors
/// The kernel refused.
pub fn create(keeper: &Process, underlay: &Underlay) -> Result<()> {
    make_bridge(keeper, underlay).with_context(|| format!("make the underlay {}", underlay.name))
}

fn make_bridge(keeper: &Process, underlay: &Underlay) -> Result<()> {
    let name: IfName = underlay.name.as_str().parse()?;
    let namespace = namespace(keeper)?;
    be_a_switch(&namespace)?;
    let netlink = Netlink::open_in(&namespace)?;
    let kind = NewKind::Bridge {
        vlan_filtering: false,
    };
    let bridge = netlink.add_link(&NewLink {
        mtu: underlay.mtu,
        ..NewLink::new(&name, kind)
    })?;
    add_addresses(&netlink, bridge.index, &underlay.bridge_addresses())?;
    set_up(&netlink, bridge.index)
}

/// Keeps netfilter out of what a namespace's bridges forward: no switch has any, and the look alone costs some 5 % of
/// a packet's way from node to node. Where br_netfilter is loaded, every new namespace has it on.
///
/// # Errors
/// The namespace cannot be entered, or the kernel refused.
pub(crate) fn be_a_switch(namespace: &NetNs) -> Result<()> {
    // It may not be loaded, and Linux before 5.3 has it for the whole machine, which is left as it is.
    let hide = |key| if_there(sysctl::set(key, "0")).map(drop);
    namespace.run(|| SHOWN_TO_FILTERS.into_iter().try_for_each(hide))??;
    Ok(())
}

/// Lays a cable between an underlay's bridge and a member's namespaces, with what the member needs to use it.
///
/// # Errors
/// The kernel refused, or the member has ended.
pub fn connect(keeper: &Process, member: &Process, cable: &Cable) -> Result<()> {
    plug_in(keeper, member, cable)
        .with_context(|| format!("connect {} to the underlay {}", cable.port, cable.underlay))
}

fn plug_in(keeper: &Process, member: &Process, cable: &Cable) -> Result<()> {
    let inside = namespace(member)?;
    let (port, interface): (IfName, IfName) = (cable.port.parse()?, cable.interface.parse()?);
    let netlink = Netlink::open_in(&namespace(keeper)?)?;
    let bridge = find(&netlink, &cable.underlay.as_str().parse()?)?;
    let peer = Peer {
        name: &interface,
        ns: Some(&inside),
        mac: None,
    };
    let pair = NewLink {
        alias: Some("podwire lab underlay"),
        master: Some(bridge.index),
        mtu: cable.mtu,
        up: true,
        ..NewLink::new(&port, NewKind::Veth(peer))
    };
    netlink.add_link(&pair)?;
    configure(&Netlink::open_in(&inside)?, &interface, cable)?;
    if cable.impairment == Impairment::default() {
        return Ok(());
    }
    Ends::of(keeper, member, cable)?.apply(&cable.impairment)
}

fn configure(netlink: &Netlink, interface: &IfName, cable: &Cable) -> Result<()> {
    let loopback = find(netlink, &"lo".parse()?)?;
    set_up(netlink, loopback.index)?;
    let interface = find(netlink, interface)?;
    add_addresses(netlink, interface.index, &cable.addresses)?;
    set_up(netlink, interface.index)?;
    for hop in &cable.routes {
        let mut route = Route::to(hop.to);
        route.gateway = Some(hop.via);
        route.link = Some(interface.index);
        netlink.add_route(&route)?;
    }
    Ok(())
}

/// Usable at once: nobody else has them.
fn add_addresses(netlink: &Netlink, link: LinkIndex, addresses: &[IpNetwork]) -> Result<()> {
    for address in addresses {
        netlink.add_address_nodad(link, *address)?;
    }
    Ok(())
}

/// Pulls the cable of a node, or plugs it in again.
///
/// # Errors
/// The kernel refused, or there is no such port.
pub fn set_cable(keeper: &Process, port: &str, plugged: bool) -> Result<()> {
    let underlay = namespace(keeper)?;
    let port: IfName = port.parse()?;

    let netlink = Netlink::open_in(&underlay)?;
    let link = find(&netlink, &port)?;
    let change = LinkChange {
        up: Some(plugged),
        ..LinkChange::default()
    };
    Ok(netlink.set_link(link.index, &change)?)
}

fn namespace(process: &Process) -> Result<NetNs> {
    Ok(NetNs::open(format!("/proc/{}/ns/net", process.pid))?)
}

fn find(netlink: &Netlink, name: &IfName) -> Result<Link> {
    netlink
        .link(name)?
        .with_context(|| format!("there is no link {name}"))
}

fn set_up(netlink: &Netlink, link: LinkIndex) -> Result<()> {
    let change = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    Ok(netlink.set_link(link, &change)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::testing::World;

    #[test]
    fn filters_see_nothing_of_what_a_switch_forwards() {
        let Some(_world) = World::new() else { return };
        be_a_switch(&NetNs::current().unwrap()).unwrap();
        for key in SHOWN_TO_FILTERS {
            match sysctl::get(key) {
                Ok(value) => assert_eq!(value, "0", "{key}"),
                Err(error) => assert!(error.is_gone(), "{error}"),
            }
        }
    }
}
