//! Creating links: `ip link add`.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, InfoVrf, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};

use super::tap;
use crate::{
    BridgePort, Error, IfName, Ipvlan, Link, LinkChange, LinkIndex, MacAddr, Macvlan, NetNs,
    Netlink, Result, Tap, Tunnel, Vlan, Vxlan,
};

/// Beyond request and acknowledge.
const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// What the kernel takes as MTU of a veth, in bytes (`ETH_MIN_MTU` and `ETH_MAX_MTU` of
/// linux/if_ether.h).
pub const VETH_MTU: RangeInclusive<u32> = 68..=65535;

/// Queues of each end of a veth, in each direction. The kernel uses one of them whatever it makes; unasked it makes
/// one for each processor that there could be, with directories of each in sysfs, takes all but the first back,
/// and waits for a grace period of RCU before it does.
const VETH_QUEUES: u32 = 1;

/// A link to be. Made by [`NewLink::new`], then changed where it differs from the kernel's defaults.
#[derive(Clone, Debug)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: &'a IfName,
    /// Its kind, with the kind's own options.
    pub kind: NewKind<'a>,
    /// The link that it is on (macvlan, ipvlan, vlan), in the socket's namespace.
    pub lower: Option<LinkIndex>,
    /// The bridge (or VRF) that it becomes a port of.
    pub master: Option<LinkIndex>,
    /// Flags of that port.
    pub port: Option<BridgePort>,
    /// The namespace that it is made in; the socket's if none. Before Linux 6.15 the name must be
    /// free in the socket's as well.
    pub ns: Option<&'a NetNs>,
    /// Largest packet in bytes, of a pair on both ends.
    pub mtu: Option<u32>,
    /// The largest TCP segment of IPv4 that it takes at once, in bytes, of a pair on both ends: BIG
    /// TCP above 65,536 (`gso_ipv4_max_size` and `gro_ipv4_max_size`, from Linux 6.3 on). A packet
    /// that is larger than the link takes is cut into single segments by the processor.
    ///
    /// IPv6's stay. A host that forwards such a segment drops it as too big: it counts the
    /// hop-by-hop header of the whole to each packet (`skb_gso_validate_network_len` of
    /// net/core/gso.c in `ip6_pkt_too_big`; seen on 6.18).
    pub gso_ipv4_max_size: Option<u32>,
    /// Its hardware address. A bridge with one keeps it; else it takes over that of the lowest of
    /// its ports, another one whenever a port comes or goes.
    pub mac: Option<MacAddr>,
    /// A text that says whose it is, up to 255 bytes.
    pub alias: Option<&'a str>,
    /// Transmit queue length in packets.
    pub tx_queue_len: Option<u32>,
    /// Comes up. The peer of a pair cannot: it is made before its other end (ENOTCONN).
    pub up: bool,
}

/// What a new link shall be.
#[derive(Clone, Debug)]
pub enum NewKind<'a> {
    /// See [`LinkKind::Bridge`](crate::LinkKind::Bridge).
    Bridge {
        /// Ports are members of VLANs.
        vlan_filtering: bool,
    },
    /// A pair of virtual Ethernet devices: this end and its peer.
    Veth(Peer<'a>),
    /// See [`Vxlan`].
    Vxlan(Vxlan),
    /// See [`Macvlan`]; needs a lower link.
    Macvlan(Macvlan),
    /// See [`Ipvlan`]; needs a lower link.
    Ipvlan(Ipvlan),
    /// See [`Vlan`]; needs a lower link.
    Vlan(Vlan),
    /// See [`LinkKind::Dummy`](crate::LinkKind::Dummy).
    Dummy,
    /// See [`LinkKind::Ifb`](crate::LinkKind::Ifb).
    Ifb,
    /// See [`Tap`]. Without a namespace it is made in the calling thread's, which must be the
    /// socket's.
    Tap(Tap),
    /// The same, made by a process of this SELinux context; see [`tap::help`].
    LabelledTap(Tap, &'a str),
    /// See [`LinkKind::Vrf`](crate::LinkKind::Vrf).
    Vrf {
        /// The table with its routes.
        table: u32,
    },
    /// See [`LinkKind::Wireguard`](crate::LinkKind::Wireguard).
    Wireguard,
    /// See [`Tunnel`].
    Tunnel(Tunnel),
}

/// The other end of a pair.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its name.
    pub name: &'a IfName,
    /// Its namespace; the socket's if none.
    pub ns: Option<&'a NetNs>,
    /// Its hardware address; a random one if none.
    pub mac: Option<MacAddr>,
}

impl<'a> NewLink<'a> {
    /// A link with the kernel's defaults, down.
    pub fn new(name: &'a IfName, kind: NewKind<'a>) -> Self {
        Self {
            name,
            kind,
            lower: None,
            master: None,
            port: None,
            ns: None,
            mtu: None,
            gso_ipv4_max_size: None,
            mac: None,
            alias: None,
            tx_queue_len: None,
            up: false,
        }
    }
}

