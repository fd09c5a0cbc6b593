//! What netd knows of itself: one value, filled by the parts, read by the pages.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backend::{Device, Unserved};
use kernel::Route;
use serde::Serialize;

use crate::lease::{LeaseTable, OwnStatus, Sync};

/// How many peers, conflicts and errors a page lists; it always gives their number.
const LISTED: usize = 50;

/// Shared by all parts; every access is short.
#[derive(Debug)]
pub struct Status {
    state: Mutex<State>,
    started: Instant,
}

/// Everything that `/status` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct State {
    /// netd's version.
    pub version: &'static str,
    /// The pod network works: lease, datapath and subnet.env are in place.
    pub ready: bool,
    /// What netd waits for, while it is not ready.
    pub waiting_for: String,
    /// Backend, once the network config is known.
    pub backend: String,
    /// The store, for people.
    pub store: String,
    /// Why the store does not answer, if it does not.
    pub store_problem: Option<String>,
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
    /// The kernel objects.
    pub datapath: Datapath,
    /// The firewall rules.
    pub firewall: Firewall,
}

/// The external interface.
#[derive(Clone, Debug, Default, Serialize)]
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
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lease {
    /// Leased subnets, for people.
    pub subnets: String,
    /// Seconds left; absent for a reservation, which does not end.
    pub expires_in: Option<u64>,
    #[serde(skip)]
    expires: Option<Instant>,
    /// How often it was renewed.
    pub renewals: u64,
    /// How often it was taken again after it was gone.
    pub reclaims: u64,
    /// How often someone else had written it.
    pub foreign_writes: u64,
    /// The failure that is being retried.
    pub problem: Option<String>,
}

/// A device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceState {
    /// Name.
    pub name: String,
    /// Index.
    pub index: u32,
    /// MAC.
    pub mac: String,
    /// MTU, bytes.
    pub mtu: u32,
}

/// The other nodes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Peers {
    /// Leases of other nodes.
    pub known: usize,
    /// Subnets among them that cannot be served.
    pub unserved: usize,
    /// The first of those, and why.
    pub reasons: Vec<PeerReason>,
    /// Keys and values that are no leases.
    pub malformed: usize,
}

/// Why a peer is not served.
#[derive(Clone, Debug, Serialize)]
pub struct PeerReason {
    /// The peer's subnet.
    pub subnet: String,
    /// Why.
    pub reason: String,
}

/// The kernel objects.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Datapath {
    /// Wanted routes.
    pub routes: usize,
    /// Wanted neighbours.
    pub neighbours: usize,
    /// Wanted FDB entries.
    pub fdb: usize,
    /// Changes that the kernel refuses, tried again.
    pub failing: usize,
    /// Their errors.
    pub errors: Vec<String>,
    /// Other people's routes to our destinations.
    pub conflicts: usize,
    /// The first of those destinations.
    pub conflicting: Vec<String>,
    /// Passes made.
    pub passes: u64,
    /// Passes that could not be made.
    pub failed_passes: u64,
    /// Why the last pass could not be made.
    pub problem: Option<String>,
    /// Objects changed, ever.
    pub changes: u64,
    /// Of those: changes that undid somebody's doing.
    pub repairs: u64,
    /// Time of the last pass, microseconds.
    pub last_pass_us: u64,
}

/// The firewall rules.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Firewall {
    /// Masquerade rules are kept.
    pub masquerade: bool,
    /// Forward rules are kept.
    pub forward: bool,
    /// How often missing or changed rules were put back.
    pub repairs: u64,
    /// The last failure.
    pub problem: Option<String>,
}

/// One pass of the reconciler.
pub struct PassReport<'a> {
    /// Leases of other nodes.
    pub peers: usize,
    /// Those that cannot be served.
    pub unserved: &'a [Unserved],
    /// Wanted routes.
    pub routes: usize,
    /// Wanted neighbours.
    pub neighbours: usize,
    /// Wanted FDB entries.
    pub fdb: usize,
    /// Devices.
    pub devices: &'a [Device],
    /// Other people's routes in the way.
    pub conflicts: &'a [Route],
    /// Refused changes.
    pub failing: usize,
    /// Their errors.
    pub errors: Vec<String>,
    /// Objects changed in this pass.
    pub changes: usize,
    /// The changes undid somebody's doing.
    pub repair: bool,
    /// How long it took.
    pub duration: Duration,
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

