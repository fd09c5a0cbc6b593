//! The underlay: a bridge in the keeper's network namespace that joins the nodes, as a switch does.
//! Nothing of it is in the machine's own network.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{IfName, Link, LinkChange, LinkIndex, NetNs, Netlink, NewKind, NewLink, Peer, Route};
use sandbox::Process;

/// The nodes' network: `192.168.50.0/24`.
const PREFIX: [u8; 3] = [192, 168, 50];
const PREFIX_LENGTH: u8 = 24;
/// The most nodes whose addresses do not meet the ones below.
pub const MOST_NODES: u8 = 64;
/// The bridge's own, which is the nodes' default gateway.
const GATEWAY: u8 = 253;
/// The etcd server's.
const ETCD: u8 = 254;
/// The interface of every node.
pub const INTERFACE: &str = "eth0";
const BRIDGE: &str = "underlay";

/// The address of the node with this number, from 1.
pub fn node_address(number: u8) -> Ipv4Addr {
    address(number)
}

/// The address of the etcd server.
pub fn etcd_address() -> Ipv4Addr {
    address(ETCD)
}

fn address(last: u8) -> Ipv4Addr {
    let [a, b, c] = PREFIX;
    Ipv4Addr::new(a, b, c, last)
}

fn with_prefix(address: Ipv4Addr) -> Result<IpNetwork> {
    Ok(IpNetwork::V4(Ipv4Network::new(address, PREFIX_LENGTH)?))
}

/// Makes the bridge.
///
/// # Errors
/// The kernel refused.
pub fn create(keeper: &Process) -> Result<()> {
    make_bridge(keeper).context("make the underlay")
}

fn make_bridge(keeper: &Process) -> Result<()> {
    let bridge: IfName = BRIDGE.parse()?;
    let netlink = Netlink::open_in(&namespace(keeper)?)?;
    let kind = NewKind::Bridge {
        vlan_filtering: false,
    };
    netlink.add_link(&NewLink::new(&bridge, kind))?;
    let bridge = find(&netlink, &bridge)?;
    netlink.add_address(bridge.index, with_prefix(address(GATEWAY))?)?;
    set_up(&netlink, bridge.index)
}

/// Connects a member's namespaces to the bridge: `eth0` with an address and a default route.
///
/// # Errors
/// The kernel refused, or the member has ended.
pub fn connect(keeper: &Process, member: &Process, port: &str, own: Ipv4Addr) -> Result<()> {
    plug_in(keeper, member, port, own).with_context(|| format!("connect {port} to the underlay"))
}

fn plug_in(keeper: &Process, member: &Process, port: &str, own: Ipv4Addr) -> Result<()> {
    let underlay = namespace(keeper)?;
    let inside = namespace(member)?;
    let (port, interface): (IfName, IfName) = (port.parse()?, INTERFACE.parse()?);
    let netlink = Netlink::open_in(&underlay)?;
    let bridge = find(&netlink, &BRIDGE.parse()?)?;
    let peer = Peer {
        name: &interface,
        ns: Some(&inside),
        mac: None,
    };
    let pair = NewLink {
        alias: Some("podwire lab underlay"),
        master: Some(bridge.index),
        up: true,
        ..NewLink::new(&port, NewKind::Veth(peer))
    };
    netlink.add_link(&pair)?;
    configure(&Netlink::open_in(&inside)?, &interface, own)
}

fn configure(netlink: &Netlink, interface: &IfName, own: Ipv4Addr) -> Result<()> {
    let loopback = find(netlink, &"lo".parse()?)?;
    set_up(netlink, loopback.index)?;
    let interface = find(netlink, interface)?;
    netlink.add_address(interface.index, with_prefix(own)?)?;
    set_up(netlink, interface.index)?;
    let everything = IpNetwork::V4(Ipv4Network::new(Ipv4Addr::UNSPECIFIED, 0)?);
    let mut route = Route::to(everything);
    route.gateway = Some(address(GATEWAY).into());
    route.link = Some(interface.index);
    Ok(netlink.add_route(&route)?)
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
