//! What kind a link is, with the options that are given at its creation and compared afterwards.
//! Each goes to and comes from the kernel's attributes here. Pure.

use std::net::IpAddr;

use netlink_packet_core::Nla;
use netlink_packet_route::IpProtocol;
use netlink_packet_route::link::{
    InfoData, InfoIpTunnel, InfoIpVlan, InfoKind, InfoMacVlan, InfoTun, InfoVlan, InfoVrf,
    InfoVxlan, IpVlanFlags, IpVlanMode, MacVlanMode, VlanProtocol as Tag,
};

use super::parse::link_index;
use crate::LinkIndex;

/// What kind of link, with what is compared of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// An Ethernet bridge.
    Bridge {
        /// Ports are members of VLANs.
        vlan_filtering: bool,
    },
    /// One end of a virtual Ethernet cable.
    Veth,
    /// A VXLAN device.
    Vxlan(Vxlan),
    /// An address of its own on another link.
    Macvlan(Macvlan),
    /// Another link's address, shared.
    Ipvlan(Ipvlan),
    /// One VLAN of another link.
    Vlan(Vlan),
    /// A link that swallows what is sent.
    Dummy,
    /// An intermediate functional block: incoming packets that are queued as outgoing ones.
    Ifb,
    /// A tap device, or a tun device.
    Tap(Tap),
    /// A routing domain.
    Vrf {
        /// The table with its routes.
        table: u32,
    },
    /// A WireGuard device; keys and peers are not of route netlink.
    Wireguard,
    /// IP in IP.
    Tunnel(Tunnel),
    /// Another virtual kind, as `ip -d link` names it.
    Other(String),
    /// Physical, or `lo`.
    None,
}

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

/// `macvlan`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Macvlan {
    /// Whom it reaches on the lower link.
    pub mode: MacvlanMode,
    /// Broadcast packets that wait at the lower link; the kernel's default if none. Read back it is
    /// what the lower link has, which is the largest that any of its macvlans asked for.
    pub broadcast_queue: Option<u32>,
}

/// Whom a macvlan reaches on its lower link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacvlanMode {
    /// The others on the link, directly.
    #[default]
    Bridge,
    /// None of the others.
    Private,
    /// The others by way of the switch outside.
    Vepa,
    /// It has the lower link for itself.
    Passthru,
    /// Those whose addresses are listed.
    Source,
}

/// `ipvlan`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipvlan {
    /// Where packets are handed over. One for all ipvlans of a lower link.
    pub mode: IpvlanMode,
    /// Whom it reaches on the lower link.
    pub flag: IpvlanFlag,
}

/// Where an ipvlan's packets are handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpvlanMode {
    /// As frames.
    #[default]
    L2,
    /// As packets.
    L3,
    /// As packets, seen by the host's netfilter.
    L3s,
}

/// Whom an ipvlan reaches on its lower link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpvlanFlag {
    /// The others on the link, directly.
    #[default]
    Bridge,
    /// None of the others.
    Private,
    /// The others by way of the switch outside.
    Vepa,
}

/// `vlan`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vlan {
    /// 0 to 4094.
    pub id: u16,
    /// The tag.
    pub protocol: VlanProtocol,
}

/// Which tag a VLAN's frames have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VlanProtocol {
    /// IEEE 802.1Q
    #[default]
    Customer,
    /// IEEE 802.1ad
    Service,
}

/// A tap or tun device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tap {
    /// It carries packets, not frames: a tun device.
    pub is_tun: bool,
    /// Several queues.
    pub multi_queue: bool,
    /// Each frame has a header that says what it is (without: `IFF_NO_PI`).
    pub packet_information: bool,
    /// Each frame has virtio's header.
    pub vnet_header: bool,
    /// The user who may open it; everybody with CAP_NET_ADMIN if none.
    pub owner: Option<u32>,
    /// The group that may open it.
    pub group: Option<u32>,
    /// It goes when the program ends that has it open. None is made so here: who makes one does not stay.
    pub is_temporary: bool,
}

