//! Keeps the process that carries the packets of the backend udp ([`forwarder`]): starts it, tells it where
//! packets go, starts it again when it ends.
//!
//! The descriptors that it works with are held here, too: while none runs packets wait in them, and the next
//! one finds them there. It goes on when netd ends. The next netd takes its descriptors, starts a process of
//! its own with them, and has the former one end when that works: both read what comes in between, so that
//! no packet is lost. Whatever fails in between is tried again, and a process that is not as it should be is
//! killed: none goes on by itself beside another, with peers that are none any more.

mod child;
mod predecessor;

use std::future::pending;
use std::net::{IpAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use backend::Forwarding;
use forwarder::{Counts, Kit, KitError, Routes, Subnet};
use kernel::LinkIndex;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior};

use crate::commands::FORWARDER;
use crate::health::{Finding, Part, Severity};
use crate::options::Options;
use crate::ports::{self, Holder};
use crate::status::{Forwarder, Status};
use child::{Child, ChildError, Heard, PATIENCE};
use predecessor::{Own, PredecessorError, Predecessors};

/// From a failure to the next start, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// One that worked for so long has not failed at once.
const LONG: Duration = Duration::from_secs(60);
/// How often it is asked what it has done.
const ASKED: Duration = Duration::from_secs(1);
/// A port that is taken for longer is somebody else's.
const LEAVING: Duration = Duration::from_millis(500);
/// A stranger's packets are told for so long.
const REMEMBERED: Duration = Duration::from_secs(60);
/// More threads make nothing faster.
const MOST_QUEUES: usize = 8;