impl Netlink {
    /// Creates a link and returns it: `ip link add NAME type KIND …`, of a pair this end.
    ///
    /// One send, or two with an alias or a port's flags: the kernel takes neither at creation, and
    /// sending them along by name could put them on somebody else's link when the creation is
    /// refused, so they go by index. The link is the kernel's echo of the creation with what it
    /// acknowledged since; one in another namespace is not echoed and read there.
    ///
    /// # Errors
    /// [`is_exists`](Error::is_exists) when the name, a pair's other name, or a VXLAN's VNI with its
    /// port is taken. Nothing is left behind.
    pub fn add_link(&self, new: &NewLink<'_>) -> Result<Link> {
        match new.kind {
            NewKind::Tap(tap) => return self.add_tap(new, tap, None),
            NewKind::LabelledTap(tap, label) => return self.add_tap(new, tap, Some(label)),
            _ => {}
        }
        let (operation, object) = (new.kind.operation(), new.describe());
        let flags = if new.ns.is_none() {
            CREATE | NLM_F_ECHO
        } else {
            CREATE
        };
        let echo = self
            .request(
                operation,
                &object,
                RouteNetlinkMessage::NewLink(new.message()),
                flags,
            )
            .map_err(|error| new.explain(error))?;
        let there = new.ns.map(Self::open_in).transpose()?;
        let there = there.as_ref().unwrap_or(self);
        let link = match echo.and_then(Link::from_answer) {
            Some(link) if new.ns.is_none() => link?,
            // Before Linux 6.2 a creation is not echoed.
            _ => there
                .link(new.name)?
                .ok_or_else(|| vanished(operation, &object))?,
        };
        let mark = LinkChange {
            alias: new.alias.map(str::to_owned),
            port: new.port,
            ..LinkChange::default()
        };
        there.finish(link, new, &mark)
    }

    /// Not a matter of netlink: the device is made where the thread is, and told the rest after.
    fn add_tap(&self, new: &NewLink<'_>, tap: Tap, label: Option<&str>) -> Result<Link> {
        match (label, new.ns) {
            (Some(label), ns) => tap::create_labelled(ns, new.name, tap, label)?,
            (None, Some(ns)) => ns.step_in(|| tap::create(new.name, tap))??,
            (None, None) => tap::create(new.name, tap)?,
        }
        let there = new.ns.map(Self::open_in).transpose()?;
        let there = there.as_ref().unwrap_or(self);
        let link = there.link(new.name)?;
        let link = link.ok_or_else(|| vanished("add tap", new.name))?;
        let rest = LinkChange {
            up: new.up.then_some(true),
            mtu: new.mtu,
            mac: new.mac,
            master: new.master.map(Some),
            alias: new.alias.map(str::to_owned),
            port: new.port,
            ..LinkChange::default()
        };
        let link = there.finish(link, new, &rest)?;
        Ok(there.link_by_index(link.index)?.unwrap_or(link))
    }

    /// What the creation could not be told. A link that cannot have it goes again.
    fn finish(&self, link: Link, new: &NewLink<'_>, rest: &LinkChange) -> Result<Link> {
        if *rest != LinkChange::default()
            && let Err(error) = self.set_link(link.index, rest)
        {
            // The first failure is the one to report.
            let _ = self.delete_link(link.index);
            return Err(error);
        }
        Ok(Link {
            master: new.master.or(link.master),
            alias: rest.alias.clone().filter(|alias| !alias.is_empty()),
            port: new.port.or(link.port),
            ..link
        })
    }
}