/// A tunnel of IP packets in IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What is in what.
    pub protocol: TunnelProtocol,
    /// The link that carries it.
    pub lower: Option<LinkIndex>,
    /// Outer source address; any if none.
    pub local: Option<IpAddr>,
    /// Outer destination; by route if none.
    pub remote: Option<IpAddr>,
    /// Outer hop limit; 0: that of the packet inside.
    pub ttl: u8,
    /// Discovers the path's MTU: outer packets are never fragmented. Without it, which `ipip` and
    /// `sit` can be and only with a `ttl` of 0, they are as the packet inside is.
    pub pmtudisc: bool,
}

/// What a tunnel carries in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelProtocol {
    /// `ipip`: IPv4 in IPv4; also MPLS, which is what `ip` and flannel ask for (`mode any`).
    Ipip,
    /// `sit`: IPv6 in IPv4.
    Sit,
    /// `ip6tnl`: either in IPv6.
    Ip6tnl,
}

impl LinkKind {
    /// The kernel's word, as `ip link add … type` takes it.
    pub fn name(&self) -> &str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Veth => "veth",
            Self::Vxlan(_) => "vxlan",
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
            Self::Vlan(_) => "vlan",
            Self::Dummy => "dummy",
            Self::Ifb => "ifb",
            Self::Tap(_) => "tun",
            Self::Vrf { .. } => "vrf",
            Self::Wireguard => "wireguard",
            Self::Tunnel(tunnel) => tunnel.protocol.name(),
            Self::Other(name) => name,
            Self::None => "none",
        }
    }

    /// The kind alone; its options come with [`with_data`](Self::with_data).
    pub(super) fn from_info(kind: InfoKind) -> Self {
        let tunnel = |protocol| {
            Self::Tunnel(Tunnel {
                protocol,
                lower: None,
                local: None,
                remote: None,
                ttl: 0,
                pmtudisc: true,
            })
        };
        match kind {
            InfoKind::Bridge => Self::Bridge {
                vlan_filtering: false,
            },
            InfoKind::Veth => Self::Veth,
            InfoKind::Dummy => Self::Dummy,
            InfoKind::Ifb => Self::Ifb,
            InfoKind::Tun => Self::Tap(Tap::default()),
            InfoKind::Wireguard => Self::Wireguard,
            InfoKind::IpIp => tunnel(TunnelProtocol::Ipip),
            InfoKind::SitTun => tunnel(TunnelProtocol::Sit),
            InfoKind::Ip6Tnl => tunnel(TunnelProtocol::Ip6tnl),
            other => Self::Other(other.to_string()),
        }
    }

    /// With the options that belong to the kind.
    pub(super) fn with_data(self, data: InfoData) -> Self {
        match (self, data) {
            (Self::Bridge { .. }, InfoData::Bridge(data)) => Self::Bridge {
                vlan_filtering: data
                    .contains(&netlink_packet_route::link::InfoBridge::VlanFiltering(true)),
            },
            (_, InfoData::Vxlan(data)) => Self::Vxlan(Vxlan::from_data(&data)),
            (_, InfoData::MacVlan(data)) => Self::Macvlan(Macvlan::from_data(&data)),
            (_, InfoData::IpVlan(data)) => Self::Ipvlan(Ipvlan::from_data(&data)),
            (_, InfoData::Vlan(data)) => Self::Vlan(Vlan::from_data(&data)),
            (_, InfoData::Tun(data)) => Self::Tap(Tap::from_data(&data)),
            (kind, InfoData::Vrf(data)) => match data.first() {
                Some(InfoVrf::TableId(table)) => Self::Vrf { table: *table },
                _ => kind,
            },
            (Self::Tunnel(tunnel), InfoData::IpTunnel(data)) => {
                Self::Tunnel(tunnel.with_data(&data))
            }
            (kind, _) => kind,
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

    /// With the attributes that flannel sends: those it leaves at 0 are sent as 0.
    pub(super) fn data(&self) -> InfoData {
        let mut data = vec![
            InfoVxlan::Id(self.vni),
            InfoVxlan::Learning(self.learning),
            InfoVxlan::L2Miss(self.l2miss),
            InfoVxlan::L3Miss(false),
            InfoVxlan::Proxy(false),
            InfoVxlan::Rsc(false),
            InfoVxlan::Ttl(0),
            InfoVxlan::Tos(0),
            InfoVxlan::UDPZeroCsumTX(false),
            InfoVxlan::UDPZeroCsumRX(false),
        ];
        data.extend(self.lower.map(|lower| InfoVxlan::Link(lower.0)));
        if self.port > 0 {
            data.push(InfoVxlan::Port(self.port));
        }
        if self.gbp {
            data.push(InfoVxlan::Gbp);
        }
        data.extend(self.local.map(|local| match local {
            IpAddr::V4(local) => InfoVxlan::Local(local),
            IpAddr::V6(local) => InfoVxlan::Local6(local),
        }));
        data.extend(self.group.map(|group| match group {
            IpAddr::V4(group) => InfoVxlan::Group(group),
            IpAddr::V6(group) => InfoVxlan::Group6(group),
        }));
        InfoData::Vxlan(data)
    }
}

impl Macvlan {
    fn from_data(data: &[InfoMacVlan]) -> Self {
        let mut macvlan = Self::default();
        for attribute in data {
            match attribute {
                InfoMacVlan::Mode(mode) => macvlan.mode = MacvlanMode::from_info(*mode),
                InfoMacVlan::BcQueueLen(length) => macvlan.broadcast_queue = Some(*length),
                _ => {}
            }
        }
        macvlan
    }

    pub(super) fn data(self) -> InfoData {
        let mut data = vec![InfoMacVlan::Mode(self.mode.info())];
        data.extend(self.broadcast_queue.map(InfoMacVlan::BcQueueLen));
        InfoData::MacVlan(data)
    }
}

impl MacvlanMode {
    fn from_info(mode: MacVlanMode) -> Self {
        match mode {
            MacVlanMode::Private => Self::Private,
            MacVlanMode::Vepa => Self::Vepa,
            MacVlanMode::Passthrough => Self::Passthru,
            MacVlanMode::Source => Self::Source,
            _ => Self::Bridge,
        }
    }

    fn info(self) -> MacVlanMode {
        match self {
            Self::Bridge => MacVlanMode::Bridge,
            Self::Private => MacVlanMode::Private,
            Self::Vepa => MacVlanMode::Vepa,
            Self::Passthru => MacVlanMode::Passthrough,
            Self::Source => MacVlanMode::Source,
        }
    }
}

impl Ipvlan {
    fn from_data(data: &[InfoIpVlan]) -> Self {
        let mut ipvlan = Self::default();
        for attribute in data {
            match attribute {
                InfoIpVlan::Mode(IpVlanMode::L3) => ipvlan.mode = IpvlanMode::L3,
                InfoIpVlan::Mode(IpVlanMode::L3S) => ipvlan.mode = IpvlanMode::L3s,
                InfoIpVlan::Flags(flags) if flags.contains(IpVlanFlags::Private) => {
                    ipvlan.flag = IpvlanFlag::Private;
                }
                InfoIpVlan::Flags(flags) if flags.contains(IpVlanFlags::Vepa) => {
                    ipvlan.flag = IpvlanFlag::Vepa;
                }
                _ => {}
            }
        }
        ipvlan
    }

    pub(super) fn data(self) -> InfoData {
        let mode = match self.mode {
            IpvlanMode::L2 => IpVlanMode::L2,
            IpvlanMode::L3 => IpVlanMode::L3,
            IpvlanMode::L3s => IpVlanMode::L3S,
        };
        let flags = match self.flag {
            IpvlanFlag::Bridge => IpVlanFlags::empty(),
            IpvlanFlag::Private => IpVlanFlags::Private,
            IpvlanFlag::Vepa => IpVlanFlags::Vepa,
        };
        InfoData::IpVlan(vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)])
    }
}

