//! When to make a pass.

use std::sync::Arc;
use std::time::Duration;

use backend::RouteKey;
use kernel::{Event, Monitor, Netlink};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Reconciler;
use crate::lease::{LeaseTable, Sync};
use crate::notify::Watchdog;

/// Events come in bursts; a pass waits this long for the rest of one.
const COALESCE: Duration = Duration::from_millis(3);
/// Everything is compared this often, whatever the kernel reports.
const AUDIT: Duration = Duration::from_secs(30);
/// A pass that failed as a whole is made again after this.
const RETRY: Duration = Duration::from_secs(1);
/// Passes that events bring about keep at least this distance when they come thick and fast: the
/// next one hears of all that happened, and nobody notices the difference.
const DISTANCE: Duration = Duration::from_millis(20);
/// So many passes closer than a second to each other come thick and fast.
const THICK: u32 = 16;
const FAST: Duration = Duration::from_secs(1);

/// When the next pass is due, and what for.
#[derive(Debug)]
pub struct Wake {
    due: Instant,
    /// Passes woken by events keep this distance from the last one, so that somebody's haste
    /// cannot take a whole processor.
    not_before: Instant,
    /// Single changes are tried again from this moment on: not while no pass can be made at all.
    retries_from: Instant,
    leases_changed: bool,
    /// The kernel told of something that a look at everything is due for.
    kernel_changed: bool,
    /// When everything is compared, whatever else happens.
    audit: Instant,
    row: Row,
}

/// Passes that follow each other closely.
#[derive(Clone, Copy, Debug)]
struct Row {
    length: u32,
    last: Instant,
}

impl Row {
    fn after(self, now: Instant) -> Self {
        let length = match now - self.last < FAST {
            true => self.length.saturating_add(1),
            false => 1,
        };
        Self { length, last: now }
    }

    fn distance(self) -> Duration {
        match self.length > THICK {
            true => DISTANCE,
            false => Duration::ZERO,
        }
    }
}

impl Wake {
    fn new(now: Instant) -> Self {
        let row = Row {
            length: 0,
            last: now,
        };
        Self {
            due: now,
            not_before: now,
            retries_from: now,
            leases_changed: false,
            kernel_changed: true,
            audit: now,
            row,
        }
    }

    /// After a step, which looked at nothing but a few leases.
    fn after_step(&self, now: Instant) -> Self {
        Self {
            due: self.audit,
            not_before: self.not_before,
            retries_from: now,
            leases_changed: false,
            kernel_changed: false,
            audit: self.audit,
            row: self.row,
        }
    }

    /// Whether the leases alone have changed since the last look at everything.
    fn is_step(&self, now: Instant) -> bool {
        !self.kernel_changed && now < self.audit
    }

    /// After a pass that began at `started`.
    fn after_pass(&self, started: Instant, now: Instant) -> Self {
        let row = self.row.after(now);
        let not_before = now + (now - started).max(row.distance());
        Self {
            due: now + AUDIT,
            not_before,
            retries_from: now,
            leases_changed: false,
            kernel_changed: false,
            audit: now + AUDIT,
            row,
        }
    }

    /// When to make a pass, with a single change to be tried again at `retry`.
    fn next(&self, retry: Option<Instant>) -> Instant {
        retry.map_or(self.due, |retry| self.due.min(retry.max(self.retries_from)))
    }

    fn on_event(&mut self, now: Instant) {
        self.kernel_changed = true;
        self.due = self.due.min((now + COALESCE).max(self.not_before));
    }

    fn on_leases(&mut self, now: Instant) {
        self.leases_changed = true;
        self.due = self.due.min(now + COALESCE);
    }
}

