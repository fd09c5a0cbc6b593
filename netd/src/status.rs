//! What netd knows of itself: one value, filled by the parts, read by the pages.

mod histogram;
mod lines;
mod peers;
mod reach;
mod repairs;
mod state;
mod tunnel;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use backend::{Device, Unserved};
use ipnetwork::IpNetwork;
use kernel::Netlink;

pub use histogram::Histogram;
use lines::Lines;
use peers::Directory;
pub use peers::{Lack, Object, PeerState, Served};
pub use reach::{Reach, Reachable, ServedSubnet};
pub use repairs::Repair;
use repairs::Repairs;
pub use state::{
    Datapath, DeviceState, Firewall, Forwarder, Interface, Lease, Peers, SourcePorts, State, Store,
};
pub use tunnel::TunnelPeer;

use crate::health::{Finding, Health, Level, Part, Severity, Turn};
use crate::interface::External;
use crate::lease::{LeaseTable, OwnStatus, Sync};
use crate::reconcile::words;
use crate::stamp::{self, Stamp};
use crate::store::Term;

/// How many problems of one part the pages list; counters have their number.
const LISTED: usize = 50;
/// A store may be out of reach for this long before the node is degraded.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shared by all parts; every access is short.
pub struct Status {
    inner: Mutex<Inner>,
    /// Asked for what changes without netd.
    netlink: OnceLock<Netlink>,
    started: Stamp,
}

#[derive(Debug)]
struct Inner {
    state: State,
    health: Health,
    /// The level that the log knows.
    told: Level,
    lines: Lines,
    directory: Directory,
    repairs: Repairs,
    durations: Durations,
}

/// How long things take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Durations {
    /// A pass of the reconciler.
    pub reconcile: Histogram,
    /// The store's answer to a question.
    pub store: Histogram,
}

