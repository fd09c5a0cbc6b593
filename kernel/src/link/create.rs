//! Creating links: `ip link add`.

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoBridge, InfoData, InfoVeth, LinkMessage};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan};

use super::change::set_port;
use crate::netlink::Request;
use crate::{BridgePort, Error, IfName, Link, LinkIndex, MacAddr, NetNs, Netlink, Result, Vxlan};

/// Beyond request and acknowledge.
const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// What the kernel takes as MTU of a veth, in bytes (`ETH_MIN_MTU` and `ETH_MAX_MTU` of
/// linux/if_ether.h).
const VETH_MTU: RangeInclusive<u32> = 68..=65535;

/// A bridge to be.
#[derive(Clone, Debug)]
pub struct NewBridge<'a> {
    /// Its name.
    pub name: &'a IfName,
    /// Largest packet in bytes; else the kernel's default, which follows the ports.
    pub mtu: Option<u32>,
    /// Its hardware address, which it keeps; else it takes over that of the lowest of its ports,
    /// another one whenever a port comes or goes.
    pub mac: Option<MacAddr>,
    /// Ports are members of VLANs.
    pub vlan_filtering: bool,
}

/// A pair of virtual Ethernet devices to be: the host's end here, the peer directly in `peer_ns`.
#[derive(Clone, Debug)]
pub struct NewVeth<'a> {
    /// The host end's name.
    pub name: &'a IfName,
    /// A text on the host end that says whose it is, up to 255 bytes.
    pub alias: &'a str,
    /// The bridge that the host end becomes a port of.
    pub master: Option<LinkIndex>,
    /// Flags of that port.
    pub port: Option<BridgePort>,
    /// Largest packet in bytes, on both ends; else the kernel's default.
    pub mtu: Option<u32>,
    /// The host end comes up. The peer cannot: it is made before its other end (ENOTCONN).
    pub up: bool,
    /// The host end's transmit queue length in packets; the reference plugins leave 0.
    pub tx_queue_len: Option<u32>,
    /// The peer's name.
    pub peer: &'a IfName,
    /// The peer's namespace; `None` leaves it here.
    pub peer_ns: Option<&'a NetNs>,
    /// The peer's hardware address; else a random one.
    pub peer_mac: Option<MacAddr>,
}

/// A VXLAN device to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVxlan {
    /// Its name.
    pub name: IfName,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Largest packet in bytes; else the kernel's default.
    pub mtu: Option<u32>,
    /// The tunnel.
    pub vxlan: Vxlan,
    /// A text that says whose it is, up to 255 bytes.
    pub alias: Option<String>,
}

impl Netlink {
    /// Creates a bridge, which is down: `ip link add NAME type bridge`.
    ///
    /// # Errors
    /// [`is_exists`](Error::is_exists) when the name is taken.
    pub fn add_bridge(&self, bridge: &NewBridge<'_>) -> Result<()> {
        let mut link = LinkBridge::new(bridge.name.as_str());
        if let Some(mtu) = bridge.mtu {
            link = link.mtu(mtu);
        }
        if let Some(mac) = bridge.mac {
            link = link.address(mac.0.to_vec());
        }
        if bridge.vlan_filtering {
            link = link.set_info_data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]));
        }
        let message = RouteNetlinkMessage::NewLink(link.build());
        self.request("add bridge", bridge.name, message, CREATE)
            .map(drop)
    }

    /// Creates a pair and returns the host end: `ip link add NAME type veth peer name PEER netns
    /// NS`, then `ip link set NAME alias TEXT` and `bridge link set dev NAME …`.
    ///
    /// Two sends. The kernel takes no alias at creation; sending it along by name could put it on
    /// somebody else's link when the creation is refused, so it goes by index. The link is the
    /// kernel's echo of the creation with what it acknowledged since.
    ///
    /// # Errors
    /// [`is_exists`](Error::is_exists) when either name is taken. Nothing is left behind.
    pub fn add_veth(&self, veth: &NewVeth<'_>) -> Result<Link> {
        let operation = "add veth";
        let object = veth.describe();
        let echo = self
            .request(operation, &object, veth.message(), CREATE | NLM_F_ECHO)
            .map_err(|error| veth.explain(error))?;
        let link = match echo.and_then(Link::from_answer) {
            Some(link) => link?,
            // Before Linux 6.2 a creation is not echoed.
            None => self
                .link(veth.name)?
                .ok_or_else(|| vanished(operation, &object))?,
        };
        let marked = self.request_all(operation, &object, &[veth.mark(link.index)]);
        if let Err(error) = marked {
            // The first failure is the one to report.
            let _ = self.delete_link(link.index);
            return Err(error);
        }
        let alias = (!veth.alias.is_empty()).then(|| veth.alias.to_owned());
        let port = veth.port.or(link.port);
        Ok(Link {
            master: veth.master,
            alias,
            port,
            ..link
        })
    }

    /// Creates a VXLAN device, which is down: `ip link add NAME type vxlan id VNI …`.
    ///
    /// # Errors
    /// [`is_exists`](Error::is_exists) when the name, or the VNI with the port, is taken.
    pub fn add_vxlan(&self, vxlan: &NewVxlan) -> Result<()> {
        let operation = "add vxlan";
        self.request(operation, &vxlan.name, vxlan.message(), CREATE)?;
        let Some(alias) = &vxlan.alias else {
            return Ok(());
        };
        let link = self.link(&vxlan.name)?;
        let link = link.ok_or_else(|| vanished(operation, &vxlan.name))?;
        let alias = crate::LinkChange {
            alias: Some(alias.clone()),
            ..Default::default()
        };
        let marked = self.set_link(link.index, &alias);
        if marked.is_err() {
            // The first failure is the one to report.
            let _ = self.delete_link(link.index);
        }
        marked
    }
}