impl NewLink<'_> {
    pub(super) fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        if self.up {
            message.header.flags |= LinkFlags::Up;
            message.header.change_mask |= LinkFlags::Up;
        }
        let attributes = &mut message.attributes;
        attributes.push(LinkAttribute::IfName(self.name.to_string()));
        attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        attributes.extend(segment_sizes(self.gso_ipv4_max_size));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(self.lower.map(|lower| LinkAttribute::Link(lower.0)));
        attributes.extend(
            self.master
                .map(|master| LinkAttribute::Controller(master.0)),
        );
        attributes.extend(self.tx_queue_len.map(LinkAttribute::TxQueueLen));
        attributes.extend(self.ns.map(in_namespace));
        if let NewKind::Veth(_) = self.kind {
            attributes.extend(veth_queues());
        }
        attributes.push(LinkAttribute::LinkInfo(self.info()));
        message
    }

    fn info(&self) -> Vec<LinkInfo> {
        let (kind, data) = match &self.kind {
            NewKind::Bridge { vlan_filtering } => {
                let filtering = vlan_filtering.then_some(InfoBridge::VlanFiltering(true));
                let data = filtering.map(|filtering| InfoData::Bridge(vec![filtering]));
                (InfoKind::Bridge, data)
            }
            NewKind::Veth(peer) => {
                let data = InfoVeth::Peer(peer.message(self));
                (InfoKind::Veth, Some(InfoData::Veth(data)))
            }
            NewKind::Vxlan(vxlan) => (InfoKind::Vxlan, Some(vxlan.data())),
            NewKind::Macvlan(macvlan) => (InfoKind::MacVlan, Some(macvlan.data())),
            NewKind::Ipvlan(ipvlan) => (InfoKind::IpVlan, Some(ipvlan.data())),
            NewKind::Vlan(vlan) => (InfoKind::Vlan, Some(vlan.data())),
            NewKind::Dummy => (InfoKind::Dummy, None),
            NewKind::Ifb => (InfoKind::Ifb, None),
            // Made by `add_tap`; the kernel would refuse it in words.
            NewKind::Tap(_) | NewKind::LabelledTap(..) => (InfoKind::Tun, None),
            NewKind::Vrf { table } => {
                let data = InfoData::Vrf(vec![InfoVrf::TableId(*table)]);
                (InfoKind::Vrf, Some(data))
            }
            NewKind::Wireguard => (InfoKind::Wireguard, None),
            NewKind::Tunnel(tunnel) => (tunnel.protocol.info(), Some(tunnel.data())),
        };
        let data = data.map(LinkInfo::Data);
        [LinkInfo::Kind(kind)].into_iter().chain(data).collect()
    }

    /// An MTU out of range is refused by the veth driver itself, which says nothing but EINVAL.
    fn explain(&self, error: Error) -> Error {
        let out_of_range = self.mtu.filter(|mtu| !VETH_MTU.contains(mtu));
        match (&self.kind, out_of_range, &error.message) {
            (NewKind::Veth(_), Some(mtu), None) if error.errno() == Some(nix::libc::EINVAL) => {
                Error {
                    message: Some(format!(
                        "mtu {mtu} is out of range for a veth: {} to {}",
                        VETH_MTU.start(),
                        VETH_MTU.end()
                    )),
                    ..error
                }
            }
            _ => error,
        }
    }

    fn describe(&self) -> String {
        let mut text = self.name.to_string();
        let mut place = |what: &str, ns: Option<&NetNs>| {
            text.push_str(what);
            if let Some(ns) = ns {
                text.push_str(&format!(" in {}", ns.path().display()));
            }
        };
        place("", self.ns);
        if let NewKind::Veth(peer) = &self.kind {
            place(&format!(" peer {}", peer.name), peer.ns);
        }
        text
    }
}

impl NewKind<'_> {
    /// The kind's name, as in [`LinkKind::name`](crate::LinkKind::name) but `tap`.
    pub fn name(&self) -> &'static str {
        self.operation().trim_start_matches("add ")
    }

    /// `add` and the kind's name.
    fn operation(&self) -> &'static str {
        match self {
            Self::Bridge { .. } => "add bridge",
            Self::Veth(_) => "add veth",
            Self::Vxlan(_) => "add vxlan",
            Self::Macvlan(_) => "add macvlan",
            Self::Ipvlan(_) => "add ipvlan",
            Self::Vlan(_) => "add vlan",
            Self::Dummy => "add dummy",
            Self::Ifb => "add ifb",
            Self::Tap(_) | Self::LabelledTap(..) => "add tap",
            Self::Vrf { .. } => "add vrf",
            Self::Wireguard => "add wireguard",
            Self::Tunnel(_) => "add tunnel",
        }
    }
}

impl Peer<'_> {
    fn message(&self, other: &NewLink<'_>) -> LinkMessage {
        let mut peer = LinkMessage::default();
        let attributes = &mut peer.attributes;
        attributes.push(LinkAttribute::IfName(self.name.to_string()));
        attributes.extend(other.mtu.map(LinkAttribute::Mtu));
        attributes.extend(segment_sizes(other.gso_ipv4_max_size));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(self.ns.map(in_namespace));
        attributes.extend(veth_queues());
        peer
    }
}

/// A kernel ignores those that it does not know.
fn segment_sizes(bytes: Option<u32>) -> impl Iterator<Item = LinkAttribute> {
    let attributes = [LinkAttribute::GsoIpv4MaxSize, LinkAttribute::GroIpv4MaxSize];
    let each = move |bytes| attributes.map(|attribute| attribute(bytes));
    bytes.into_iter().flat_map(each)
}

fn veth_queues() -> [LinkAttribute; 2] {
    [
        LinkAttribute::NumTxQueues(VETH_QUEUES),
        LinkAttribute::NumRxQueues(VETH_QUEUES),
    ]
}

fn in_namespace(ns: &NetNs) -> LinkAttribute {
    LinkAttribute::NetNsFd(ns.as_fd().as_raw_fd())
}

fn vanished(operation: &'static str, object: impl std::fmt::Display) -> Error {
    let gone = io::Error::from_raw_os_error(nix::libc::ENODEV);
    Error::new(operation, object, gone)
}