/// One pass of the reconciler.
pub struct PassReport<'a> {
    /// Leases of other nodes.
    pub table: &'a Arc<LeaseTable>,
    /// Subnets among them that are not served.
    pub unserved: &'a [Unserved],
    /// Objects of those that are, and that the kernel does not have.
    pub lacks: Vec<Lack>,
    /// Wanted routes.
    pub routes: usize,
    /// Wanted neighbours.
    pub neighbours: usize,
    /// Wanted FDB entries.
    pub fdb: usize,
    /// Wanted peers of WireGuard devices.
    pub wireguard: usize,
    /// Devices.
    pub devices: &'a [Device],
    /// Other people's routes in the way.
    pub conflicts: Vec<Finding>,
    /// Refused changes.
    pub failing: Vec<Finding>,
    /// Objects that somebody else changes again and again.
    pub fought: Vec<Finding>,
    /// Objects changed in this pass.
    pub changes: usize,
    /// Of those: changes that undid somebody's doing.
    pub repairs: usize,
    /// What was put back, as far as anybody will read of it.
    pub repaired: Vec<String>,
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
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..State::default()
        };
        let inner = Inner {
            state,
            health: Health::default(),
            told: Level::NotReady,
            lines: Lines::new(),
            directory: Directory::default(),
            repairs: Repairs::default(),
            durations: Durations::default(),
        };
        let status = Self {
            inner: Mutex::new(inner),
            netlink: OnceLock::new(),
            started: Stamp::now(),
        };
        status.waiting("the first step");
        status
    }

    /// Changes what the pages say.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock().state);
    }

    /// From now on the kernel is asked for what changes without netd: how tunnels do.
    pub fn look_with(&self, netlink: Netlink) {
        // Who comes second asks the same kernel.
        let _ = self.netlink.set(netlink);
    }

    /// All that the pages say now, each peer included.
    pub fn whole(&self) -> State {
        let mut state = self.snapshot();
        let directory = self.lock().directory.clone();
        state.peers.nodes = directory.rows(&Stamp::now());
        if let Some(netlink) = self.netlink.get() {
            state.tunnels = tunnel::peers(netlink, &state.devices);
        }
        state
    }

    /// What the pages say now, without the peers one by one.
    pub fn snapshot(&self) -> State {
        let now = Stamp::now();
        let inner = self.lock();
        let mut state = inner.state.clone();
        let left = |end: Instant| end.saturating_duration_since(now.instant);
        state.lease.expires_in = state.lease.expires.map(|end| left(end).as_secs());
        let end = |end: Instant| stamp::text(now.clock + left(end));
        state.lease.expires_at = state.lease.expires.map(end);
        state.started = self.started.text(&now);
        state.uptime = self.started.seconds(&now);
        state.peers.unserved_by_reason = inner.directory.by_reason();
        state.peers.served = inner.directory.served();
        state.repaired = inner.repairs.all(&now);
        state.level = inner.health.level(now.instant);
        state.ready = state.level != Level::NotReady;
        state.problems = inner.health.problems(now.instant, LISTED);
        state
    }

    /// Whether pods of this node reach the others, degraded or not.
    pub fn is_ready(&self) -> bool {
        self.lock().health.level(Instant::now()) != Level::NotReady
    }

    /// What keeps the node from being ready.
    pub fn why_not_ready(&self) -> Option<String> {
        let problems = self.lock().health.problems(Instant::now(), LISTED);
        let worst = problems.into_iter().next()?;
        (worst.severity == Severity::NotReady).then_some(worst.what)
    }

    /// Since the process started.
    pub fn uptime(&self) -> Duration {
        self.started.instant.elapsed()
    }

    /// All that `part` finds wrong now, in place of what it found before. New problems and
    /// those that ended are logged, as is a change of the node's level.
    pub fn report(&self, part: Part, findings: Vec<Finding>) {
        let mut inner = self.lock();
        let turn = inner.health.report(part, findings, Instant::now());
        inner.tell(&turn);
        inner.tell_level();
    }

    /// Enters and logs which external interface was chosen.
    pub fn chose(&self, external: &External) {
        let interface = Interface::of(external);
        tracing::info!(
            "external interface {} ({}), addresses {}, public {}",
            interface.name,
            interface.because,
            interface.addresses.join(" "),
            interface.public.join(" ")
        );
        self.update(|state| state.interface = interface);
    }

    /// The start is not complete: it waits for `what`.
    pub fn waiting(&self, what: &str) {
        let finding = Finding::new(Severity::NotReady, "", format!("waiting for {what}"));
        self.quietly(Part::Start, vec![finding]);
    }

    /// The start is complete.
    pub fn started(&self) {
        self.quietly(Part::Start, Vec::new());
    }

    /// For problems that the finder logs itself.
    fn quietly(&self, part: Part, findings: Vec<Finding>) {
        let mut inner = self.lock();
        inner.health.report(part, findings, Instant::now());
        inner.tell_level();
    }

    /// Enters a pass.
    pub fn passed(&self, pass: PassReport<'_>) {
        self.lock().enter(&pass);
        self.update(|state| {
            state.peers.known = pass.table.peers.len();
            state.peers.unserved = pass.unserved.len();
            state.devices = pass.devices.iter().map(DeviceState::of).collect();
            let datapath = &mut state.datapath;
            datapath.routes = pass.routes;
            datapath.neighbours = pass.neighbours;
            datapath.fdb = pass.fdb;
            datapath.wireguard_peers = pass.wireguard;
            datapath.failing = pass.failing.len();
            datapath.conflicts = pass.conflicts.len();
            datapath.changes += pass.changes as u64;
            datapath.repairs += pass.repairs as u64;
            datapath.last_pass_us = u64::try_from(pass.duration.as_micros()).unwrap_or(u64::MAX);
        });
        let unserved = pass.unserved.iter().map(words::unserved);
        self.report(Part::Peers, unserved.collect());
        let objects = pass.conflicts.into_iter().chain(pass.failing);
        let objects = objects.chain(pass.fought);
        self.report(Part::Datapath, objects.collect());
    }

    /// The largest packet between pods, bytes.
    pub fn mtu(&self) -> u32 {
        self.lock().state.mtu
    }

    /// The peers' subnets that are served now.
    pub fn served_subnets(&self) -> Vec<ServedSubnet> {
        self.lock().directory.served_subnets()
    }

    /// Enters how the probes go.
    pub fn probed(&self, reach: BTreeMap<IpNetwork, Reach>) {
        self.lock().directory.reach = reach;
    }

    /// How the probes go, subnet by subnet.
    pub fn reach(&self) -> Vec<Reach> {
        self.lock().directory.reach.values().cloned().collect()
    }

    /// How long things took so far.
    pub fn durations(&self) -> Durations {
        self.lock().durations
    }

    /// Enters how long the store took to answer.
    pub fn store_answered(&self, duration: Duration) {
        self.lock().durations.store.observe(duration);
    }

    /// Enters something other than kernel objects of the datapath that was put back.
    pub fn repaired(&self, object: &str) {
        self.lock().repairs.add(object.to_owned(), Stamp::now());
    }

    /// Enters how the own lease goes; its keeper logs.
    pub fn lease_changed(&self, own: &OwnStatus) {
        let lease = Lease {
            subnets: own.lease.subnets().to_string(),
            expires_in: None,
            expires_at: None,
            expires: own.expires,
            renewals: own.renewals,
            reclaims: own.reclaims,
            foreign_writes: own.foreign_writes,
        };
        self.update(|state| state.lease = lease);
        self.quietly(Part::Lease, lease_findings(own));
        let fight = own.fight.iter();
        let fight = fight.map(|what| {
            Finding::new(Severity::Degraded, "", what.as_str()).remedy(ONE_ADDRESS_EACH)
        });
        self.report(Part::Fight, fight.collect());
    }

    /// Enters how the store goes; the follower of the leases logs.
    pub fn table_changed(&self, table: &LeaseTable) {
        self.update(|state| {
            state.peers.malformed = table.malformed;
            state.store.up = table.sync == Sync::Current;
        });
        let finding = match &table.sync {
            Sync::Stale { since, reason } => {
                let what = format!("the leases are not followed: {reason}");
                let finding = Finding::new(Severity::Degraded, "", what).remedy(SEE_THE_STORE);
                Some(finding.counting_from(*since + PATIENCE))
            }
            Sync::Waiting | Sync::Current => None,
        };
        self.quietly(Part::Store, finding.into_iter().collect());
        let complaints = table.complaints.iter().map(|(key, what)| {
            Finding::new(Severity::Notice, key.as_str(), what.as_str()).remedy(MEND_THE_LEASE)
        });
        self.quietly(Part::Leases, complaints.collect());
    }

    /// Enters how a pass ended: which part could not do its work, and why.
    pub fn pass_outcome(&self, problem: Option<(Part, String)>) {
        self.update(|state| {
            state.datapath.passes += 1;
            state.datapath.failed_passes += u64::from(problem.is_some());
        });
        let found = problem.as_ref().map(|(part, _)| *part);
        for part in [Part::Interface, Part::Device, Part::Kernel] {
            if found != Some(part) {
                self.report(part, Vec::new());
            }
        }
        if let Some((part, what)) = problem {
            let remedy = match part {
                Part::Interface => BRING_THE_INTERFACE,
                Part::Device => SEE_THE_DEVICE,
                _ => "",
            };
            let finding = Finding::new(Severity::NotReady, "", what).remedy(remedy);
            self.report(part, vec![finding]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const ONE_ADDRESS_EACH: &str =
    "give each node an address of its own: start one of them with another -public-ip or -iface";
const MEND_THE_LEASE: &str = "whoever wrote it must mend it: a daemon writes its own anew when it is \
    restarted; nobody serves it until then, or as it was before";
const SEE_THE_STORE: &str = "see whether the store runs and can be reached from this node; the pod \
    network goes on as it is meanwhile";
const BRING_THE_INTERFACE: &str = "bring the interface back, or start netd with another -iface";
const SEE_THE_DEVICE: &str = "what holds the device's name, VNI or port must go; netd tries again \
    every second";

impl Inner {
    fn enter(&mut self, pass: &PassReport<'_>) {
        let directory = &mut self.directory;
        directory.table = Arc::clone(pass.table);
        if directory.unserved != pass.unserved {
            directory.unserved = pass.unserved.to_vec();
        }
        directory.lacks.clone_from(&pass.lacks);
        self.durations.reconcile.observe(pass.duration);
        for object in &pass.repaired {
            self.repairs.add(object.clone(), Stamp::now());
        }
    }

    fn tell(&mut self, turn: &Turn) {
        for what in &turn.began {
            if self.may_write() {
                tracing::warn!("{what}");
            }
        }
        for (what, lasted) in &turn.ended {
            if self.may_write() {
                tracing::info!("over after {} s: {what}", lasted.as_secs());
            }
        }
    }

    fn may_write(&mut self) -> bool {
        if let Some(left_out) = self.lines.left_out(Instant::now()) {
            tracing::warn!("{left_out} more lines about problems left out: see `netd status`");
        }
        self.lines.may_write()
    }

    /// A level that comes and goes within a second may stay untold; the last one does not, since
    /// every part reports again.
    fn tell_level(&mut self) {
        let level = self.health.level(Instant::now());
        if level == self.told || !self.may_write() {
            return;
        }
        match level {
            Level::Ready => tracing::info!("ready"),
            Level::Degraded => tracing::warn!("degraded"),
            Level::NotReady => tracing::warn!("not ready any more"),
        }
        self.told = level;
    }
}

/// A lease that cannot be kept is held until it ends; one that a cluster gave is what the others see of
/// this node, now.
fn lease_findings(own: &OwnStatus) -> Vec<Finding> {
    let Some(problem) = &own.problem else {
        return Vec::new();
    };
    let subnets = own.lease.subnets();
    let what = format!("this node's lease of {subnets} cannot be kept: {problem}");
    let finding = match own.expires {
        Some(end) => Finding::new(Severity::NotReady, "", what).counting_from(end),
        None if own.lease.holding.term == Term::Node => Finding::new(Severity::Degraded, "", what),
        None => Finding::new(Severity::Notice, "", what),
    };
    vec![finding.remedy(SEE_THE_STORE)]
}