impl NewVeth<'_> {
    fn message(&self) -> RouteNetlinkMessage {
        let mut link = LinkVeth::new(self.name.as_str(), self.peer.as_str())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(self.peer_message())));
        if let Some(mtu) = self.mtu {
            link = link.mtu(mtu);
        }
        if let Some(master) = self.master {
            link = link.controller(master.0);
        }
        if let Some(length) = self.tx_queue_len {
            link = link.txqueuelen(length);
        }
        if self.up {
            link = link.up();
        }
        RouteNetlinkMessage::NewLink(link.build())
    }

    fn peer_message(&self) -> LinkMessage {
        let mut peer = LinkUnspec::new_with_name(self.peer.as_str());
        if let Some(mtu) = self.mtu {
            peer = peer.mtu(mtu);
        }
        if let Some(mac) = self.peer_mac {
            peer = peer.address(mac.0.to_vec());
        }
        if let Some(ns) = self.peer_ns {
            peer = peer.setns_by_fd(ns.as_fd().as_raw_fd());
        }
        peer.build()
    }

    /// Says whose the host end is, and sets the flags of its port.
    fn mark(&self, index: LinkIndex) -> Request {
        let link = LinkUnspec::new_with_index(index.0).alias(self.alias);
        match self.port {
            Some(port) => set_port(link, port),
            None => Request {
                message: RouteNetlinkMessage::SetLink(link.build()),
                flags: 0,
            },
        }
    }

    /// An MTU out of range is refused by the veth driver itself, which says nothing but EINVAL.
    fn explain(&self, error: Error) -> Error {
        let out_of_range = self.mtu.filter(|mtu| !VETH_MTU.contains(mtu));
        match (out_of_range, &error.message) {
            (Some(mtu), None) if error.errno() == Some(nix::libc::EINVAL) => Error {
                message: Some(format!(
                    "mtu {mtu} is out of range for a veth: {} to {}",
                    VETH_MTU.start(),
                    VETH_MTU.end()
                )),
                ..error
            },
            _ => error,
        }
    }

    fn describe(&self) -> String {
        match self.peer_ns {
            Some(ns) => format!(
                "{} peer {} in {}",
                self.name,
                self.peer,
                ns.path().display()
            ),
            None => format!("{} peer {}", self.name, self.peer),
        }
    }
}

impl NewVxlan {
    /// With the attributes that flannel sends: those it leaves at 0 are sent as 0.
    fn message(&self) -> RouteNetlinkMessage {
        let vxlan = &self.vxlan;
        let mut link = LinkVxlan::new(self.name.as_str(), vxlan.vni)
            .address(self.mac.0.to_vec())
            .txqueuelen(0)
            .learning(vxlan.learning)
            .l2miss(vxlan.l2miss)
            .l3miss(false)
            .proxy(false)
            .rsc(false)
            .ttl(0)
            .tos(0)
            .udp_zero_csum6_tx(false)
            .udp_zero_csum6_rx(false);
        if let Some(mtu) = self.mtu {
            link = link.mtu(mtu);
        }
        if let Some(lower) = vxlan.lower {
            link = link.dev(lower.0);
        }
        if vxlan.port > 0 {
            link = link.port(vxlan.port);
        }
        if vxlan.gbp {
            link = link.gbp();
        }
        link = with_local(link, vxlan.local);
        RouteNetlinkMessage::NewLink(with_group(link, vxlan.group).build())
    }
}

type VxlanBuilder = LinkMessageBuilder<LinkVxlan>;

fn with_local(link: VxlanBuilder, local: Option<IpAddr>) -> VxlanBuilder {
    match local {
        Some(IpAddr::V4(local)) => link.local(local),
        Some(IpAddr::V6(local)) => link.local6(local),
        None => link,
    }
}

fn with_group(link: VxlanBuilder, group: Option<IpAddr>) -> VxlanBuilder {
    match group {
        Some(IpAddr::V4(group)) => link.group(group),
        Some(IpAddr::V6(group)) => link.group6(group),
        None => link,
    }
}

fn vanished(operation: &'static str, object: impl std::fmt::Display) -> Error {
    let gone = io::Error::from_raw_os_error(nix::libc::ENODEV);
    Error::new(operation, object, gone)
}
