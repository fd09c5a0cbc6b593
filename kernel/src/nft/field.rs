//! What rules look at: fields of packets and what the kernel knows of them.

use super::{KeyType, TableFamily, kind};
use crate::Family;

/// What can be looked up in a set or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `ip saddr`
    Source(Family),
    /// `ip daddr`
    Destination(Family),
    /// `th sport`
    SourcePort,
    /// `th dport`
    DestinationPort,
    /// `meta l4proto`
    Protocol,
    /// `meta mark`
    Mark,
    /// `ct mark`
    ConntrackMark,
    /// `iifname`
    InputInterface,
    /// `oifname`
    OutputInterface,
    /// `ether saddr`
    EtherSource,
    /// `ether daddr`
    EtherDestination,
}

impl Field {
    pub(super) const ALL: [Self; 13] = [
        Self::Source(Family::V4),
        Self::Source(Family::V6),
        Self::Destination(Family::V4),
        Self::Destination(Family::V6),
        Self::SourcePort,
        Self::DestinationPort,
        Self::Protocol,
        Self::Mark,
        Self::ConntrackMark,
        Self::InputInterface,
        Self::OutputInterface,
        Self::EtherSource,
        Self::EtherDestination,
    ];

    /// The type of its values.
    pub fn key_type(self) -> KeyType {
        match self {
            Self::Source(family) | Self::Destination(family) => KeyType::Address(family),
            Self::SourcePort | Self::DestinationPort => KeyType::Port,
            Self::Protocol => KeyType::Protocol,
            Self::Mark | Self::ConntrackMark => KeyType::Mark,
            Self::InputInterface | Self::OutputInterface => KeyType::InterfaceName,
            Self::EtherSource | Self::EtherDestination => KeyType::Mac,
        }
    }

    /// The IP family that must be certain before this field is read.
    pub(super) fn family(self) -> Option<Family> {
        match self {
            Self::Source(family) | Self::Destination(family) => Some(family),
            _ => None,
        }
    }

    /// Where its value comes from. Offsets: RFC 791, RFC 8200, RFC 9293, IEEE 802.3.
    pub(super) fn origin(self) -> Origin {
        match self {
            Self::Source(Family::V4) => Origin::network(12),
            Self::Destination(Family::V4) => Origin::network(16),
            Self::Source(Family::V6) => Origin::network(8),
            Self::Destination(Family::V6) => Origin::network(24),
            Self::SourcePort => Origin::Packet(kind::payload::TRANSPORT_HEADER, 0),
            Self::DestinationPort => Origin::Packet(kind::payload::TRANSPORT_HEADER, 2),
            Self::Protocol => Origin::Meta(kind::meta::L4PROTO),
            Self::Mark => Origin::Meta(kind::meta::MARK),
            Self::ConntrackMark => Origin::Conntrack(kind::conntrack::MARK),
            Self::InputInterface => Origin::Meta(kind::meta::IIFNAME),
            Self::OutputInterface => Origin::Meta(kind::meta::OIFNAME),
            Self::EtherSource => Origin::Packet(kind::payload::LINK_HEADER, 6),
            Self::EtherDestination => Origin::Packet(kind::payload::LINK_HEADER, 0),
        }
    }

    pub(super) fn at(origin: Origin) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.origin() == origin)
    }
}

/// What an expression loads into a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Bytes of a header, from an offset on.
    Packet(u32, u32),
    /// What the kernel knows of the packet.
    Meta(u32),
    /// What the kernel knows of the connection.
    Conntrack(u32),
    /// What kind of address the destination is.
    DestinationType,
}

impl Origin {
    fn network(offset: u32) -> Self {
        Self::Packet(kind::payload::NETWORK_HEADER, offset)
    }

    /// Where a table of `family` sees the IP family of a packet, and what it sees then; `None`
    /// where all packets are of one.
    pub(super) fn of_version(table: TableFamily, family: Family) -> Option<(Self, Vec<u8>)> {
        match table {
            TableFamily::Inet | TableFamily::Bridge => Some(Self::of_any_version(table, family)),
            TableFamily::Ip | TableFamily::Ip6 => None,
        }
    }

    /// As [`of_version`](Self::of_version), also where there is nothing to find out.
    pub(super) fn of_any_version(table: TableFamily, family: Family) -> (Self, Vec<u8>) {
        match table {
            TableFamily::Bridge => {
                let value = ether_type(family).to_vec();
                (Self::Meta(kind::meta::PROTOCOL), value)
            }
            _ => (Self::Meta(kind::meta::NFPROTO), vec![nfproto(family)]),
        }
    }

    /// The IP family that `value` of this origin stands for.
    pub(super) fn version(self, value: &[u8]) -> Option<Family> {
        Family::ALL.into_iter().find(|family| match self {
            Self::Meta(kind::meta::NFPROTO) => value == [nfproto(*family)],
            Self::Meta(kind::meta::PROTOCOL) => value == ether_type(*family),
            _ => false,
        })
    }
}

/// NFPROTO_IPV4 and NFPROTO_IPV6
pub(super) fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// ETH_P_IP and ETH_P_IPV6
fn ether_type(family: Family) -> [u8; 2] {
    match family {
        Family::V4 => [0x08, 0x00],
        Family::V6 => [0x86, 0xdd],
    }
}