impl Vlan {
    fn from_data(data: &[InfoVlan]) -> Self {
        let mut vlan = Self::default();
        for attribute in data {
            match attribute {
                InfoVlan::Id(id) => vlan.id = *id,
                InfoVlan::Protocol(Tag::Ieee8021Ad) => vlan.protocol = VlanProtocol::Service,
                _ => {}
            }
        }
        vlan
    }

    pub(super) fn data(self) -> InfoData {
        let tag = match self.protocol {
            VlanProtocol::Customer => Tag::Ieee8021Q,
            VlanProtocol::Service => Tag::Ieee8021Ad,
        };
        InfoData::Vlan(vec![InfoVlan::Id(self.id), InfoVlan::Protocol(tag)])
    }
}

/// Attributes of a tun or tap device (linux/if_link.h), which netlink-packet-route does not know.
mod tun {
    pub(super) const OWNER: u16 = 1;
    pub(super) const GROUP: u16 = 2;
    pub(super) const TYPE: u16 = 3;
    pub(super) const PACKET_INFORMATION: u16 = 4;
    pub(super) const VNET_HEADER: u16 = 5;
    pub(super) const PERSISTENT: u16 = 6;
    pub(super) const MULTI_QUEUE: u16 = 7;
    /// `IFF_TUN`
    pub(super) const TUN: u8 = 1;
}

