//! A lab at one moment, ready to be shown. As JSON it is the page `/api/v1/snapshot` of `lab ui`, of which
//! `docs/lab.md` lists the fields: they keep their names and meanings.

use std::net::IpAddr;
use std::ops::Add;

use ipnetwork::IpNetwork;
use serde::Serialize;

use crate::fault::InForce;

/// A lab at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) lab: String,
    /// How packets travel between nodes.
    pub(crate) backend: String,
    /// Where leases live.
    pub(crate) store: String,
    /// Where pods' addresses come from.
    pub(crate) pod_networks: Vec<IpNetwork>,
    /// In the lab's order.
    pub(crate) underlays: Vec<UnderlayRow>,
    pub(crate) routers: Vec<RouterRow>,
    /// In the lab's order.
    pub(crate) nodes: Vec<NodeRow>,
    /// By name.
    pub(crate) pods: Vec<PodRow>,
    /// From each node whose netd answers to each of its peers.
    pub(crate) paths: Vec<Path>,
    /// The worst first.
    pub(crate) problems: Vec<Problem>,
    /// The newest first.
    pub(crate) repairs: Vec<Repair>,
    /// Those of `lab fault ls`.
    pub(crate) faults: Vec<InForce>,
}

/// A network that joins nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UnderlayRow {
    pub(crate) name: String,
    pub(crate) subnets: Vec<IpNetwork>,
    /// Bytes; the kernel's when absent.
    pub(crate) mtu: Option<u32>,
}

/// What joins underlays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RouterRow {
    pub(crate) name: String,
    pub(crate) underlays: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct NodeRow {
    pub(crate) name: String,
    /// The underlay that it is on.
    pub(crate) underlay: String,
    pub(crate) addresses: Vec<IpAddr>,
    /// Leased by its netd.
    pub(crate) subnets: Vec<IpNetwork>,
    /// What is wrong with its cable from the start.
    pub(crate) impairment: Option<String>,
    pub(crate) netd: Netd,
    pub(crate) pods: PodCount,
    pub(crate) lease: Lease,
    /// Leases of other nodes that its netd knows, and how many of them it serves.
    pub(crate) peers_known: Option<u64>,
    pub(crate) peers_served: Option<u64>,
    /// What was put back since netd was started.
    pub(crate) repairs: Option<u64>,
    /// Through its link to the underlay, what its tunnels carry included.
    pub(crate) cable: Option<Rate>,
    /// Through netd's devices.
    pub(crate) tunnel: Option<Rate>,
}

/// How many pods a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PodCount {
    pub(crate) running: usize,
    pub(crate) all: usize,
}

/// How a netd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Netd {
    Ready,
    Degraded,
    NotReady,
    /// It runs, and does not answer.
    Silent,
    Stopped,
}

impl Netd {
    pub(crate) fn as_str(self) -> &'static str {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "seconds", rename_all = "kebab-case")]
pub(crate) enum Lease {
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
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct PodRow {
    pub(crate) name: String,
    pub(crate) node: String,
    /// Containers that are ready, of how many: `1/2`.
    pub(crate) ready: String,
    /// All of them are.
    pub(crate) is_ready: bool,
    /// In one word, as kubectl's.
    pub(crate) status: String,
    pub(crate) mood: Mood,
    pub(crate) restarts: u32,
    pub(crate) addresses: Vec<IpAddr>,
    /// In processors; absent before the second look.
    pub(crate) cpu_cores: Option<f64>,
    /// The working set.
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_limit_bytes: Option<u64>,
    pub(crate) traffic: Option<Rate>,
    pub(crate) containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// What it does.
    pub(crate) state: String,
}

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mood {
    #[default]
    Good,
    /// On its way, or over.
    Waiting,
    Bad,
}

/// Bytes per second through a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rate {
    #[serde(rename = "received_bytes_per_second")]
    pub(crate) received: f64,
    #[serde(rename = "sent_bytes_per_second")]
    pub(crate) sent: f64,
}

impl Rate {
    pub(crate) fn total(self) -> f64 {
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

/// The way from a node to another, as the first one's netd tells (`peers.nodes[]` in `docs/netd.md`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Path {
    pub(crate) from: String,
    pub(crate) to: String,
    /// `programmed`, `held`, `conflict`, `refused` or `unserved`.
    pub(crate) state: String,
    /// Why it is not programmed; empty when it is.
    pub(crate) reason: String,
    /// None unless netd sends probes.
    pub(crate) probes: Vec<Probe>,
}

/// What netd's probes of a subnet found (`peers.nodes[].reach[]` in `docs/netd.md`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Probe {
    pub(crate) subnet: String,
    /// `unknown`, `yes`, `lossy`, `small-only`, `one-way`, `no` or `silent`.
    pub(crate) state: String,
    /// The median time from a small probe to its answer.
    pub(crate) round_trip_us: Option<u64>,
    /// Small probes, of the last ones.
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    /// The same of probes of full size.
    pub(crate) full_sent: u64,
    pub(crate) full_lost: u64,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The node or the pod.
    pub(crate) of: String,
    pub(crate) what: String,
    pub(crate) mood: Mood,
}

/// Something that a netd put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Repair {
    pub(crate) node: String,
    pub(crate) object: String,
    pub(crate) count: u64,
    /// Since the last time.
    pub(crate) seconds: u64,
}
