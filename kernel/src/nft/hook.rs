//! Where base chains see packets, and in what order.

use super::TableFamily;

/// What a base chain is for (`type` in nft(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Passes and drops packets.
    Filter,
    /// Translates addresses; sees the first packet of a connection only.
    Nat,
    /// Packets of this host whose mark the routing looks at again.
    Route,
}

impl ChainKind {
    const ALL: [Self; 3] = [Self::Filter, Self::Nat, Self::Route];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }

    pub(super) fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A place in the path of packets. The numbers are the same for IP and for bridges, but for
/// `ingress`, which only the `inet` family has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// `prerouting`
    Prerouting,
    /// `input`
    Input,
    /// `forward`
    Forward,
    /// `output`
    Output,
    /// `postrouting`
    Postrouting,
    /// `ingress` of a device: before everything else (Linux 5.10).
    Ingress,
}

impl Point {
    const ALL: [Self; 6] = [
        Self::Prerouting,
        Self::Input,
        Self::Forward,
        Self::Output,
        Self::Postrouting,
        Self::Ingress,
    ];

    /// NF_INET_PRE_ROUTING to NF_INET_INGRESS
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
            Self::Ingress => 5,
        }
    }

    pub(super) fn read(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.number() == number)
    }
}

/// The order of chains at one point: lower sees a packet earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub i32);

impl Priority {
    /// `raw`
    pub const RAW: Self = Self(-300);
    /// `mangle`
    pub const MANGLE: Self = Self(-150);
    /// `security`
    pub const SECURITY: Self = Self(50);

    /// `dstnat` of a family of tables.
    pub const fn dstnat(family: TableFamily) -> Self {
        Self(if family.is_bridge() { -300 } else { -100 })
    }

    /// `filter` of a family of tables.
    pub const fn filter(family: TableFamily) -> Self {
        Self(if family.is_bridge() { -200 } else { 0 })
    }

    /// `srcnat` of a family of tables.
    pub const fn srcnat(family: TableFamily) -> Self {
        Self(if family.is_bridge() { 300 } else { 100 })
    }
}

/// What becomes of packets at the end of a base chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// They pass this point.
    #[default]
    Accept,
    /// They are discarded.
    Drop,
}

/// Where a base chain sees packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What the chain is for.
    pub kind: ChainKind,
    /// Where it sees packets.
    pub point: Point,
    /// In what order.
    pub priority: Priority,
    /// What becomes of packets at its end.
    pub policy: Policy,
}
