//! What `/status` prints, and `netd status` reads: one type for both.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use backend::Device;
use forwarder::Counts;
use serde::{Deserialize, Serialize};

use super::TunnelPeer;
use crate::health::{Level, Problem};
use crate::interface::External;

use super::peers::PeerState;
use super::repairs::Repair;

/// Everything that a running netd says of itself. A field that an older netd does not know is
/// read as its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// netd's version.
    pub version: String,
    /// When it started, RFC 3339 in UTC.
    pub started: String,
    /// The same in seconds until now.
    pub uptime: u64,
    /// Pods of this node reach the others; also while degraded.
    pub ready: bool,
    /// How the node does: `ready`, `degraded`, `not-ready`.
    pub level: Level,
    /// Why it is not simply ready, the worst first; a part's list may be cut.
    pub problems: Vec<Problem>,
    /// Backend, once the network config is known.
    pub backend: String,
    /// The store, for people.
    pub store: Store,
    /// The external interface.
    pub interface: Interface,
    /// The own lease.
    pub lease: Lease,
    /// `FLANNEL_MTU`, bytes.
    pub mtu: u32,
    /// The backend's devices.
    pub devices: Vec<DeviceState>,
    /// The other nodes.
    pub peers: Peers,
    /// Peers of the devices that are WireGuard's, as they are now.
    pub tunnels: Vec<TunnelPeer>,
    /// The program that carries packets, with the backend udp.
    pub forwarder: Option<Forwarder>,
    /// The kernel objects.
    pub datapath: Datapath,
    /// The firewall rules.
    pub firewall: Firewall,
    /// What was put back lately, the newest first.
    pub repaired: Vec<Repair>,
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// Its name for people.
    pub name: String,
    /// It answers.
    pub up: bool,
    /// The network config differs from the one that this netd started with.
    pub config_changed: bool,
}

/// The external interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Why it was chosen.
    pub because: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The advertised ones.
    pub public: Vec<String>,
}

/// The own lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// Leased subnets, for people.
    pub subnets: String,
    /// Seconds left; absent for a reservation, which does not end.
    pub expires_in: Option<u64>,
    /// When it ends unless it is renewed, RFC 3339 in UTC; absent for a reservation.
    pub expires_at: Option<String>,
    /// When it ends.
    #[serde(skip)]
    pub(super) expires: Option<Instant>,
    /// How often it was renewed.
    pub renewals: u64,
    /// How often it was taken again after it was gone.
    pub reclaims: u64,
    /// How often someone else had written it.
    pub foreign_writes: u64,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceState {
    /// Name.
    pub name: String,
    /// Index.
    pub index: u32,
    /// MAC; empty for a device without one.
    pub mac: String,
    /// Public key; empty for a device without one.
    pub public_key: String,
    /// MTU, bytes.
    pub mtu: u32,
    /// Whether packets get their checksums from the link below, and not from the kernel; of a VXLAN
    /// device alone.
    pub checksum_offload: Option<bool>,
}

/// The other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Peers {
    /// Leases of other nodes.
    pub known: usize,
    /// Leases among them of which every subnet is served.
    pub served: usize,
    /// Subnets among them that are not served; each is a problem.
    pub unserved: usize,
    /// How many of those subnets there are, by the kind of reason.
    pub unserved_by_reason: BTreeMap<String, usize>,
    /// Keys and values that are no leases.
    pub malformed: usize,
    /// The nodes, in the order of their keys.
    pub nodes: Vec<PeerState>,
}

/// The program that carries the packets of the backend udp.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forwarder {
    /// It works.
    pub running: bool,
    /// Its process, while it works.
    pub pid: Option<u32>,
    /// Subnets of other nodes that it has been told.
    pub peers: usize,
    /// How often it was started.
    pub starts: u64,
    /// Why it last ended without being told to; empty if it never did.
    pub last_failure: String,
    /// What it has done since it was started.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The kernel objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Datapath {
    /// Wanted routes.
    pub routes: usize,
    /// Wanted neighbours.
    pub neighbours: usize,
    /// Wanted FDB entries.
    pub fdb: usize,
    /// Wanted peers of WireGuard devices.
    pub wireguard_peers: usize,
    /// Changes that the kernel refuses, tried again; each is a problem.
    pub failing: usize,
    /// Other people's routes to our destinations; each is a problem.
    pub conflicts: usize,
    /// Passes made.
    pub passes: u64,
    /// Passes that could not be made.
    pub failed_passes: u64,
    /// Objects changed, ever.
    pub changes: u64,
    /// Of those: changes that undid somebody's doing.
    pub repairs: u64,
    /// Time of the last pass, microseconds.
    pub last_pass_us: u64,
}

/// The firewall rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Firewall {
    /// Masquerade rules are kept.
    pub masquerade: bool,
    /// Forward rules are kept.
    pub forward: bool,
    /// How masqueraded connections get their source ports; absent where none are masqueraded.
    pub source_ports: Option<SourcePorts>,
    /// How often missing or changed rules were put back.
    pub repairs: u64,
}

/// How masqueraded connections get their source ports. Only chance keeps two that begin at once from
/// being given the same one, of which the kernel notices late and drops a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePorts {
    /// By chance.
    Random,
    /// As the kernel finds them: netd was told so.
    Disabled,
    /// The same, because iptables or the kernel refuses to choose by chance.
    Refused,
}

impl Interface {
    /// Of an interface that was chosen.
    pub fn of(external: &External) -> Self {
        let list = |v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>| {
            let v4 = v4.map(|address| address.to_string());
            let v6 = v6.map(|address| address.to_string());
            v4.into_iter().chain(v6).collect()
        };
        Self {
            name: external.name.to_string(),
            because: external.because.clone(),
            addresses: list(external.address, external.v6_address),
            public: list(external.public_ip, external.public_ipv6),
        }
    }
}

impl DeviceState {
    /// Of a device as it is now.
    pub fn of(device: &Device) -> Self {
        Self {
            name: device.name.to_string(),
            index: device.link.0,
            mac: device.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            public_key: device
                .public_key
                .map(|key| key.to_string())
                .unwrap_or_default(),
            mtu: device.mtu,
            checksum_offload: device.checksum_offload,
        }
    }
}
