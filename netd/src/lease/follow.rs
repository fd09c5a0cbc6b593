//! Everybody's leases, followed: list, watch from there, and list again whenever the watch cannot
//! say what happened.

use std::sync::Arc;
use std::time::Duration;

use cluster::Subnets;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::table::Leases;
use super::{LeaseTable, Sync, Timing};
use crate::chain;
use crate::retry::{Backoff, Trouble, sleep_until};
use crate::store::{Batch, Changes, Cursor, Listing, Store, StoreError};

/// Tables follow each other no closer than this: a change after a pause is there at once, and of many the
/// next table has all.
const DISTANCE: Duration = Duration::from_millis(25);
/// Batches that are joined into one table at most, so that readers never starve.
const JOINED: usize = 64;

/// Follows all leases in a task of its own until every receiver is gone: from a listing on, if there is one.
/// The receiver always holds one whole table; until the first list it says [`Sync::Waiting`] and means nothing.
pub fn watch_peers(
    store: Arc<dyn Store>,
    own: Subnets,
    timing: Timing,
    listing: Option<Listing>,
) -> watch::Receiver<Arc<LeaseTable>> {
    let (sender, receiver) = watch::channel(Arc::new(LeaseTable::default()));
    let follower = Follower {
        store,
        timing,
        leases: Leases::new(own),
        sender: sender.clone(),
        backoff: timing.backoff(),
        trouble: Trouble::new("follow the leases"),
        published: Instant::now(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = follower.run(listing) => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

struct Follower {
    store: Arc<dyn Store>,
    timing: Timing,
    leases: Leases,
    sender: watch::Sender<Arc<LeaseTable>>,
    backoff: Backoff,
    trouble: Trouble,
    published: Instant,
}

/// Why a watch ended.
enum End {
    /// Everything must be listed.
    List,
    /// The watch can go on from where it was.
    Resume,
}

impl Follower {
    async fn run(mut self, mut listing: Option<Listing>) {
        loop {
            let listed = Instant::now();
            if let Some(cursor) = self.list(listing.take()).await {
                let relist = self.store.relists().then(|| listed + self.until_relist());
                self.follow(cursor, relist).await;
            }
            // A list that does not last (a history that is compacted again and again) is a failure.
            if listed.elapsed() < self.timing.max_backoff {
                tokio::time::sleep(self.backoff.pause()).await;
            }
        }
    }

    /// Takes `known` for the list, or asks for one.
    async fn list(&mut self, known: Option<Listing>) -> Option<Cursor> {
        let listing = match known {
            Some(listing) => Ok(listing),
            None => self.store.list().await,
        };
        match listing {
            Ok(listing) => {
                let cursor = listing.cursor.clone();
                self.leases.replace(listing);
                self.publish(true);
                cursor
            }
            Err(error) => {
                self.lost(&error);
                None
            }
        }
    }

    /// Watches, again and again, until a list is due.
    async fn follow(&mut self, mut cursor: Cursor, relist: Option<Instant>) {
        loop {
            let end = match self.store.watch(cursor.clone()).await {
                Ok(changes) => self.consume(changes, &mut cursor, relist).await,
                Err(error) => self.end_of(&error),
            };
            let due = relist.is_some_and(|relist| Instant::now() >= relist);
            if matches!(end, End::List) || due {
                return;
            }
            tokio::time::sleep(self.backoff.pause()).await;
        }
    }

    async fn consume(
        &mut self,
        mut changes: Changes,
        cursor: &mut Cursor,
        relist: Option<Instant>,
    ) -> End {
        self.publish(false);
        loop {
            let batch = tokio::select! {
                batch = changes.next() => batch,
                () = sleep_until(relist) => return End::List,
            };
            if matches!(batch, Some(Ok(_))) {
                tokio::time::sleep_until(self.published + DISTANCE).await;
            }
            if let Err(error) = self.apply(batch, &mut changes, cursor) {
                return self.end_of(&error);
            }
            self.backoff.reset();
        }
    }

    /// Applies a batch and all that are there already, then publishes once.
    fn apply(
        &mut self,
        first: Option<Result<Batch, StoreError>>,
        changes: &mut Changes,
        cursor: &mut Cursor,
    ) -> Result<(), StoreError> {
        let mut next = Some(first);
        let mut changed = false;
        let mut outcome = Ok(());
        for _ in 0..JOINED {
            match next {
                Some(Some(Ok(batch))) => {
                    changed |= !batch.changes.is_empty();
                    batch
                        .changes
                        .into_iter()
                        .for_each(|change| self.leases.apply(change));
                    if let Some(reached) = batch.cursor {
                        *cursor = reached;
                    }
                }
                Some(Some(Err(error))) => outcome = Err(error),
                Some(None) => outcome = Err(closed(self.store.as_ref())),
                None => break,
            }
            if outcome.is_err() {
                break;
            }
            next = changes.next().now_or_never();
        }
        if changed {
            self.publish(false);
        }
        outcome
    }

    fn end_of(&mut self, error: &StoreError) -> End {
        match error {
            StoreError::Compacted { .. } => End::List,
            error => {
                self.lost(error);
                End::Resume
            }
        }
    }

    /// Lets the readers see the leases as they are now.
    fn publish(&mut self, listed: bool) {
        self.trouble.end();
        self.sender.send_if_modified(|table| {
            let newer = self.leases.newer(table);
            let renewed = newer.is_some();
            if let Some(newer) = newer {
                *table = Arc::new(newer);
            }
            let synced = table.sync != Sync::Current;
            if synced || listed {
                let table = Arc::make_mut(table);
                table.sync = Sync::Current;
                table.lists += u64::from(listed);
            }
            renewed || synced
        });
        self.published = Instant::now();
    }

    /// The store is lost: the readers keep the last table and see that it is old.
    fn lost(&mut self, error: &StoreError) {
        self.trouble.begin(error);
        let reason = chain(error);
        self.sender.send_if_modified(|table| match &table.sync {
            Sync::Current => {
                let table = Arc::make_mut(table);
                table.sync = Sync::Stale {
                    since: std::time::Instant::now(),
                    reason,
                };
                table.outages += 1;
                true
            }
            Sync::Waiting | Sync::Stale { .. } => false,
        });
    }

    /// Ten minutes, give or take a tenth.
    fn until_relist(&self) -> Duration {
        self.timing.relist.mul_f64(0.9 + fastrand::f64() / 5.0)
    }
}

fn closed(store: &dyn Store) -> StoreError {
    StoreError::Unreachable {
        store: store.describe(),
        source: "the watch ended".into(),
    }
}