impl Tap {
    fn from_data(data: &[InfoTun]) -> Self {
        let mut tap = Self::default();
        for attribute in data {
            let mut value = vec![0; attribute.value_len()];
            attribute.emit_value(&mut value);
            let number = || value.first_chunk().copied().map(u32::from_ne_bytes);
            let byte = value.first().copied().unwrap_or_default();
            match attribute.kind() {
                tun::OWNER => tap.owner = number(),
                tun::GROUP => tap.group = number(),
                tun::TYPE => tap.is_tun = byte == tun::TUN,
                tun::PACKET_INFORMATION => tap.packet_information = byte != 0,
                tun::VNET_HEADER => tap.vnet_header = byte != 0,
                tun::PERSISTENT => tap.is_temporary = byte == 0,
                tun::MULTI_QUEUE => tap.multi_queue = byte != 0,
                _ => {}
            }
        }
        tap
    }
}

impl TunnelProtocol {
    fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Sit => "sit",
            Self::Ip6tnl => "ip6tnl",
        }
    }

    pub(super) fn info(self) -> InfoKind {
        match self {
            Self::Ipip => InfoKind::IpIp,
            Self::Sit => InfoKind::SitTun,
            Self::Ip6tnl => InfoKind::Ip6Tnl,
        }
    }
}

/// 0, whose name as a protocol is another.
const ANY_PROTOCOL: IpProtocol = IpProtocol::Hopopts;

impl Tunnel {
    /// `ipip`, as `ip link add type ipip` makes it when nothing more is said.
    pub const IPIP: Self = Self {
        protocol: TunnelProtocol::Ipip,
        lower: None,
        local: None,
        remote: None,
        ttl: 0,
        pmtudisc: true,
    };

    fn with_data(mut self, data: &[InfoIpTunnel]) -> Self {
        let address = |address: &IpAddr| (!address.is_unspecified()).then_some(*address);
        for attribute in data {
            match attribute {
                InfoIpTunnel::Link(index) => self.lower = link_index(*index),
                InfoIpTunnel::Local(local) => self.local = address(local),
                InfoIpTunnel::Remote(remote) => self.remote = address(remote),
                InfoIpTunnel::Ttl(ttl) => self.ttl = *ttl,
                InfoIpTunnel::PMtuDisc(pmtudisc) => self.pmtudisc = *pmtudisc,
                _ => {}
            }
        }
        self
    }

    pub(super) fn data(self) -> InfoData {
        let mut data = vec![InfoIpTunnel::Ttl(self.ttl)];
        if self.protocol == TunnelProtocol::Ipip {
            data.push(InfoIpTunnel::Protocol(ANY_PROTOCOL));
        }
        if !self.pmtudisc {
            data.push(InfoIpTunnel::PMtuDisc(false));
        }
        data.extend(self.lower.map(|lower| InfoIpTunnel::Link(lower.0)));
        data.extend(self.local.map(InfoIpTunnel::Local));
        data.extend(self.remote.map(InfoIpTunnel::Remote));
        InfoData::IpTunnel(data)
    }
}