/// Why no packets are carried.
#[derive(Debug, thiserror::Error)]
enum ForwardingError {
    /// There are no descriptors.
    #[error("its device or socket cannot be had")]
    Kit(#[from] KitError),
    /// The process.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A former netd's process has what is needed.
    #[error(transparent)]
    Predecessor(#[from] PredecessorError),
}

/// Keeps the process.
pub struct Keeper {
    /// Where a later netd finds it.
    path: PathBuf,
    told: watch::Receiver<Option<Forwarding>>,
    status: Arc<Status>,
    holding: Option<Holding>,
    failures: Failures,
    strangers: Strangers,
}

/// Descriptors, and what they are of.
struct Holding {
    kit: Kit,
    link: LinkIndex,
    local: SocketAddrV4,
}

/// How often it failed in a row.
#[derive(Default)]
struct Failures {
    pause: Option<Duration>,
}

/// Who sent packets and is no node.
#[derive(Default)]
struct Strangers {
    counted: u64,
    until: Option<Instant>,
}

impl Keeper {
    /// The process is not there yet, and the status says so.
    pub fn new(
        options: &Options,
        told: watch::Receiver<Option<Forwarding>>,
        status: Arc<Status>,
    ) -> Self {
        let keeper = Self {
            path: socket(options),
            told,
            status,
            holding: None,
            failures: Failures::default(),
            strangers: Strangers::default(),
        };
        if keeper.told.borrow().is_some() {
            keeper.report(vec![finding("it is about to be started".to_owned())]);
        }
        keeper
    }

    /// For ever. The process goes on when this is dropped.
    pub async fn keep(mut self) {
        let mut predecessors = Predecessors::new(self.path.clone(), Arc::clone(&self.status));
        loop {
            let wanted = self.told.borrow_and_update().clone();
            let Some(wanted) = wanted else {
                self.news().await;
                continue;
            };
            let started = Instant::now();
            if let Err(error) = self.run(&wanted, &mut predecessors).await {
                let pause = self.failures.next(started.elapsed());
                let holders = match error.is_port_taken() {
                    true => Some(holders(wanted.local).await),
                    false => None,
                };
                let remedy = holders.map(|holders| remedy(wanted.local.port(), &holders));
                self.failed(&error, pause, remedy, predecessors.carry());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.news() => {}
                }
            }
        }
    }

    /// Until what is wanted is something else; never when nobody can say so any more.
    async fn news(&mut self) {
        if self.told.changed().await.is_err() {
            pending::<()>().await;
        }
    }

    /// Returns when another device or address is wanted. The process has ended then, and so it has after an
    /// error.
    async fn run(
        &mut self,
        wanted: &Forwarding,
        predecessors: &mut Predecessors,
    ) -> Result<(), ForwardingError> {
        self.equip(wanted, predecessors).await?;
        let Some(holding) = &self.holding else {
            return Ok(());
        };
        let mut child = Child::start(&holding.kit).await?;
        let outcome = self.work(wanted, &mut child, predecessors).await;
        match outcome {
            Ok(()) => {
                child.end().await;
                self.holding = None;
            }
            Err(_) => child.kill().await,
        }
        outcome
    }

    /// Former processes go on until this one works, and are told to end then.
    async fn work(
        &mut self,
        wanted: &Forwarding,
        child: &mut Child,
        predecessors: &mut Predecessors,
    ) -> Result<(), ForwardingError> {
        child.tell(&routes(wanted)).await?;
        let peers = child.until_ready().await?;
        let (pid, token) = (child.id(), child.token().await?);
        self.works(pid, peers);
        tokio::select! {
            outcome = self.serve(wanted, child) => outcome,
            never = predecessors.retire(Own { pid, token }) => match never {},
        }
    }

    /// Has the descriptors that are wanted: those that are there, a predecessor's, or new ones. One whose
    /// descriptors are taken goes on until it is told to end, and so it does when the kernel does not say
    /// whether they are the right ones.
    async fn equip(
        &mut self,
        wanted: &Forwarding,
        predecessors: &mut Predecessors,
    ) -> Result<(), ForwardingError> {
        if let Some(held) = &self.holding
            && held.fits(wanted)?
        {
            return Ok(());
        }
        self.holding = None;
        let (link, local) = (wanted.link, wanted.local);
        if let Some(kit) = predecessors.kit().await?
            && kit.fits(&wanted.device, link, local)?
        {
            tracing::info!("packets go on: what carried them for the former netd is taken over");
            self.holding = Some(Holding { kit, link, local });
            return Ok(());
        }
        // Whoever has other descriptors carries nothing any more.
        predecessors.end(None).await?;
        let kit = self.open(wanted).await?;
        self.holding = Some(Holding { kit, link, local });
        Ok(())
    }

    /// New descriptors. Whoever has just let go of the port may have it for a moment still: a process while
    /// it ends, a program while it is started.
    async fn open(&self, wanted: &Forwarding) -> Result<Kit, KitError> {
        let count = available_parallelism().map_or(1, |count| count.get().min(MOST_QUEUES));
        let began = Instant::now();
        loop {
            match Kit::open(&wanted.device, wanted.link, wanted.local, count, &self.path) {
                Err(error) if error.is_port_taken() && began.elapsed() < LEAVING => {
                    tokio::time::sleep(LEAVING / 50).await;
                }
                opened => return opened,
            }
        }
    }

    /// Tells it what changes and asks it what it did.
    async fn serve(
        &mut self,
        begun: &Forwarding,
        child: &mut Child,
    ) -> Result<(), ForwardingError> {
        let mut asking = tokio::time::interval(ASKED);
        // After a halt of netd's own it has time to answer between two questions.
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        loop {
            tokio::select! {
                heard = child.hear() => match heard? {
                    Heard::Counts(counts) => {
                        unanswered = 0;
                        self.counted(counts);
                    }
                    Heard::Ready(peers) => self.update(|state| state.peers = peers),
                    Heard::Process(_) => {}
                },
                _ = asking.tick() => {
                    if ASKED * unanswered > PATIENCE {
                        return Err(ChildError::Late.into());
                    }
                    unanswered += 1;
                    child.ask().await?;
                }
                () = self.news() => {
                    let wanted = self.told.borrow_and_update().clone();
                    match wanted {
                        Some(wanted) if same_place(&wanted, begun) => {
                            child.tell(&routes(&wanted)).await?;
                        }
                        _ => return Ok(()),
                    }
                }
            }
        }
    }

    fn works(&self, pid: u32, peers: usize) {
        tracing::info!(pid, "packets are carried");
        self.update(|state| {
            state.running = true;
            state.pid = Some(pid);
            state.starts += 1;
            state.peers = peers;
            state.counts = Counts::default();
        });
        self.report(Vec::new());
    }

    /// `is_carried`: a former netd's process goes on.
    fn failed(
        &self,
        error: &ForwardingError,
        pause: Duration,
        remedy: Option<String>,
        is_carried: bool,
    ) {
        let why = crate::chain(error);
        self.update(|state| {
            state.running = false;
            state.pid = None;
            state.last_failure.clone_from(&why);
        });
        let what = format!("{why}; it is started again in {}", words(pause));
        let finding = match is_carried {
            true => carried(what),
            false => finding(what),
        };
        let finding = match remedy {
            Some(remedy) => finding.remedy(remedy),
            None => finding,
        };
        self.report(vec![finding]);
    }

    fn counted(&mut self, counts: Counts) {
        let now = Instant::now();
        let findings = self.strangers.findings(&counts, now);
        self.report(findings);
        self.update(|state| state.counts = counts);
    }

    fn update(&self, change: impl FnOnce(&mut Forwarder)) {
        self.status
            .update(|state| change(state.forwarder.get_or_insert_default()));
    }

    fn report(&self, findings: Vec<Finding>) {
        self.status.report(Part::Forwarder, findings);
    }
}

/// Where a later netd finds the process: beside the status socket, or where subnet.env is.
pub fn socket(options: &Options) -> PathBuf {
    let beside = match options.status_socket.as_os_str().is_empty() {
        true => &options.subnet_file,
        false => &options.status_socket,
    };
    beside.with_extension("udp")
}

fn finding(why: String) -> Finding {
    let what = format!("the process that carries the pods' packets does not work: {why}");
    Finding::new(Severity::NotReady, "process", what)
}

fn carried(why: String) -> Finding {
    let what = format!(
        "the pods' packets are carried by what a former netd left, which is told of no node that comes or \
         goes: the next process does not work: {why}"
    );
    Finding::new(Severity::Degraded, "process", what)
}

/// Who is in the way of a socket there. None where it cannot be seen.
async fn holders(local: SocketAddrV4) -> Vec<Holder> {
    let address = IpAddr::from(*local.ip());
    let found = spawn_blocking(move || ports::udp_holders(local.port(), &[address]));
    found.await.unwrap_or_default()
}

/// What to do about a port that is taken, with who has it where that can be seen.
fn remedy(port: u16, holders: &[Holder]) -> String {
    let (left, others): (Vec<&Holder>, Vec<&Holder>) =
        holders.iter().partition(|holder| holder.name == FORWARDER);
    let list = |of: &[&Holder], word: fn(&Holder) -> String, between: &str| {
        let words: Vec<String> = of.iter().map(|holder| word(holder)).collect();
        words.join(between)
    };
    let mut parts = Vec::new();
    if !others.is_empty() {
        let who = list(&others, Holder::to_string, " and ");
        parts.push(format!(
            "UDP port {port} is held by {who}: stop it, or give another Port in the network config"
        ));
    }
    if !left.is_empty() {
        let who = list(&left, Holder::to_string, " and ");
        let pids = list(&left, |holder| holder.pid.to_string(), " ");
        parts.push(format!(
            "UDP port {port} is held by {who}, which a former netd has left and which this one cannot \
             reach, since its socket file was removed or is another: end it (kill {pids})"
        ));
    }
    if parts.is_empty() {
        parts.push(format!(
            "another program has UDP port {port} (ss -lnup shows it; likely a flanneld that still runs, or \
             a process {FORWARDER} that a former netd has left): stop it, or give another Port in the \
             network config"
        ));
    }
    parts.join("; ")
}

/// `100 ms`, `1.6 s`
fn words(pause: Duration) -> String {
    match pause.as_millis() {
        millis @ ..1000 => format!("{millis} ms"),
        _ => format!("{} s", pause.as_secs_f32()),
    }
}

/// What it is told.
fn routes(wanted: &Forwarding) -> Routes {
    let subnet = |of: &ipnetwork::Ipv4Network| Subnet(of.network(), of.broadcast());
    let peers = wanted.peers.iter();
    Routes {
        own: subnet(&wanted.own),
        peers: peers.map(|(of, node)| (subnet(of), *node)).collect(),
    }
}

/// Whether the same descriptors serve both.
fn same_place(a: &Forwarding, b: &Forwarding) -> bool {
    (&a.device, a.link, a.local) == (&b.device, b.link, b.local)
}

impl Holding {
    fn fits(&self, wanted: &Forwarding) -> Result<bool, KitError> {
        let is_same = (self.link, self.local) == (wanted.link, wanted.local);
        Ok(is_same && self.kit.fits(&wanted.device, wanted.link, wanted.local)?)
    }
}

impl ForwardingError {
    fn is_port_taken(&self) -> bool {
        matches!(self, Self::Kit(error) if error.is_port_taken())
    }
}

impl Failures {
    /// The pause after one that worked for that long.
    fn next(&mut self, worked: Duration) -> Duration {
        let pause = match self.pause {
            Some(before) if worked < LONG => LONGEST_PAUSE.min(2 * before),
            _ => FIRST_PAUSE,
        };
        self.pause = Some(pause);
        pause
    }
}

impl Strangers {
    fn findings(&mut self, counts: &Counts, now: Instant) -> Vec<Finding> {
        let counted = counts.dropped.get("stranger").copied().unwrap_or_default();
        if counted > self.counted {
            self.until = Some(now + REMEMBERED);
        }
        self.counted = counted;
        let is_recent = self.until.is_some_and(|until| now < until);
        let from = counts.stranger.filter(|_| is_recent);
        let finding = |from| {
            let what = format!(
                "packets come from {from}, which is no other node's public address, and are dropped"
            );
            Finding::new(Severity::Notice, "stranger", what).remedy(format!(
                "if {from} is a node, start its daemon with -public-ip {from}; if not, keep it from \
                 the nodes' UDP port"
            ))
        };
        from.map(finding).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_one_works_for_a_while() {
        let mut failures = Failures::default();
        let pauses: Vec<_> = (0..9).map(|_| failures.next(Duration::ZERO)).collect();
        assert_eq!(pauses[0], FIRST_PAUSE);
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        assert_eq!(failures.next(LONG), FIRST_PAUSE);
    }

    #[test]
    fn strangers_are_told_for_a_minute() {
        let counts = |n| Counts {
            dropped: [("stranger".to_owned(), n)].into(),
            stranger: Some([192, 0, 2, 7].into()),
            ..Counts::default()
        };
        let mut strangers = Strangers::default();
        let start = Instant::now();
        assert!(strangers.findings(&Counts::default(), start).is_empty());
        assert_eq!(strangers.findings(&counts(1), start).len(), 1);
        assert_eq!(strangers.findings(&counts(1), start + ASKED).len(), 1);
        assert!(
            strangers
                .findings(&counts(1), start + REMEMBERED)
                .is_empty()
        );
        let later = strangers.findings(&counts(2), start + REMEMBERED);
        assert!(later[0].what.contains("192.0.2.7"), "{later:?}");
    }

    #[test]
    fn who_has_the_port_is_named_with_what_to_do() {
        let holder = |name: &str, pid| Holder {
            name: name.to_owned(),
            pid,
            parent: None,
        };
        let (left, other) = (holder(FORWARDER, 77), holder("flanneld", 78));
        for (holders, parts) in [
            (vec![left.clone()], ["netd-udp (process 77), ", "(kill 77)"]),
            (
                vec![left.clone(), holder(FORWARDER, 79)],
                [
                    "netd-udp (process 77) and netd-udp (process 79)",
                    "(kill 77 79)",
                ],
            ),
            (
                vec![other.clone()],
                ["flanneld (process 78)", "another Port"],
            ),
            (
                vec![other, left],
                ["flanneld (process 78): stop", "(kill 77)"],
            ),
            (Vec::new(), ["ss -lnup", "netd-udp"]),
        ] {
            let said = remedy(8285, &holders);
            assert!(said.contains("UDP port 8285"), "{said}");
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }

    #[test]
    fn the_socket_lies_beside_the_status_socket() {
        let mut options = Options::blank();
        options.status_socket = "/run/podwire/netd.sock".into();
        options.subnet_file = "/run/flannel/subnet.env".into();
        assert_eq!(socket(&options), PathBuf::from("/run/podwire/netd.udp"));
        options.status_socket = PathBuf::new();
        assert_eq!(socket(&options), PathBuf::from("/run/flannel/subnet.udp"));
    }
}
