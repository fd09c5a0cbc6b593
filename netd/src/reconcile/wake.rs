//! When to make a pass.

use std::sync::Arc;
use std::time::Duration;

use backend::RouteKey;
use kernel::{Event, Monitor};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Reconciler;
use crate::lease::{LeaseTable, Sync};

/// Events come in bursts; a pass waits this long for the rest of one.
const COALESCE: Duration = Duration::from_millis(3);
/// Everything is compared this often, whatever the kernel reports.
const AUDIT: Duration = Duration::from_secs(30);
/// A pass that failed as a whole is made again after this.
const RETRY: Duration = Duration::from_secs(1);
/// So many repairs in a row are somebody's haste; more are a fight with another program over
/// the same object, and each waits twice as long as the one before.
const HASTE: u32 = 16;
/// Repairs further apart than this are not in a row.
const ROW: Duration = Duration::from_secs(2);

/// When the next pass is due, and what for.
#[derive(Debug)]
pub struct Wake {
    due: Instant,
    /// Passes woken by events keep this distance from the last one, so that a fight with
    /// another program over one object cannot take a whole processor.
    not_before: Instant,
    leases_changed: bool,
    row: Row,
}

/// Repairs that follow each other closely.
#[derive(Clone, Copy, Debug)]
struct Row {
    length: u32,
    last: Instant,
}

impl Row {
    fn after(self, repaired: bool, now: Instant) -> Self {
        match (repaired, now - self.last < ROW) {
            (true, true) => Self {
                length: self.length.saturating_add(1),
                last: now,
            },
            (true, false) => Self {
                length: 1,
                last: now,
            },
            (false, _) => self,
        }
    }

    fn pause(self) -> Duration {
        match self.length.saturating_sub(HASTE).min(10) {
            0 => Duration::ZERO,
            doublings => Duration::from_millis(1 << doublings),
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
            leases_changed: false,
            row,
        }
    }

    /// After a pass that began at `started` and, perhaps, undid somebody's doing.
    fn after_pass(&self, started: Instant, now: Instant, repaired: bool) -> Self {
        let row = self.row.after(repaired, now);
        let not_before = now + (now - started).max(row.pause());
        Self {
            due: now + AUDIT,
            not_before,
            leases_changed: false,
            row,
        }
    }

    fn on_event(&mut self, now: Instant) {
        self.due = self.due.min((now + COALESCE).max(self.not_before));
    }

    fn on_leases(&mut self, now: Instant) {
        self.leases_changed = true;
        self.due = self.due.min(now + COALESCE);
    }
}

/// Reconciles until the lease table's sender is gone.
pub async fn run(
    mut reconciler: Reconciler,
    mut monitor: Monitor,
    mut table: watch::Receiver<Arc<LeaseTable>>,
) {
    let mut wake = Wake::new(Instant::now());
    loop {
        let due = reconciler
            .next_retry()
            .map_or(wake.due, |retry| wake.due.min(retry));
        tokio::select! {
            changed = table.changed() => match changed {
                Ok(()) => wake.on_leases(Instant::now()),
                Err(_) => return,
            },
            event = monitor.next() => match event {
                Ok(event) if concerns(&reconciler, &event) => {
                    tracing::trace!(?event, "woken");
                    wake.on_event(Instant::now());
                }
                Ok(_) => {}
                Err(error) => {
                    monitor = reopened(&error).await;
                    wake.on_event(Instant::now());
                }
            },
            () = until(reconciler.log_due()) => reconciler.log(),
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
        return wake.after_pass(started, started, false);
    }
    let outcome = reconciler.pass(&current, !leases_changed).await;
    let now = Instant::now();
    let repaired = outcome.as_ref().is_ok_and(|done| done.repairs > 0);
    let mut next = wake.after_pass(started, now, repaired);
    if outcome.is_err() {
        next.due = now + RETRY;
        next.leases_changed = leases_changed;
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
        Event::Neighbour { link, .. } => reconciler.is_own_device(*link),
        Event::Route { route, removed } => {
            let wanted = reconciler
                .wanted()
                .and_then(|wanted| wanted.routes.get(&RouteKey::of(route)));
            let echo = !removed && wanted == Some(route);
            let link = route.link.is_some_and(external);
            let ours = route.protocol == kernel::Route::PROTOCOL_PODWIRE;
            !echo && (ours || wanted.is_some() || link)
        }
        Event::StateLost => true,
    }
}

/// A new monitor in place of a broken one; state is lost in between, so a pass follows.
async fn reopened(error: &kernel::Error) -> Monitor {
    tracing::warn!(error = %crate::chain(error), "the netlink monitor broke, opening it again");
    loop {
        match Monitor::open() {
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
            Wake::new(start).after_pass(start, start + length, false),
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
    fn a_fight_slows_down_and_is_forgotten() {
        let (mut wake, mut now) = pass_of(Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            wake = wake.after_pass(now, now, true);
            pauses.push(wake.not_before - now);
            now = wake.not_before + COALESCE;
        }
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses[15], Duration::ZERO);
        assert_eq!(pauses.last(), Some(&Duration::from_millis(1024)));
        now += ROW;
        wake = wake.after_pass(now, now, true);
        assert_eq!(wake.not_before, now);
    }
}
