//! When to make a pass.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Event, Monitor};
use subnet::datapath::RouteKey;
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

/// When the next pass is due, and what for.
#[derive(Debug)]
pub struct Wake {
    due: Instant,
    /// Passes woken by events keep this distance from the last one, so that a fight with
    /// another program over one object cannot take a whole processor.
    not_before: Instant,
    leases_changed: bool,
}

impl Wake {
    fn after_pass(started: Instant, now: Instant) -> Self {
        Self {
            due: now + AUDIT,
            not_before: now + (now - started),
            leases_changed: false,
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
    let now = Instant::now();
    let mut wake = Wake::after_pass(now, now);
    wake.on_event(now);
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
            () = tokio::time::sleep_until(due) => {
                let repair = !wake.leases_changed;
                wake = pass(&mut reconciler, &mut table, repair).await;
            }
        }
    }
}

async fn pass(
    reconciler: &mut Reconciler,
    table: &mut watch::Receiver<Arc<LeaseTable>>,
    repair: bool,
) -> Wake {
    let started = Instant::now();
    let current = Arc::clone(&table.borrow_and_update());
    if current.sync == Sync::Waiting {
        return Wake::after_pass(started, started);
    }
    let outcome = reconciler.pass(&current, repair).await;
    let now = Instant::now();
    let mut wake = Wake::after_pass(started, now);
    reconciler
        .status
        .pass_outcome(outcome.as_ref().err().map(|error| crate::chain(error)));
    if outcome.is_err() {
        wake.due = now + RETRY;
        wake.leases_changed = !repair;
    }
    wake
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
                *name == reconciler.external.name
                    || reconciler.devices.iter().any(|device| device.name == *name)
            });
            named || external(*index) || reconciler.is_own_device(*index)
        }
        Event::Address { link, .. } => external(*link) || reconciler.is_own_device(*link),
        Event::Neighbour { link, .. } => reconciler.is_own_device(*link),
        Event::Route { route, removed } => {
            let wanted = reconciler
                .wanted()
                .and_then(|wanted| wanted.routes.get(&RouteKey::of(route)));
            let echo = !removed && wanted == Some(route);
            let link = route.link.is_some_and(|link| external(link));
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

    #[test]
    fn events_wait_for_their_burst_and_for_the_distance_to_the_last_pass() {
        let start = Instant::now();
        let end = start + Duration::from_millis(20);
        let mut wake = Wake::after_pass(start, end);
        assert_eq!(wake.due, end + AUDIT);
        wake.on_event(end + Duration::from_millis(1));
        assert_eq!(wake.due, end + Duration::from_millis(20));
        wake.on_leases(end + Duration::from_millis(2));
        assert_eq!(wake.due, end + Duration::from_millis(2) + COALESCE);
        assert!(wake.leases_changed);
    }

    #[test]
    fn a_late_event_is_served_at_once() {
        let start = Instant::now();
        let mut wake = Wake::after_pass(start, start + Duration::from_millis(1));
        let event = start + Duration::from_millis(500);
        wake.on_event(event);
        assert_eq!(wake.due, event + COALESCE);
        wake.on_event(event + Duration::from_millis(1));
        assert_eq!(
            wake.due,
            event + COALESCE,
            "further events do not push the pass away"
        );
    }
}
