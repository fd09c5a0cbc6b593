//! The own lease, kept: renewed before it ends, written again for those who missed it, taken anew
//! when its key is gone, and defended when someone writes over it.

use std::sync::Arc;
use std::time::Duration;

use cluster::LeaseAttrs;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::acquire::is_same_node;
use super::fight::Fight;
use super::{LeaseError, LeaseTable, OwnLease, Sync, Timing};
use crate::chain;
use crate::retry::{Backoff, Trouble, sleep_until};
use crate::store::{Assignment, Holding, Record, Store, StoreError, Term};

/// A lease that is being kept.
#[derive(Debug)]
pub struct Keeping {
    /// How it goes.
    pub status: watch::Receiver<OwnStatus>,
    /// Ends only when the lease is lost for good. Aborting it leaves the lease in the store.
    pub task: JoinHandle<LeaseError>,
}

/// The state of the own lease.
#[derive(Clone, Debug)]
pub struct OwnStatus {
    /// The lease as last written or renewed.
    pub lease: OwnLease,
    /// When it ends; `None` for a reservation.
    pub expires: Option<std::time::Instant>,
    /// How often it was renewed.
    pub renewals: u64,
    /// How often it had to be taken anew because its key was gone.
    pub reclaims: u64,
    /// How often someone else's value was found under the own key.
    pub foreign_writes: u64,
    /// Who writes the lease in turns with this node, while that goes on.
    pub fight: Option<String>,
    /// The failure that is being retried, if any.
    pub problem: Option<String>,
}

/// Keeps the lease in a task of its own. `attrs` are the attributes to publish: sending other ones
/// updates the lease in place. `table` is the one of [`super::watch_peers`]: it shows at once when
/// the own key changes.
pub fn keep(
    store: Arc<dyn Store>,
    lease: OwnLease,
    attrs: watch::Receiver<LeaseAttrs>,
    table: watch::Receiver<Arc<LeaseTable>>,
    timing: Timing,
) -> Keeping {
    let (sender, status) = watch::channel(OwnStatus::of(&lease));
    let keeper = Keeper {
        rewrite: store
            .has_forgetful_readers()
            .then(|| Instant::now() + around(timing.settle)),
        store,
        lease,
        attrs,
        table,
        timing,
        status: sender,
        retry: None,
        was_lost: false,
        backoff: timing.backoff(),
        fight: Fight::new(timing.truce),
        trouble: Trouble::new("keep this node's lease"),
    };
    Keeping {
        status,
        task: tokio::spawn(keeper.run()),
    }
}

struct Keeper {
    store: Arc<dyn Store>,
    lease: OwnLease,
    attrs: watch::Receiver<LeaseAttrs>,
    table: watch::Receiver<Arc<LeaseTable>>,
    timing: Timing,
    status: watch::Sender<OwnStatus>,
    /// When to write the same value again.
    rewrite: Option<Instant>,
    /// When to look again after a failure.
    retry: Option<Instant>,
    /// Whether the table was stale when last seen.
    was_lost: bool,
    backoff: Backoff,
    fight: Fight,
    trouble: Trouble,
}

impl OwnStatus {
    fn of(lease: &OwnLease) -> Self {
        Self {
            lease: lease.clone(),
            expires: expires(&lease.holding),
            renewals: 0,
            reclaims: 0,
            foreign_writes: 0,
            fight: None,
            problem: None,
        }
    }
}

