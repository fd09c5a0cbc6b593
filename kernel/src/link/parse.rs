//! From the kernel's link messages to [`Link`]. Pure.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};

use crate::{BridgePort, Error, Link, LinkIndex, LinkKind, MacAddr, Result};

impl Link {
    /// The link in an answer; `None` for any other object.
    pub(crate) fn from_answer(answer: RouteNetlinkMessage) -> Option<Result<Self>> {
        match answer {
            RouteNetlinkMessage::NewLink(message) => Some(Self::from_message(message)),
            _ => None,
        }
    }

    fn from_message(message: LinkMessage) -> Result<Self> {
        let flags = message.header.flags;
        let index = LinkIndex(message.header.index);
        let mut draft = Draft::default();
        message
            .attributes
            .into_iter()
            .for_each(|attribute| draft.take(attribute));
        // IFLA_LINK is the link's own index where there is no other; in another namespace the
        // same number means another link.
        let peer = draft
            .peer
            .filter(|peer| draft.peer_elsewhere || *peer != index);
        let name = draft.name.parse().map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            Error::new("read link", index, source)
        })?;
        Ok(Self {
            index,
            name,
            mac: draft.mac,
            mtu: draft.mtu,
            up: flags.contains(LinkFlags::Up),
            oper_up: matches!(draft.state, State::Up | State::Unknown),
            operstate: operstate(draft.state),
            promisc: flags.contains(LinkFlags::Promisc),
            allmulti: flags.contains(LinkFlags::Allmulti),
            tx_queue_len: draft.tx_queue_len,
            gso_ipv4_max_size: draft.gso_ipv4_max_size,
            master: draft.master,
            alias: draft.alias,
            kind: draft.kind,
            peer,
            peer_elsewhere: draft.peer_elsewhere,
            port: draft.port,
            loopback: flags.contains(LinkFlags::Loopback),
            permanent_mac: draft.permanent_mac,
            bus_device: draft.bus_device,
        })
    }
}

/// A link while its attributes are read.
struct Draft {
    name: String,
    mac: Option<MacAddr>,
    mtu: u32,
    tx_queue_len: u32,
    gso_ipv4_max_size: Option<u32>,
    state: State,
    master: Option<LinkIndex>,
    alias: Option<String>,
    kind: LinkKind,
    peer: Option<LinkIndex>,
    peer_elsewhere: bool,
    port: Option<BridgePort>,
    permanent_mac: Option<MacAddr>,
    bus_device: Option<String>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: String::new(),
            mac: None,
            mtu: 0,
            tx_queue_len: 0,
            gso_ipv4_max_size: None,
            state: State::Unknown,
            master: None,
            alias: None,
            kind: LinkKind::None,
            peer: None,
            peer_elsewhere: false,
            port: None,
            permanent_mac: None,
            bus_device: None,
        }
    }
}

impl Draft {
    fn take(&mut self, attribute: LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name = name,
            LinkAttribute::Address(bytes) => self.mac = bytes.try_into().ok().map(MacAddr),
            LinkAttribute::PermAddress(bytes) => {
                self.permanent_mac = bytes.try_into().ok().map(MacAddr);
            }
            LinkAttribute::ParentDevName(name) => self.bus_device = Some(name),
            LinkAttribute::Mtu(mtu) => self.mtu = mtu,
            LinkAttribute::TxQueueLen(packets) => self.tx_queue_len = packets,
            LinkAttribute::GsoIpv4MaxSize(bytes) | LinkAttribute::GroIpv4MaxSize(bytes) => {
                let least = self
                    .gso_ipv4_max_size
                    .map_or(bytes, |least| least.min(bytes));
                self.gso_ipv4_max_size = Some(least);
            }
            LinkAttribute::OperState(state) => self.state = state,
            LinkAttribute::Controller(index) => self.master = link_index(index),
            LinkAttribute::IfAlias(alias) => self.alias = Some(alias),
            LinkAttribute::Link(index) => self.peer = link_index(index),
            LinkAttribute::LinkNetNsId(_) => self.peer_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                infos.into_iter().for_each(|info| self.take_info(info));
            }
            _ => {}
        }
    }

    /// The kind comes before the data that belong to it.
    fn take_info(&mut self, info: LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = LinkKind::from_info(kind),
            LinkInfo::Data(data) => {
                let kind = std::mem::replace(&mut self.kind, LinkKind::None);
                self.kind = kind.with_data(data);
            }
            LinkInfo::PortData(InfoPortData::BridgePort(data)) => {
                self.port = Some(BridgePort {
                    hairpin: data.contains(&InfoBridgePort::HairpinMode(true)),
                    isolated: data.contains(&InfoBridgePort::Isolated(true)),
                    flood: !data.contains(&InfoBridgePort::UnicastFlood(false)),
                    mcast_flood: !data.contains(&InfoBridgePort::MulticastFlood(false)),
                    bcast_flood: !data.contains(&InfoBridgePort::BroadcastFlood(false)),
                    neigh_suppress: data.contains(&InfoBridgePort::NeighSupress(true)),
                });
            }
            _ => {}
        }
    }
}

/// The kernel's 0 means no link.
pub(super) fn link_index(index: u32) -> Option<LinkIndex> {
    (index != 0).then_some(LinkIndex(index))
}

fn operstate(state: State) -> &'static str {
    match state {
        State::NotPresent => "NOTPRESENT",
        State::Down => "DOWN",
        State::LowerLayerDown => "LOWERLAYERDOWN",
        State::Testing => "TESTING",
        State::Dormant => "DORMANT",
        State::Up => "UP",
        // RFC 2863 has no further states.
        _ => "UNKNOWN",
    }
}
