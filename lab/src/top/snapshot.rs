//! What there is to see of a lab at one moment, ready to be shown.

use std::net::IpAddr;
use std::ops::Add;

use ipnetwork::IpNetwork;

/// A lab at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    pub(super) lab: String,
    /// How packets travel, and where leases live.
    pub(super) made_of: String,
    /// In the lab's order.
    pub(super) nodes: Vec<NodeRow>,
    /// By name.
    pub(super) pods: Vec<PodRow>,
    /// The worst first.
    pub(super) problems: Vec<Problem>,
    /// The newest first.
    pub(super) repairs: Vec<Repair>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeRow {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    /// Leased by its netd.
    pub(super) subnets: Vec<IpNetwork>,
    pub(super) netd: Netd,
    /// How many run on it, of how many.
    pub(super) pods: (usize, usize),
    pub(super) lease: Lease,
    /// Leases of other nodes that its netd serves, of how many.
    pub(super) peers: Option<(u64, u64)>,
    /// What was put back since netd was started.
    pub(super) repairs: Option<u64>,
    pub(super) underlay: Option<Rate>,
    pub(super) tunnel: Option<Rate>,
}

/// How a netd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Netd {
    Ready,
    Degraded,
    NotReady,
    /// It runs, and does not answer.
    Silent,
    Stopped,
}

impl Netd {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::NotReady => "not ready",
            Self::Silent => "silent",
            Self::Stopped => "stopped",
        }
    }
}

/// A node's lease, as its netd tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lease {
    /// netd does not tell.
    Unknown,
    /// There is none.
    Missing,
    /// It has no end.
    Reserved,
    /// Seconds until it ends, unless it is renewed.
    EndsIn(u64),
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PodRow {
    pub(super) name: String,
    pub(super) node: String,
    /// Containers that are ready, of how many: `1/2`.
    pub(super) ready: String,
    /// All of them are.
    pub(super) is_ready: bool,
    /// In one word, as kubectl's.
    pub(super) status: String,
    pub(super) mood: Mood,
    pub(super) restarts: u32,
    pub(super) addresses: Vec<IpAddr>,
    /// In processors; absent before the second look.
    pub(super) cpu: Option<f64>,
    /// Working set, bytes.
    pub(super) memory: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    pub(super) traffic: Option<Rate>,
    /// Each container's name and what it does.
    pub(super) containers: Vec<(String, String)>,
}

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Good,
    /// On its way, or over.
    Waiting,
    Bad,
}

/// Bytes per second through a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) received: f64,
    pub(super) sent: f64,
}

impl Rate {
    pub(super) fn total(self) -> f64 {
        self.received + self.sent
    }
}

impl Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            sent: self.sent + other.sent,
        }
    }
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The node or the pod.
    pub(super) of: String,
    pub(super) what: String,
    pub(super) mood: Mood,
}

/// Something that a netd put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repair {
    pub(super) node: String,
    pub(super) object: String,
    pub(super) count: u64,
    /// Since the last time.
    pub(super) seconds: u64,
}