impl Status {
    /// Of a process that just started.
    pub fn new() -> Self {
        let state = State {
            version: env!("CARGO_PKG_VERSION"),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            started: Instant::now(),
        }
    }

    /// Changes what the pages say.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    /// What the pages say now.
    pub fn snapshot(&self) -> State {
        let mut state = self.lock().clone();
        let left = |end: Instant| end.saturating_duration_since(Instant::now()).as_secs();
        state.lease.expires_in = state.lease.expires.map(left);
        state
    }

    /// Whether the pod network works.
    pub fn is_ready(&self) -> bool {
        self.lock().ready
    }

    /// Since the process started.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Enters a pass.
    pub fn passed(&self, pass: PassReport<'_>) {
        let mut state = self.lock();
        state.peers.known = pass.peers;
        state.peers.unserved = pass.unserved.len();
        state.peers.reasons = pass
            .unserved
            .iter()
            .take(LISTED)
            .map(PeerReason::of)
            .collect();
        state.devices = pass.devices.iter().map(DeviceState::of).collect();
        let datapath = &mut state.datapath;
        datapath.routes = pass.routes;
        datapath.neighbours = pass.neighbours;
        datapath.fdb = pass.fdb;
        datapath.failing = pass.failing;
        datapath.errors = pass.errors;
        if datapath.conflicts != pass.conflicts.len() {
            log_conflicts(pass.conflicts);
        }
        datapath.conflicts = pass.conflicts.len();
        let destinations = pass.conflicts.iter().take(LISTED);
        datapath.conflicting = destinations.map(|route| route.dst.to_string()).collect();
        datapath.changes += pass.changes as u64;
        datapath.repairs += if pass.repair { pass.changes as u64 } else { 0 };
        datapath.last_pass_us = u64::try_from(pass.duration.as_micros()).unwrap_or(u64::MAX);
    }

    /// Enters how the own lease goes.
    pub fn lease_changed(&self, own: &OwnStatus) {
        let lease = Lease {
            subnets: own.lease.subnets().to_string(),
            expires_in: None,
            expires: own.expires,
            renewals: own.renewals,
            reclaims: own.reclaims,
            foreign_writes: own.foreign_writes,
            problem: own.problem.clone(),
        };
        self.lock().lease = lease;
    }

    /// Enters how the store goes.
    pub fn table_changed(&self, table: &LeaseTable) {
        let mut state = self.lock();
        state.peers.malformed = table.malformed;
        state.store_problem = match &table.sync {
            Sync::Stale { reason, .. } => Some(reason.clone()),
            Sync::Waiting | Sync::Current => None,
        };
    }

    /// Enters how a pass ended; a new failure is logged, and its end as well.
    pub fn pass_outcome(&self, problem: Option<String>) {
        let mut state = self.lock();
        let datapath = &mut state.datapath;
        datapath.passes += 1;
        datapath.failed_passes += u64::from(problem.is_some());
        if datapath.problem != problem {
            match &problem {
                Some(problem) => tracing::warn!(problem, "cannot reconcile, will try again"),
                None => tracing::info!("reconciling again"),
            }
        }
        datapath.problem = problem;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_conflicts(conflicts: &[Route]) {
    for route in conflicts.iter().take(LISTED) {
        tracing::warn!(
            dst = %route.dst,
            protocol = route.protocol,
            "another route holds the destination, it is left alone"
        );
    }
}

impl PeerReason {
    fn of(unserved: &Unserved) -> Self {
        Self {
            subnet: unserved.subnet.to_string(),
            reason: unserved.reason.to_string(),
        }
    }
}

impl DeviceState {
    fn of(device: &Device) -> Self {
        Self {
            name: device.name.to_string(),
            index: device.link.0,
            mac: device.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            mtu: device.mtu,
        }
    }
}
