//! A lease that is kept: how old it is, what comes next, and what is done then.

use std::time::Duration;

use cni::error::one_line;
use tokio::time::{Instant, sleep};

use super::Wish;
use crate::daemon::{
    place::{Inside, Place, PlaceError},
    record::{Key, Record},
    registry::Registry,
};
use crate::protocol::{
    exchange::{Answer, Exchange, ExchangeError},
    lease::{Lease, LeaseError},
    message::option,
    timing::{Step, Times},
    wire::LinkWire,
};

/// How often a lease that is never renewed is looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// Why no lease was got.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcquireError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error("cannot keep the lease in {path}")]
    Record {
        path: String,
        source: std::io::Error,
    },
}

/// What has become of a lease at its next time.
pub(super) enum Event {
    /// A server has extended it, asked at this time.
    Renewed(Box<Lease>, Instant),
    /// It was asked for in vain, at this age.
    Tried(Duration),
    /// There is none any more.
    Over,
}

/// A lease that is kept.
pub(super) struct Kept {
    pub(super) record: Record,
    times: Option<Times>,
    /// How old it was at `since`.
    age_then: Duration,
    since: Instant,
    tried: Option<Duration>,
    /// No server has confirmed it since this daemon started.
    is_restored: bool,
}

impl Kept {
    /// Gets a lease; what is of no use is given back at once.
    pub(super) async fn acquire(
        registry: &Registry,
        key: &Key,
        wish: Wish,
    ) -> Result<Self, AcquireError> {
        let inside = wish.place.enter()?;
        inside.set_up().await?;
        let wire = inside.wire()?;
        let exchange = Exchange {
            wire: &wire,
            client: &wish.client,
            mac: inside.mac,
            timing: registry.timing,
        };
        let (lease, asked) = exchange.acquire(None).await?;
        let record = Record::new(key.clone(), &wish.place, wish.client.clone(), lease);
        let usable = record.lease.network().map_err(AcquireError::from);
        let written = usable.and_then(|_| write(registry, &record));
        if let Err(error) = written {
            tracing::warn!(lease = key.identity(), %error, "releasing lease");
            exchange
                .release(&record.lease)
                .await
                .unwrap_or_else(|failed| {
                    tracing::warn!(lease = key.identity(), error = %failed, "cannot release lease");
                });
            registry.records.remove(key);
            return Err(error);
        }
        tracing::info!(
            lease = key.identity(),
            address = %record.lease.address,
            server = %record.lease.server,
            seconds = record.lease.times().map(|times| times.end.as_secs()),
            "lease acquired"
        );
        Ok(Self::new(record, Duration::ZERO, asked, false))
    }

    /// A former daemon's lease. One of unknown age is taken for one that has run out: it is asked
    /// for anew at once.
    pub(super) fn restored(record: Record) -> Self {
        tracing::info!(lease = record.key.identity(), address = %record.lease.address, "lease taken up");
        let end = || record.lease.times().map(|times| times.end);
        let age = record.age().or_else(end).unwrap_or_default();
        Self::new(record, age, Instant::now(), true)
    }

    fn new(record: Record, age_then: Duration, since: Instant, is_restored: bool) -> Self {
        Self {
            times: record.lease.times().map(Times::fuzzed),
            record,
            age_then,
            since,
            tried: None,
            is_restored,
        }
    }

    /// The same with what a server has extended.
    pub(super) fn renewed(self, registry: &Registry, mut lease: Lease, asked: Instant) -> Self {
        // What the pod has, it keeps.
        if let (None, Some(mask)) = (
            lease.options.get(option::SUBNET_MASK),
            self.record.lease.options.get(option::SUBNET_MASK),
        ) {
            lease.options.set(option::SUBNET_MASK, mask);
        }
        let record = self.record.renewed(lease, asked.elapsed());
        if let Err(error) = write(registry, &record) {
            let error = one_line(&error);
            tracing::error!(lease = record.key.identity(), %error, "a restart would lose this renewal");
        }
        Self::new(record, Duration::ZERO, asked, false)
    }

    /// The same after servers were asked in vain.
    pub(super) fn tried(self, age: Duration) -> Self {
        Self {
            tried: Some(age),
            ..self
        }
    }

    pub(super) fn identity(&self) -> String {
        self.record.key.identity()
    }

    pub(super) fn place(&self) -> Place {
        self.record.place()
    }

    fn age(&self) -> Duration {
        self.age_then + self.since.elapsed()
    }

    /// Waits for the lease's next time, and does what is due.
    pub(super) async fn next(&self, registry: &Registry) -> Event {
        if self.is_restored && self.tried.is_none() && self.is_gone() {
            return Event::Over;
        }
        let Some(times) = self.times else {
            return self.endless().await;
        };
        let (due, step) = times.next(self.age(), self.tried);
        sleep(due.saturating_sub(self.age())).await;
        match step {
            Step::End if self.is_restored => self.regain(registry).await,
            Step::End => self.expired(),
            Step::Renew | Step::Rebind => self.extend(registry, step, &times).await,
        }
    }

