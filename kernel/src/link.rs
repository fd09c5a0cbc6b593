//! Links: `ip link`, `bridge link`.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::LinkUnspec;

use crate::{IfName, LinkIndex, MacAddr, Netlink, Result};

mod change;
mod create;
mod departure;
mod kind;
mod parse;
mod relocate;
mod support;
pub mod tap;

pub use change::LinkChange;
pub(crate) use change::up_message;
pub use create::{NewKind, NewLink, Peer, VETH_MTU};
pub use departure::{Place, delete_link};
pub use kind::{
    Ipvlan, IpvlanFlag, IpvlanMode, LinkKind, Macvlan, MacvlanMode, Tap, Tunnel, TunnelProtocol,
    Vlan, VlanProtocol, Vxlan,
};
pub use relocate::{Arrival, move_link};

/// A link as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: LinkIndex,
    /// Its name.
    pub name: IfName,
    /// Its hardware address, if it has one of Ethernet's length.
    pub mac: Option<MacAddr>,
    /// Largest packet in bytes, without the link's own header.
    pub mtu: u32,
    /// Administratively up (IFF_UP).
    pub up: bool,
    /// Operationally up, or a kind of link that does not tell (`lo`, tunnels): RFC 2863.
    pub oper_up: bool,
    /// The operational state as `ip link` prints it: `UP`, `DOWN`, `LOWERLAYERDOWN`, `UNKNOWN`…
    pub operstate: &'static str,
    /// Takes all packets (IFF_PROMISC).
    pub promisc: bool,
    /// Takes all multicast packets (IFF_ALLMULTI).
    pub allmulti: bool,
    /// Transmit queue length in packets.
    pub tx_queue_len: u32,
    /// The largest TCP segment of IPv4 that it takes at once, in bytes: the lesser of
    /// `gso_ipv4_max_size` and `gro_ipv4_max_size`, which kernels have from 6.3 on.
    pub gso_ipv4_max_size: Option<u32>,
    /// The bridge (or bond, VRF, team) it is a port of.
    pub master: Option<LinkIndex>,
    /// A text that says whose it is.
    pub alias: Option<String>,
    /// What kind of link.
    pub kind: LinkKind,
    /// A veth's peer, a macvlan's, ipvlan's, VLAN's, VXLAN's lower device (IFLA_LINK); an index in another namespace if
    /// [`peer_elsewhere`](Self::peer_elsewhere).
    pub peer: Option<LinkIndex>,
    /// The peer is in another namespace.
    pub peer_elsewhere: bool,
    /// Its flags as a bridge port, if it is one.
    pub port: Option<BridgePort>,
    /// Loops back (IFF_LOOPBACK).
    pub loopback: bool,
    /// The hardware's own address, whatever the link was given; none for virtual links.
    pub permanent_mac: Option<MacAddr>,
    /// The device on a bus that the link belongs to (`0000:00:05.0`, `virtio0`), from Linux 5.14 on;
    /// none for virtual links.
    pub bus_device: Option<String>,
}

/// Flags of a bridge port: `bridge -d link`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgePort {
    /// Packets may leave through the port they came in by.
    pub hairpin: bool,
    /// Isolated ports do not see each other.
    pub isolated: bool,
    /// Frames to unknown addresses are sent to it, too.
    pub flood: bool,
    /// As [`flood`](Self::flood), multicast frames.
    pub mcast_flood: bool,
    /// As [`flood`](Self::flood), broadcast frames.
    pub bcast_flood: bool,
    /// The bridge answers ARP and neighbour discovery for who is behind it, where it knows them, to
    /// ports without this flag.
    pub neigh_suppress: bool,
}

/// As the kernel makes ports.
impl Default for BridgePort {
    fn default() -> Self {
        Self {
            hairpin: false,
            isolated: false,
            flood: true,
            mcast_flood: true,
            bcast_flood: true,
            neigh_suppress: false,
        }
    }
}

impl Netlink {
    /// A link by name: `ip link show NAME`. `None` when there is none.
    ///
    /// # Errors
    /// The kernel's answer cannot be had or read.
    pub fn link(&self, name: &IfName) -> Result<Option<Link>> {
        let message = LinkUnspec::new_with_name(name.as_str()).build();
        self.get_link(name.as_str(), message)
    }

    /// A link by index. `None` when there is none.
    ///
    /// # Errors
    /// The kernel's answer cannot be had or read.
    pub fn link_by_index(&self, index: LinkIndex) -> Result<Option<Link>> {
        self.get_link(index, LinkUnspec::new_with_index(index.0).build())
    }

    fn get_link(
        &self,
        object: impl std::fmt::Display,
        message: LinkMessage,
    ) -> Result<Option<Link>> {
        let answer = self.get("get link", object, get_message(message))?;
        answer.and_then(Link::from_answer).transpose()
    }

    /// All links: `ip link`.
    ///
    /// # Errors
    /// The kernel's answer cannot be had or read.
    pub fn links(&self) -> Result<Vec<Link>> {
        let message = get_message(LinkUnspec::new_with_index(0).build());
        let links = self.dump("list", "links", message, Link::from_answer)?;
        links.into_iter().collect()
    }

    /// Removes a link, and a veth's peer with it: `ip link delete`. The answer takes some 20 ms;
    /// [`delete_link`] does not wait for it.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn delete_link(&self, index: LinkIndex) -> Result<()> {
        let message = RouteNetlinkMessage::DelLink(LinkUnspec::new_with_index(index.0).build());
        self.request("delete link", index, message, 0).map(drop)
    }
}

fn delete_message(index: LinkIndex) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLink(LinkUnspec::new_with_index(index.0).build())
}

/// Asks for a link, or all, without statistics: they are half of the answer and nobody reads them.
pub(super) fn get_message(mut message: LinkMessage) -> RouteNetlinkMessage {
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}