impl Keeper {
    async fn run(mut self) -> LeaseError {
        loop {
            self.wait().await;
            match self.look().await {
                Ok(()) => self.succeeded(),
                Err(LeaseError::Store(error)) => self.failed(&error),
                Err(error) => return error,
            }
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) {
        loop {
            let fight = self
                .fight
                .until()
                .filter(|_| self.status.borrow().fight.is_some());
            let due = [self.renewal(), self.rewrite, fight]
                .into_iter()
                .flatten()
                .min();
            let due = self.retry.or(due);
            tokio::select! {
                () = sleep_until(due) => return,
                // Also during a truce: a new address ends it.
                () = changed(&mut self.attrs) => return,
                () = changed(&mut self.table) => {
                    // While a retry is due the table is read all the same: an outage may end.
                    let touched = self.is_touched();
                    if touched && self.retry.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether the table shows something else than this task wrote; notes the end of an outage.
    fn is_touched(&mut self) -> bool {
        let table = self.table.borrow_and_update();
        match table.sync {
            Sync::Waiting => false,
            Sync::Stale { .. } => {
                self.was_lost = true;
                false
            }
            Sync::Current => {
                if std::mem::take(&mut self.was_lost) && self.store.has_forgetful_readers() {
                    let pause = around(self.timing.settle_after_outage);
                    self.rewrite = Some(Instant::now() + pause);
                }
                table.own.as_ref().map(|own| own.revision) != Some(self.lease.holding.revision)
            }
        }
    }

    /// Looks at the own key and does what is to do.
    async fn look(&mut self) -> Result<(), LeaseError> {
        match self.store.get(self.lease.subnets()).await? {
            None => self.reclaim().await?,
            Some(record) if record.revision == self.lease.holding.revision => {}
            Some(record) => self.reconcile(record).await?,
        }
        self.publish_attrs().await?;
        self.renew().await
    }

    /// Someone wrote the own key.
    async fn reconcile(&mut self, record: Record) -> Result<(), LeaseError> {
        let holding = self.lease.holding;
        let ours = is_same_node(&record.attrs, &self.lease.attrs);
        if !ours && record.birth != holding.birth {
            return Err(self.lost(&record));
        }
        if record.attrs.as_ref() == &self.lease.attrs && holding.term.name() == record.term {
            let Record {
                revision, birth, ..
            } = record;
            self.lease.holding = Holding {
                revision,
                birth,
                ..holding
            };
            return Ok(());
        }
        if record.attrs.as_ref() != &self.lease.attrs {
            self.note_foreign(&record);
        }
        // A value of ours without a term is a reservation that an operator made just now; a foreign
        // one says nothing about our term.
        let term = if ours {
            record.term
        } else {
            holding.term.name()
        };
        let record = Record { term, ..record };
        let attrs = self.attrs.borrow().clone();
        if let Some(holding) = self.store.adopt(&record, &attrs, self.timing.ttl).await? {
            self.lease = OwnLease { holding, attrs };
        }
        Ok(())
    }

    fn note_foreign(&mut self, record: &Record) {
        let now = Instant::now();
        let subnets = self.lease.subnets();
        let pause = self
            .fight
            .foreign(&subnets, &self.lease.attrs, &record.attrs, now);
        self.status.send_modify(|status| status.foreign_writes += 1);
        if self.fight.words(now).is_none() {
            tracing::warn!(
                "another node wrote over this node's lease of {subnets}: {}; putting it back",
                record.attrs.to_json()
            );
        }
        // A truce puts renewals off as well: it must end before the lease does.
        let pause = pause.min(self.timing.ttl / 3);
        self.retry = (!pause.is_zero()).then(|| now + pause);
    }

    /// The own key is gone: takes the same subnets again, if nobody else has any of them.
    async fn reclaim(&mut self) -> Result<(), LeaseError> {
        let subnets = self.lease.subnets();
        match self.store.assignment().await? {
            Some(Assignment { subnets: now, .. }) if now != subnets => {
                return Err(LeaseError::Moved {
                    before: subnets,
                    now,
                });
            }
            Some(_) => {}
            None => self.check_free().await?,
        }
        tracing::warn!(%subnets, "this node's lease is gone from the store; taking it again");
        let attrs = self.attrs.borrow().clone();
        if let Some(holding) = self.store.create(subnets, &attrs, self.timing.ttl).await? {
            self.lease = OwnLease { holding, attrs };
            self.status.send_modify(|status| status.reclaims += 1);
            return Ok(());
        }
        // Someone was faster: look at once who.
        self.retry = Some(Instant::now());
        Ok(())
    }

    /// Nobody else may have any of the own subnets.
    async fn check_free(&self) -> Result<(), LeaseError> {
        let subnets = self.lease.subnets();
        let listing = self.store.list().await?;
        let mut others = listing
            .records
            .iter()
            .filter(|r| r.odd_key.is_some() || r.subnets != subnets);
        match others.find(|record| record.subnets.overlaps(&subnets)) {
            Some(other) => Err(self.lost(other)),
            None => Ok(()),
        }
    }

    fn lost(&self, other: &Record) -> LeaseError {
        let ip = other.attrs.public_ip;
        let v6 = other.attrs.public_ipv6.filter(|_| ip.is_unspecified());
        LeaseError::Lost {
            subnets: self.lease.subnets(),
            holder: v6.map_or(ip.into(), Into::into),
            taken: other.subnets,
        }
    }

    /// Writes new attributes, or the same ones again when that is due.
    async fn publish_attrs(&mut self) -> Result<(), LeaseError> {
        let attrs = self.attrs.borrow_and_update().clone();
        let due = self.rewrite.is_some_and(|at| at <= Instant::now());
        if attrs == self.lease.attrs && !due {
            return Ok(());
        }
        match self.store.rewrite(&self.lease.holding, &attrs).await? {
            Some(holding) => {
                self.lease = OwnLease { holding, attrs };
                self.rewrite = self.rewrite.filter(|_| !due);
            }
            None => self.retry = Some(Instant::now() + self.backoff.pause()),
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), LeaseError> {
        if self.renewal().is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        match self.store.renew(&self.lease.holding).await? {
            Some(holding) => {
                self.lease.holding = holding;
                self.status.send_modify(|status| status.renewals += 1);
            }
            // It ended between the look and the renewal: the next look takes it again.
            None => self.retry = Some(Instant::now()),
        }
        Ok(())
    }

    /// When to renew: after a third of the time, and at least the margin before the end.
    fn renewal(&self) -> Option<Instant> {
        let Term::Until { ttl, expires, .. } = self.lease.holding.term else {
            return None;
        };
        let by_margin = ttl
            .checked_sub(self.timing.renew_margin)
            .filter(|time| !time.is_zero());
        let after = by_margin.map_or(ttl / 3, |time| time.min(ttl / 3));
        let began = expires.checked_sub(ttl)?;
        Some(Instant::from_std(began + after))
    }

    fn succeeded(&mut self) {
        // A retry that this look asked for stays; the one that brought it about is done.
        self.retry = self.retry.filter(|at| *at > Instant::now());
        if self.retry.is_none() {
            self.backoff.reset();
            self.trouble.end();
        }
        let lease = &self.lease;
        let fight = self.fight.words(Instant::now()).map(str::to_owned);
        self.status.send_modify(|status| {
            status.fight = fight;
            status.lease = lease.clone();
            status.expires = expires(&lease.holding);
            status.problem = None;
        });
    }

    fn failed(&mut self, error: &StoreError) {
        self.trouble.begin(error);
        self.retry = Some(Instant::now() + self.backoff.pause());
        self.status
            .send_modify(|status| status.problem = Some(chain(error)));
    }
}

fn expires(holding: &Holding) -> Option<std::time::Instant> {
    match holding.term {
        Term::Reserved | Term::Node => None,
        Term::Until { expires, .. } => Some(expires),
    }
}

/// A pause, give or take a third.
fn around(pause: Duration) -> Duration {
    pause.mul_f64(0.67 + fastrand::f64() * 0.66)
}

/// Waits for a new value; for ever when there can be none.
pub(super) async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending().await
    }
}