    /// A lease without end ends with its interface.
    async fn endless(&self) -> Event {
        loop {
            sleep(LOOK).await;
            if self.is_gone() {
                return Event::Over;
            }
        }
    }

    /// Whether the interface that had the lease is no longer there.
    fn is_gone(&self) -> bool {
        match self.place().enter() {
            Err(error) if error.is_gone() => {
                tracing::info!(lease = self.identity(), %error, "lease dropped");
                true
            }
            _ => false,
        }
    }

    async fn extend(&self, registry: &Registry, step: Step, times: &Times) -> Event {
        let age = self.age();
        let asked = Instant::now();
        let (until, _) = times.next(age, Some(age));
        let time = registry.timing.answer.min(until.saturating_sub(age));
        match self.ask(registry, step == Step::Rebind, time).await {
            Ok(Some(Answer::Granted(lease))) => {
                tracing::info!(lease = self.identity(), server = %lease.server, "lease renewed");
                Event::Renewed(lease, asked)
            }
            Ok(Some(Answer::Refused(why))) => {
                tracing::warn!(
                    lease = self.identity(),
                    why,
                    "the server refuses to renew the lease"
                );
                self.regain(registry).await
            }
            Ok(None) => {
                tracing::warn!(lease = self.identity(), "no server renews the lease");
                Event::Tried(age)
            }
            Err(AcquireError::Place(error)) if error.is_gone() => {
                tracing::info!(lease = self.identity(), %error, "lease dropped");
                Event::Over
            }
            Err(error) => {
                let error = one_line(&error);
                tracing::warn!(lease = self.identity(), %error, "cannot ask for the lease");
                Event::Tried(age)
            }
        }
    }

    /// The socket, and with it the namespace, is held open only as long as it is listened to.
    async fn ask(
        &self,
        registry: &Registry,
        everybody: bool,
        time: Duration,
    ) -> Result<Option<Answer>, AcquireError> {
        let inside = self.place().enter()?;
        let wire = inside.wire()?;
        let _port = inside.take_port(self.record.lease.address);
        let exchange = self.exchange(registry, &inside, &wire);
        Ok(exchange.extend(&self.record.lease, everybody, time).await?)
    }

    fn exchange<'a>(
        &'a self,
        registry: &Registry,
        inside: &Inside,
        wire: &'a LinkWire,
    ) -> Exchange<'a, LinkWire> {
        Exchange {
            wire,
            client: &self.record.client,
            mac: inside.mac,
            timing: registry.timing,
        }
    }

    /// The address is no longer ours: a new lease of the same one serves as well, another does
    /// not, because the pod has this address.
    async fn regain(&self, registry: &Registry) -> Event {
        match self.regained(registry).await {
            Ok((lease, asked)) => {
                tracing::info!(lease = self.identity(), "the same address again");
                Event::Renewed(Box::new(lease), asked)
            }
            Err(error) => {
                let error = one_line(&error);
                tracing::warn!(lease = self.identity(), %error, "the address cannot be had again");
                self.expired()
            }
        }
    }

    async fn regained(&self, registry: &Registry) -> Result<(Lease, Instant), AcquireError> {
        let inside = self.place().enter()?;
        let wire = inside.wire()?;
        let exchange = self.exchange(registry, &inside, &wire);
        let wanted = Some(self.record.lease.address);
        Ok(exchange.acquire(wanted).await?)
    }

    /// The address may be somebody else's: the interface goes down, as with the reference.
    fn expired(&self) -> Event {
        let address = self.record.lease.address;
        tracing::error!(lease = self.identity(), %address, "lease is over, setting the interface down");
        let down = self.place().enter().and_then(|inside| inside.set_down());
        if let Err(error) = down {
            tracing::warn!(lease = self.identity(), %error, "cannot set the interface down");
        }
        Event::Over
    }

    /// Tells the server. Where it cannot be told, the lease ends by itself in time.
    pub(super) async fn release(&self, registry: &Registry) {
        tracing::info!(lease = self.identity(), "releasing lease");
        if let Err(error) = self.told(registry).await {
            let error = one_line(&error);
            tracing::warn!(lease = self.identity(), %error, "the server does not know of the release");
        }
        registry.records.remove(&self.record.key);
    }

    async fn told(&self, registry: &Registry) -> Result<(), AcquireError> {
        let inside = self.place().enter()?;
        let wire = inside.wire()?;
        let exchange = self.exchange(registry, &inside, &wire);
        let released = exchange.release(&self.record.lease).await;
        Ok(released.map_err(ExchangeError::from)?)
    }
}

fn write(registry: &Registry, record: &Record) -> Result<(), AcquireError> {
    let written = registry.records.write(record);
    written.map_err(|source| AcquireError::Record {
        path: registry.records.path(&record.key).display().to_string(),
        source,
    })
}
