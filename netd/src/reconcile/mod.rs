//! Observe, plan, apply: makes the kernel agree with the leases.
//!
//! One task owns all of it. It wakes when the lease table changes, when the kernel reports a
//! change to something of ours, when a refused change is due again, and every 30 seconds. An
//! event only wakes it; what is done follows from comparing everything. Where nothing but a few leases
//! has changed since everything was right, what they change is done without a look at the rest.

pub mod devices;
pub mod digest;
mod failures;
mod fights;
mod observe;
mod plan;
mod step;
mod tunnels;
mod wake;
pub mod words;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use backend::Underlay;
use backend::{Backend, Device, Family, Forwarding, RouteKey, Unfit, Wanted};
use cluster::{LeaseAttrs, NetworkConfig, Subnets, VtepData};
use kernel::{Change, Entry, Event, IfName, Link, LinkIndex, MacAddr, Netlink, Wireguard};
use tokio::sync::watch;
use tokio::time::Instant;

pub use devices::DeviceError;
use devices::Known;
use digest::Digest;
pub use digest::Done;
pub use failures::Failures;
use fights::Fights;
pub use observe::{next_hops, observe};
pub use plan::{Observed, Ownership, Plan, plan};
use step::{Nodes, Question, Step};
use tunnels::Told;
pub use wake::{Wake, run};
use words::Names;

use crate::extension::Published;
use crate::health::{Finding, Part};
use crate::lease::LeaseTable;
use crate::stamp::Stamp;
use crate::status::{Lack, Object, PassReport, Served, Status};
use crate::underlay::{Follower, Missing};

/// Changes applied before the daemon's other tasks get their turn: some milliseconds.
const AT_A_TIME: usize = 512;