/// Reconciles until the lease table's sender is gone. The watchdog hears of it between passes: a pass
/// that hangs, or that is due and never begun, silences it.
pub async fn run(
    mut reconciler: Reconciler,
    mut monitor: Monitor,
    mut table: watch::Receiver<Arc<LeaseTable>>,
    mut watchdog: Option<Watchdog>,
) {
    let mut wake = Wake::new(Instant::now());
    loop {
        let due = wake.next(reconciler.next_retry());
        tokio::select! {
            changed = table.changed() => match changed {
                Ok(()) => wake.on_leases(Instant::now()),
                Err(_) => return,
            },
            event = monitor.next() => match event.inspect(|event| reconciler.hear(event)) {
                Ok(event) if concerns(&reconciler, &event) => {
                    tracing::trace!(?event, "woken");
                    wake.on_event(Instant::now());
                }
                Ok(_) => {}
                Err(error) => {
                    monitor = reopened(&reconciler.netlink, &error).await;
                    wake.on_event(Instant::now());
                }
            },
            () = until(reconciler.log_due()) => reconciler.log(),
            () = until(watchdog.as_ref().map(Watchdog::next)) => {
                if let Some(watchdog) = &mut watchdog {
                    watchdog.beat(due);
                }
            }
            () = tokio::time::sleep_until(due) => {
                wake = pass(&mut reconciler, &mut table, &wake).await;
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn pass(
    reconciler: &mut Reconciler,
    table: &mut watch::Receiver<Arc<LeaseTable>>,
    wake: &Wake,
) -> Wake {
    let started = Instant::now();
    // The leases may have changed since the wait for that was begun.
    let leases_changed = wake.leases_changed || table.has_changed().unwrap_or(true);
    let current = Arc::clone(&table.borrow_and_update());
    if current.sync == Sync::Waiting {
        return wake.after_pass(started, started);
    }
    if leases_changed && wake.is_step(started) {
        match reconciler.step(&current).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                reconciler.status.pass_outcome(None);
                return wake.after_step(Instant::now());
            }
            Err(error) => {
                tracing::debug!(error = %crate::chain(&error), "a look at everything follows")
            }
        }
    }
    let outcome = reconciler.pass(&current, !leases_changed).await;
    let now = Instant::now();
    let mut next = wake.after_pass(started, now);
    if outcome.is_err() {
        next.due = now + RETRY;
        next.retries_from = next.due;
        next.leases_changed = leases_changed;
        next.kernel_changed = true;
    }
    reconciler.status.pass_outcome(
        outcome
            .err()
            .map(|error| (error.part(), crate::chain(&error))),
    );
    next
}

/// Whether an event may be about something of ours. Most are not: pods come and go.
fn concerns(reconciler: &Reconciler, event: &Event) -> bool {
    let external = |link| {
        reconciler
            .cache
            .as_ref()
            .is_some_and(|cache| cache.underlay.link == link)
    };
    match event {
        Event::Link { index, name, .. } => {
            let named = name.as_ref().is_some_and(|name| {
                *name == reconciler.follower.external().name
                    || reconciler.devices.iter().any(|device| device.name == *name)
            });
            named || reconciler.lost || external(*index) || reconciler.is_own_device(*index)
        }
        Event::Address { link, .. } => {
            reconciler.lost || external(*link) || reconciler.is_own_device(*link)
        }
        Event::Neighbour {
            link,
            entry,
            removed,
        } => reconciler.is_own_device(*link) && reconciler.contradicts(*link, entry, *removed),
        Event::Route { route, removed } => {
            let wanted = reconciler
                .wanted()
                .and_then(|wanted| wanted.routes.get(&RouteKey::of(route)));
            let ours = route.protocol == kernel::Route::PROTOCOL_PODWIRE;
            // Of what is done at one's own wish the kernel tells, too.
            let echo = match removed {
                true => ours && wanted.is_none(),
                false => wanted == Some(route),
            };
            let link = route.link.is_some_and(external);
            !echo && (ours || wanted.is_some() || link)
        }
        Event::StateLost => true,
    }
}

/// A new monitor in place of a broken one; state is lost in between, so a pass follows.
async fn reopened(own: &Netlink, error: &kernel::Error) -> Monitor {
    tracing::warn!(error = %crate::chain(error), "the netlink monitor broke, opening it again");
    loop {
        match Monitor::of_others(own) {
            Ok(monitor) => return monitor,
            Err(error) => {
                tracing::warn!(error = %crate::chain(&error), "the netlink monitor cannot be opened");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass_of(length: Duration) -> (Wake, Instant) {
        let start = Instant::now();
        (
            Wake::new(start).after_pass(start, start + length),
            start + length,
        )
    }

    #[test]
    fn events_wait_for_their_burst_and_for_the_distance_to_the_last_pass() {
        let (mut wake, end) = pass_of(Duration::from_millis(20));
        assert_eq!(wake.due, end + AUDIT);
        wake.on_event(end + Duration::from_millis(1));
        assert_eq!(wake.due, end + Duration::from_millis(20));
        wake.on_leases(end + Duration::from_millis(2));
        assert_eq!(wake.due, end + Duration::from_millis(2) + COALESCE);
        assert!(wake.leases_changed);
    }

    #[test]
    fn a_change_is_tried_again_in_its_time_and_not_while_passes_fail() {
        let (mut wake, end) = pass_of(Duration::from_millis(1));
        assert_eq!(wake.next(None), end + AUDIT);
        assert_eq!(wake.next(Some(end + RETRY)), end + RETRY);
        wake.due = end + RETRY;
        wake.retries_from = wake.due;
        assert_eq!(wake.next(Some(end)), end + RETRY, "no pass after the other");
    }

    #[test]
    fn a_late_event_is_served_at_once() {
        let (mut wake, end) = pass_of(Duration::from_millis(1));
        let event = end + Duration::from_millis(500);
        wake.on_event(event);
        assert_eq!(wake.due, event + COALESCE);
        wake.on_event(event + Duration::from_millis(1));
        assert_eq!(
            wake.due,
            event + COALESCE,
            "further events do not push the pass away"
        );
    }

    #[test]
    fn passes_that_come_thick_and_fast_keep_a_distance_that_nobody_notices() {
        let (mut wake, mut now) = pass_of(Duration::ZERO);
        let mut distances = Vec::new();
        for _ in 0..40 {
            wake = wake.after_pass(now, now);
            distances.push(wake.not_before - now);
            now = wake.not_before + COALESCE;
        }
        assert_eq!(distances[THICK as usize - 2], Duration::ZERO);
        assert_eq!(distances.last(), Some(&DISTANCE));
        now += FAST;
        wake = wake.after_pass(now, now);
        assert_eq!(wake.not_before, now);
    }
}
