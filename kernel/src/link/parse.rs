//! From the kernel's link messages to [`Link`]. Pure.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVxlan, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, State,
};

use crate::{BridgePort, Error, Link, LinkIndex, LinkKind, MacAddr, Result};

/// What of a VXLAN device is given at its creation and compared afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// UDP port; 0 leaves the kernel's default of 8472. Never 0 when read back.
    pub port: u16,
    /// The link that carries it.
    pub lower: Option<LinkIndex>,
    /// Outer source address.
    pub local: Option<IpAddr>,
    /// Learns where addresses are from the packets it sees.
    pub learning: bool,
    /// Carries the group policy extension.
    pub gbp: bool,
    /// Asks user space for destinations it does not know.
    pub l2miss: bool,
    /// Multicast group, or the remote address for what has no other destination.
    pub group: Option<IpAddr>,
}

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
            master: draft.master,
            alias: draft.alias,
            kind: draft.kind,
            peer,
            peer_elsewhere: draft.peer_elsewhere,
            port: draft.port,
            loopback: flags.contains(LinkFlags::Loopback),
        })
    }
}

/// A link while its attributes are read.
struct Draft {
    name: String,
    mac: Option<MacAddr>,
    mtu: u32,
    state: State,
    master: Option<LinkIndex>,
    alias: Option<String>,
    kind: LinkKind,
    peer: Option<LinkIndex>,
    peer_elsewhere: bool,
    port: Option<BridgePort>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: String::new(),
            mac: None,
            mtu: 0,
            state: State::Unknown,
            master: None,
            alias: None,
            kind: LinkKind::None,
            peer: None,
            peer_elsewhere: false,
            port: None,
        }
    }
}

impl Draft {
    fn take(&mut self, attribute: LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name = name,
            LinkAttribute::Address(bytes) => self.mac = bytes.try_into().ok().map(MacAddr),
            LinkAttribute::Mtu(mtu) => self.mtu = mtu,
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
            LinkInfo::Kind(InfoKind::Bridge) => {
                self.kind = LinkKind::Bridge {
                    vlan_filtering: false,
                };
            }
            LinkInfo::Kind(InfoKind::Veth) => self.kind = LinkKind::Veth,
            LinkInfo::Kind(kind) => self.kind = LinkKind::Other(kind.to_string()),
            LinkInfo::Data(InfoData::Bridge(data)) => {
                let vlan_filtering = data.contains(&InfoBridge::VlanFiltering(true));
                self.kind = LinkKind::Bridge { vlan_filtering };
            }
            LinkInfo::Data(InfoData::Vxlan(data)) => {
                self.kind = LinkKind::Vxlan(Vxlan::from_data(&data));
            }
            LinkInfo::PortData(InfoPortData::BridgePort(data)) => {
                self.port = Some(BridgePort {
                    hairpin: data.contains(&InfoBridgePort::HairpinMode(true)),
                    isolated: data.contains(&InfoBridgePort::Isolated(true)),
                });
            }
            _ => {}
        }
    }
}

impl Vxlan {
    fn from_data(data: &[InfoVxlan]) -> Self {
        let mut vxlan = Self {
            vni: 0,
            port: 0,
            lower: None,
            local: None,
            learning: false,
            gbp: false,
            l2miss: false,
            group: None,
        };
        for attribute in data {
            match attribute {
                InfoVxlan::Id(vni) => vxlan.vni = *vni,
                InfoVxlan::Port(port) => vxlan.port = *port,
                InfoVxlan::Link(index) => vxlan.lower = link_index(*index),
                InfoVxlan::Local(local) => vxlan.local = Some((*local).into()),
                InfoVxlan::Local6(local) => vxlan.local = Some((*local).into()),
                InfoVxlan::Learning(learning) => vxlan.learning = *learning,
                InfoVxlan::Gbp => vxlan.gbp = true,
                InfoVxlan::L2Miss(l2miss) => vxlan.l2miss = *l2miss,
                InfoVxlan::Group(group) => vxlan.group = Some((*group).into()),
                InfoVxlan::Group6(group) => vxlan.group = Some((*group).into()),
                _ => {}
            }
        }
        vxlan
    }
}

/// The kernel's 0 means no link.
fn link_index(index: u32) -> Option<LinkIndex> {
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