/// A pass that could not be made; the next one may work.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The kernel does not answer.
    #[error("the kernel's state cannot be read")]
    Observe(#[source] kernel::Error),
    /// The changes could not be sent.
    #[error("the changes cannot be sent to the kernel")]
    Apply(#[source] kernel::Error),
    /// The external interface is gone.
    #[error(transparent)]
    NoExternal(#[from] Missing),
    /// The backend does not work with the external interface as it is now.
    #[error("the backend does not fit the external interface")]
    Unfit(#[from] Unfit),
    /// The backend's device cannot be had.
    #[error("the backend's device cannot be set up")]
    Device(#[from] DeviceError),
}

impl PassError {
    /// Whose fault it is.
    pub fn part(&self) -> Part {
        match self {
            Self::NoExternal(_) | Self::Unfit(_) => Part::Interface,
            Self::Device(_) => Part::Device,
            Self::Observe(_) | Self::Apply(_) => Part::Kernel,
        }
    }
}

/// What others are told of this node: in its lease, and in subnet.env.
#[derive(Clone, Debug, PartialEq)]
pub struct Facing {
    /// The lease's value.
    pub attrs: LeaseAttrs,
    /// What pods use as MTU, bytes.
    pub mtu: u32,
}

/// Before anything is known.
impl Default for Facing {
    fn default() -> Self {
        Self {
            attrs: LeaseAttrs::new(Ipv4Addr::UNSPECIFIED, None),
            mtu: 0,
        }
    }
}

/// Everything that reconciling needs to know and remember.
pub struct Reconciler {
    netlink: Netlink,
    backend: Box<dyn Backend>,
    config: NetworkConfig,
    families: Vec<Family>,
    follower: Follower,
    /// The last look found no external interface.
    lost: bool,
    /// What others are told of this node.
    facing: watch::Sender<Facing>,
    /// What a program is told of the others.
    published: watch::Sender<Published>,
    /// What a program carries packets by.
    forwarding: watch::Sender<Option<Forwarding>>,
    own: Option<Subnets>,
    /// What was published, so that a device made anew has the same.
    macs: BTreeMap<IfName, MacAddr>,
    devices: Vec<Device>,
    /// The WireGuard devices among them, as they were found; a plan takes them.
    tunnels: Vec<(LinkIndex, Wireguard)>,
    /// Where their peers were told to be.
    told: Told,
    flannel: BTreeSet<LinkIndex>,
    failures: Failures,
    fights: Fights<Change>,
    device_fights: Fights<IfName>,
    /// When the first object that is fought over may be repaired.
    held: Option<Instant>,
    cache: Option<Cache>,
    /// Other people's routes in the main table, as far as they were heard of.
    foreign: BTreeSet<RouteKey>,
    /// The last pass left nothing to be desired: all that is wanted is there.
    settled: bool,
    /// Addresses that must not be behind a peer: the store's.
    needed: Vec<IpAddr>,
    /// Whether the own subnets get blackhole routes.
    blackhole: bool,
    digest: Digest,
    status: Arc<Status>,
}

/// What the last backend run was made from, and its result: most passes find both unchanged.
struct Cache {
    table: Arc<LeaseTable>,
    underlay: Underlay,
    devices: Vec<Device>,
    wanted: Wanted,
    /// Of the table.
    nodes: Nodes,
}

impl Reconciler {
    /// Nothing is touched yet. `links` are the node's links as they are now.
    pub fn new(
        netlink: Netlink,
        backend: Box<dyn Backend>,
        config: NetworkConfig,
        follower: Follower,
        links: &[Link],
        status: Arc<Status>,
    ) -> Self {
        let families = Family::enabled_in(&config).collect();
        Self {
            netlink,
            backend,
            config,
            families,
            follower,
            lost: false,
            facing: watch::Sender::default(),
            published: watch::Sender::default(),
            forwarding: watch::Sender::default(),
            own: None,
            macs: BTreeMap::new(),
            devices: Vec::new(),
            tunnels: Vec::new(),
            told: Told::default(),
            flannel: devices::flannels(links).collect(),
            failures: Failures::default(),
            fights: Fights::default(),
            device_fights: Fights::default(),
            held: None,
            cache: None,
            foreign: BTreeSet::new(),
            settled: false,
            needed: Vec::new(),
            blackhole: false,
            digest: Digest::default(),
            status,
        }
    }

    /// Creates or adopts the backend's devices, whose MACs go into the lease, and returns what
    /// others are told of this node, now and whenever it changes.
    ///
    /// # Errors
    /// The external interface is gone, or the backend does not fit it, or the kernel refuses a
    /// device.
    pub fn prepare(&mut self) -> Result<watch::Receiver<Facing>, PassError> {
        let underlay = self.look_at_underlay()?;
        self.ensure_devices(&underlay)?;
        for device in &self.devices {
            let mac = device.mac.map(|mac| (device.name.clone(), mac));
            self.macs.extend(mac);
        }
        self.face(&underlay);
        Ok(self.facing.subscribe())
    }

    /// Names what this node published before it was started: its devices are known by that, also
    /// under another name, and one that is missing gets the MAC that the others know. One that is there
    /// keeps its own.
    ///
    /// # Errors
    /// There is no external interface, or the kernel does not answer.
    pub fn remember(&mut self, published: &LeaseAttrs) -> Result<(), PassError> {
        let underlay = self.look_at_underlay()?;
        for want in self.backend.devices(&self.config, &underlay) {
            let data = want.families.iter().find_map(|family| match family {
                Family::V4 => published.backend_data.as_ref(),
                Family::V6 => published.backend_v6_data.as_ref(),
            });
            let data = data.and_then(|data| VtepData::parse(data).ok());
            let Some(mac) = data.map(|data| MacAddr(data.mac)) else {
                continue;
            };
            let is_there = self.netlink.link(&want.name).map_err(PassError::Observe)?;
            if is_there.is_none() && mac.is_hosts() {
                self.macs.insert(want.name, mac);
            }
        }
        Ok(())
    }

    /// Tells others what changed of this node.
    fn face(&self, underlay: &Underlay) {
        let facing = Facing {
            attrs: self.lease_attrs(underlay),
            mtu: self.backend.mtu(&self.config, underlay),
        };
        self.facing.send_if_modified(|known| {
            let changed = *known != facing;
            *known = facing;
            changed
        });
    }

    fn lease_attrs(&self, underlay: &Underlay) -> LeaseAttrs {
        let public_ip = underlay.public_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut attrs = LeaseAttrs::new(public_ip, underlay.public_ipv6);
        attrs.backend_type = self.backend.lease_type().into();
        attrs.backend_data = self.backend.lease_data(Family::V4, &self.devices);
        attrs.backend_v6_data = self.backend.lease_data(Family::V6, &self.devices);
        attrs
    }

    /// What the backend's program is to be told of the others, now and whenever it changes.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// What the backend's program carries packets by, now and whenever it changes.
    pub fn forwarding(&self) -> watch::Receiver<Option<Forwarding>> {
        self.forwarding.subscribe()
    }

    /// Names addresses that no peer's lease may cover.
    pub fn need(&mut self, addresses: Vec<IpAddr>) {
        self.needed = addresses;
    }

    /// Whether packets to the own subnets for which no other route is better are dropped, rather
    /// than sent along the default route, from where they may come back until their TTL ends.
    pub fn set_blackhole(&mut self, wanted: bool) {
        self.blackhole = wanted;
    }

    /// The lease that the node holds now.
    pub fn set_own(&mut self, own: Subnets) {
        self.own = Some(own);
        self.cache = None;
    }

    /// One pass; returns what it did. `repair`: nothing of the leases changed,
    /// so a change undoes somebody's doing.
    ///
    /// # Errors
    /// See [`PassError`]; a single change that is refused is no error, it is tried again.
    pub async fn pass(&mut self, table: &Arc<LeaseTable>, repair: bool) -> Result<Done, PassError> {
        let started = Instant::now();
        self.held = None;
        self.settled = false;
        let underlay = self.look_at_underlay()?;
        let device_changes = self.ensure_devices(&underlay)?;
        let observed =
            observe(&self.netlink, &self.families, &self.devices).map_err(PassError::Observe)?;
        self.refresh_wanted(table, self.with_routes(underlay, &observed));
        let Some(plan) = self.plan(observed) else {
            return Ok(Done::default());
        };
        let planned = tunnels::told_by(&plan.changes);
        let (changes, kept_waiting) = self.due(plan.changes);
        let names = self.names();
        let fights = repair.then_some(&mut self.fights);
        let applied = apply(&self.netlink, &changes, &mut self.failures, fights, &names).await?;
        let lacks = self.lacks(kept_waiting, &plan.conflicts, &names);
        self.settled = lacks.is_empty();
        self.tell(&changes, planned);
        let results = Results {
            conflicts: &plan.conflicts,
            lacks,
            done: applied.done(device_changes, repair),
            repaired: applied.repaired,
            duration: started.elapsed(),
        };
        let done = self.conclude(results, &names);
        // With thousands of peers a look at everything needs megabytes for a moment.
        drop(changes);
        kernel::memory::give_back();
        Ok(done)
    }

    /// With the routes to next hops as they are.
    fn with_routes(&self, underlay: Underlay, observed: &Observed) -> Underlay {
        let mut routes = next_hops(observed);
        routes.need(self.needed.iter().copied());
        Underlay { routes, ..underlay }
    }

    /// What has to change; nothing is known of that without the own lease.
    fn plan(&mut self, mut observed: Observed) -> Option<Plan> {
        let cache = self.cache.as_ref()?;
        let now = Stamp::now();
        observed.wireguard = self
            .told
            .seen(std::mem::take(&mut self.tunnels), &cache.wanted, now);
        let plan = plan(&cache.wanted, &observed, &self.ownership());
        self.foreign = foreign(&observed);
        Some(plan)
    }

    /// Those of the changes that are due now, and those that have to wait because somebody undoes them again
    /// and again. What was refused lately is in neither.
    fn due(&mut self, planned: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
        let now = Instant::now();
        let changes = self.failures.due(planned, now);
        let kept_waiting = self.kept_waiting(&changes, now);
        let (changes, held) = self.fights.due(changes, now);
        self.held = earliest(self.held, held);
        (changes, kept_waiting)
    }

    /// Others are told of this node, and what was done about `planned` peers of tunnels is noted.
    fn tell(&mut self, changes: &[Change], planned: HashSet<tunnels::Key>) {
        let Some(cache) = &self.cache else { return };
        self.face(&cache.underlay);
        let untold = self.untold(changes, planned);
        self.told.note(&cache.wanted, &untold);
    }

    /// Those of `planned` peers of tunnels that `changes` did not tell the kernel of: refused ones, and those that wait.
    fn untold(
        &self,
        changes: &[Change],
        mut planned: HashSet<tunnels::Key>,
    ) -> HashSet<tunnels::Key> {
        let done = changes
            .iter()
            .filter(|change| !self.failures.contains(change));
        for told in tunnels::told_by(done) {
            planned.remove(&told);
        }
        planned
    }

    /// The log and the status hear of it.
    fn conclude(&mut self, results: Results<'_>, names: &Names) -> Done {
        let done = results.done;
        self.digest.add(done);
        self.log();
        self.report(results, names);
        done
    }

    /// Follows a few leases that changed without a look at everything; `None` where that is needed: other
    /// leases come near, the kernel lacks something, or somebody else's route is in the way.
    ///
    /// # Errors
    /// As [`pass`](Self::pass).
    pub async fn step(&mut self, table: &Arc<LeaseTable>) -> Result<Option<Done>, PassError> {
        let started = Instant::now();
        let Some((step, ownership)) = self.next_step(table) else {
            return Ok(None);
        };
        let plan = plan(&step.after, &step.observed(), &ownership);
        let names = self.names();
        self.settled = false;
        let applied = apply(
            &self.netlink,
            &plan.changes,
            &mut self.failures,
            None,
            &names,
        )
        .await?;
        let untold = self.untold(&plan.changes, tunnels::told_by(&plan.changes));
        self.told.note_step(&step.before, &step.after, &untold);
        if let Some(cache) = &mut self.cache {
            step.take(&mut cache.wanted, &mut cache.nodes);
            cache.table = Arc::clone(table);
        }
        let lacks = self.lacks(Vec::new(), &plan.conflicts, &names);
        self.settled = lacks.is_empty();
        let results = Results {
            conflicts: &plan.conflicts,
            lacks,
            done: applied.done(0, false),
            repaired: Vec::new(),
            duration: started.elapsed(),
        };
        Ok(Some(self.conclude(results, &names)))
    }

    fn next_step(&self, table: &LeaseTable) -> Option<(Step, Ownership)> {
        if !self.settled || self.lost || self.next_retry().is_some() {
            return None;
        }
        let cache = self.cache.as_ref()?;
        let question = Question {
            backend: self.backend.as_ref(),
            config: &self.config,
            own: self.own.as_ref()?,
            underlay: &cache.underlay,
            devices: &cache.devices,
        };
        let step = question.step(
            &cache.table.peers,
            &table.peers,
            &cache.wanted,
            &cache.nodes,
        )?;
        let free = step.destinations().all(|key| !self.foreign.contains(key));
        free.then(|| (step, self.ownership()))
    }

    /// Notes whose routes there are.
    fn hear(&mut self, event: &Event) {
        let Event::Route { route, removed } = event else {
            return;
        };
        let key = RouteKey::of(route);
        if *removed {
            self.foreign.remove(&key);
        } else if route.protocol != kernel::Route::PROTOCOL_PODWIRE {
            self.foreign.insert(key);
        }
    }

    /// When the log wants a line about what was done.
    pub fn log_due(&self) -> Option<Instant> {
        self.digest.due(Instant::now())
    }

    /// Writes that line, if it is due.
    pub fn log(&mut self) {
        if let Some(done) = self.digest.take(Instant::now()) {
            tracing::info!("{done}");
        }
    }

    fn names(&self) -> Names {
        let external = self
            .cache
            .iter()
            .map(|cache| (cache.underlay.link, cache.underlay.name.clone()));
        let devices = self
            .devices
            .iter()
            .map(|device| (device.link, device.name.clone()));
        external.chain(devices).collect()
    }

    /// When a change that was refused or held back is due again, or a fight over.
    pub fn next_retry(&self) -> Option<Instant> {
        let now = Instant::now();
        let over = earliest(self.fights.end(now), self.device_fights.end(now));
        earliest(earliest(self.failures.next(), self.held), over)
    }

    /// The external interface as it is now, routes left out.
    fn look_at_underlay(&mut self) -> Result<Underlay, PassError> {
        let sight = self.follower.look(&self.netlink);
        self.lost = sight.is_err();
        let sight = sight?;
        if let Some(change) = sight.change {
            tracing::warn!("the external interface has changed: {change}");
            self.status.chose(self.follower.external());
        }
        self.backend.fits(&self.config, &sight.underlay)?;
        Ok(sight.underlay)
    }

    /// Returns how many devices had to be touched.
    fn ensure_devices(&mut self, underlay: &Underlay) -> Result<usize, PassError> {
        let wanted = self.backend.devices(&self.config, underlay);
        let mut devices = Vec::with_capacity(wanted.len());
        let mut tunnels = Vec::new();
        let mut touched = 0;
        for want in &wanted {
            let now = Instant::now();
            let known = self.known(&want.name);
            let held = self.device_fights.held(&want.name, now);
            self.held = earliest(self.held, held);
            let ensured = devices::ensure(&self.netlink, want, known, held.is_none())?;
            if ensured.changed {
                self.device_fights.repaired(&want.name, now);
            }
            if ensured.changed && self.cache.is_some() {
                self.status.repaired(&format!("device {}", want.name));
            }
            let link = ensured.device.link;
            self.flannel.insert(link);
            touched += usize::from(ensured.changed);
            devices.push(ensured.device);
            tunnels.extend(ensured.wireguard.map(|seen| (link, seen)));
        }
        self.devices = devices;
        self.tunnels = tunnels;
        Ok(touched)
    }

    fn known(&self, name: &IfName) -> Known {
        let mut devices = self.devices.iter();
        Known {
            mac: self.macs.get(name).copied(),
            link: devices
                .find(|device| device.name == *name)
                .map(|device| device.link),
        }
    }

    fn refresh_wanted(&mut self, table: &Arc<LeaseTable>, underlay: Underlay) {
        let Some(own) = self.own else { return };
        if let Some(cache) = &mut self.cache
            && cache.table.peers == table.peers
            && cache.underlay == underlay
            && cache.devices == self.devices
        {
            cache.table = Arc::clone(table);
            return;
        }
        // Not both at the same time: they are large.
        self.cache = None;
        let mut wanted =
            self.backend
                .wanted(&self.config, &own, &table.peers, &underlay, &self.devices);
        if self.blackhole {
            wanted.add_blackholes(&own);
        }
        self.published.send_if_modified(|published| {
            let changed = *published != wanted.published;
            published.clone_from(&wanted.published);
            changed
        });
        self.forwarding.send_if_modified(|forwarding| {
            let changed = *forwarding != wanted.forwarding;
            forwarding.clone_from(&wanted.forwarding);
            changed
        });
        let devices = self.devices.clone();
        self.cache = Some(Cache {
            table: Arc::clone(table),
            underlay,
            devices,
            wanted,
            nodes: Nodes::of(&table.peers),
        });
    }

    fn ownership(&self) -> Ownership {
        Ownership {
            devices: self.devices.iter().map(|device| device.link).collect(),
            flannel: self.flannel.clone(),
            external: self.cache.as_ref().map(|cache| cache.underlay.link),
            networks: Family::ALL
                .into_iter()
                .filter_map(|family| family.network(&self.config))
                .collect(),
        }
    }

    /// Those of `changes` that have to wait, since somebody undoes them again and again.
    fn kept_waiting(&self, changes: &[Change], now: Instant) -> Vec<Change> {
        let held = |change: &&Change| self.fights.held(change, now).is_some();
        changes.iter().filter(held).cloned().collect()
    }

    /// What of the peers' is not in the kernel, and why.
    fn lacks(&self, waiting: Vec<Change>, conflicts: &[kernel::Route], names: &Names) -> Vec<Lack> {
        let lack = |object, state, what| Lack {
            object,
            state,
            what,
        };
        let waiting = waiting.into_iter().filter_map(|change| {
            let what = words::fought(names.object(&change)).what;
            Some(lack(Object::of(&change)?, Served::Held, what))
        });
        let conflicts = conflicts.iter().map(|route| {
            let what = names.conflict(route).what;
            lack(Object::Route(route.dst), Served::Conflict, what)
        });
        let refused = self.failures.refused().filter_map(|(change, finding)| {
            let what = finding.what.clone();
            Some(lack(Object::of(change)?, Served::Refused, what))
        });
        waiting.chain(conflicts).chain(refused).collect()
    }

    fn report(&self, results: Results<'_>, names: &Names) {
        let Some(cache) = &self.cache else { return };
        let Results {
            conflicts,
            lacks,
            repaired,
            done,
            duration,
        } = results;
        let conflicts = conflicts.iter().map(|route| names.conflict(route));
        self.status.passed(PassReport {
            table: &cache.table,
            unserved: &cache.wanted.unserved,
            lacks,
            repaired,
            routes: cache.wanted.routes.len(),
            neighbours: cache.wanted.neighbours.len(),
            fdb: cache.wanted.fdb.len(),
            wireguard: cache.wanted.wireguard.len(),
            devices: &self.devices,
            conflicts: conflicts.collect(),
            failing: self.failures.findings(),
            fought: self.fought(names),
            changes: done.changes,
            repairs: done.repairs,
            duration,
        });
    }

    fn fought(&self, names: &Names) -> Vec<Finding> {
        let now = Instant::now();
        let objects = self.fights.objects(now).map(|change| names.object(change));
        let devices = self.device_fights.objects(now);
        let devices = devices.map(|name| format!("device {name}"));
        objects.chain(devices).map(words::fought).collect()
    }

    fn wanted(&self) -> Option<&Wanted> {
        self.cache.as_ref().map(|cache| &cache.wanted)
    }

    /// Whether a neighbour or an FDB entry of an own device is, or is gone, against what is wanted.
    fn contradicts(&self, link: LinkIndex, entry: &Option<Entry>, removed: bool) -> bool {
        let (Some(wanted), Some(entry)) = (self.wanted(), entry) else {
            return true;
        };
        match *entry {
            Entry::Neighbour {
                address,
                mac,
                permanent,
            } => match wanted.neighbours.get(&(link, address)) {
                Some(want) => removed || !permanent || mac != Some(*want),
                None => permanent && !removed,
            },
            Entry::Fdb {
                mac,
                dst,
                permanent,
            } => {
                let want = wanted.fdb.get(&(link, mac)).copied();
                fdb_contradicts(want, dst, permanent, removed)
            }
        }
    }

    fn is_own_device(&self, link: LinkIndex) -> bool {
        self.devices.iter().any(|device| device.link == link)
    }
}

/// Whether an FDB entry is at `dst`, or is gone from there, against what is wanted. Kernels before 6.13 tell of each
/// change a second time, and then not of the place: what that is the first time has told.
fn fdb_contradicts(
    want: Option<IpAddr>,
    dst: Option<IpAddr>,
    permanent: bool,
    removed: bool,
) -> bool {
    match want {
        Some(_) if removed => dst == want,
        Some(_) => !permanent || (dst.is_some() && dst != want),
        None => permanent && !removed,
    }
}

/// Routes that netd did not make.
fn foreign(observed: &Observed) -> BTreeSet<RouteKey> {
    let routes = observed.routes.iter();
    let others = routes.filter(|route| route.protocol != kernel::Route::PROTOCOL_PODWIRE);
    others.map(RouteKey::of).collect()
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// What a pass found and did.
struct Results<'a> {
    conflicts: &'a [kernel::Route],
    lacks: Vec<Lack>,
    repaired: Vec<String>,
    done: Done,
    duration: Duration,
}

/// What became of some changes.
#[derive(Clone, Debug, Default)]
struct Applied {
    /// Changes that were made.
    changes: usize,
    /// Of those: changes that had been refused before.
    retries: usize,
    /// What was put back, the first ones.
    repaired: Vec<String>,
}

impl Applied {
    /// With so many changes to devices. In a look at everything all are repairs, but what was tried again.
    fn done(&self, device_changes: usize, repair: bool) -> Done {
        Done {
            passes: 1,
            changes: self.changes + device_changes,
            repairs: match repair {
                true => self.changes - self.retries + device_changes,
                false => 0,
            },
        }
    }
}

/// So many names of a pass' repairs are told.
const TOLD: usize = 20;

/// Applies, and records what was refused, and in `fights` what was repaired.
async fn apply(
    netlink: &Netlink,
    changes: &[Change],
    failures: &mut Failures,
    mut fights: Option<&mut Fights<Change>>,
    names: &Names,
) -> Result<Applied, PassError> {
    let mut applied = Applied::default();
    for part in changes.chunks(AT_A_TIME) {
        let outcomes = netlink.apply(part).map_err(PassError::Apply)?;
        let now = Instant::now();
        for (change, outcome) in part.iter().zip(outcomes) {
            tracing::debug!("{}: {}", names.change(change), outcome.is_ok());
            if outcome.is_ok() {
                applied.changes += 1;
                let retried = failures.contains(change);
                applied.retries += usize::from(retried);
                if let Some(fights) = fights.as_mut().filter(|_| !retried) {
                    fights.repaired(change, now);
                    if applied.repaired.len() < TOLD {
                        applied.repaired.push(names.object(change));
                    }
                }
            }
            failures.record(change, outcome, names, now);
        }
        // The other tasks get their turn.
        tokio::task::yield_now().await;
    }
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_fdb_entry_that_is_told_of_without_its_place_contradicts_nothing() {
        let [here, there] = [1, 2].map(|n| Some(IpAddr::from([192, 0, 2, n])));
        for (want, dst, permanent, removed, contradicts) in [
            (here, here, true, false, false),
            (here, there, true, false, true),
            (here, here, false, false, true),
            (here, None, true, false, false),
            (here, None, false, false, true),
            (here, here, true, true, true),
            (here, there, true, true, false),
            (here, None, true, true, false),
            (None, here, true, false, true),
            (None, None, true, false, true),
            (None, here, false, false, false),
            (None, here, true, true, false),
        ] {
            let found = fdb_contradicts(want, dst, permanent, removed);
            assert_eq!(found, contradicts, "{want:?} {dst:?} {permanent} {removed}");
        }
    }
}
