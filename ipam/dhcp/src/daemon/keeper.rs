//! The keeper of one lease: gets it, renews it, gives it back.

mod kept;

use std::pin::pin;
use std::rc::Rc;

use cni::error::one_line;
use tokio::sync::{mpsc, oneshot};

use super::{
    place::Place,
    record::{Key, Record},
    registry::Registry,
};
use crate::protocol::{ask::Client, lease::Lease};
use kept::{Event, Kept};

/// What is asked for.
pub(super) struct Wish {
    pub(super) place: Place,
    pub(super) client: Client,
}

/// Where a lease goes, or why there is none.
type Reply = oneshot::Sender<Result<Lease, String>>;

/// What a keeper is told.
pub(super) enum Order {
    /// Get a lease, or tell of the one there is.
    Allocate(Box<Wish>, Reply),
    /// Tell of the one there is.
    Check(Reply),
    /// Give it back.
    Release(oneshot::Sender<()>),
}

/// What an order makes of a lease.
enum Obeyed {
    /// It is kept.
    Kept,
    /// It is over.
    Over,
    /// It is over, and another one is wanted.
    Replaced(Box<Wish>, Reply),
}

/// What ended the watch over a lease.
enum Watched {
    Came(Event),
    Told(Obeyed),
}

/// The keeper of a lease.
pub(super) struct Keeper {
    registry: Rc<Registry>,
    key: Key,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl Keeper {
    pub(super) fn new(
        registry: Rc<Registry>,
        key: Key,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        Self {
            registry,
            key,
            orders,
        }
    }

    /// Keeps a former daemon's lease, or the one that the first order asks for, to its end.
    pub(super) async fn run(mut self, record: Option<Record>) {
        let mut kept = match record {
            Some(record) => Some(Kept::restored(record)),
            None => self.first().await,
        };
        while let Some(lease) = kept.take() {
            kept = self.keep(lease).await;
        }
        self.registry.forget(&self.key, self.orders);
    }

    async fn first(&mut self) -> Option<Kept> {
        match self.orders.recv().await? {
            Order::Allocate(wish, reply) => self.acquire(*wish, reply).await,
            // Dropped: there is no lease.
            Order::Check(_) | Order::Release(_) => None,
        }
    }

    /// Gets a lease, unless it is told meanwhile that nobody wants it.
    async fn acquire(&mut self, wish: Wish, reply: Reply) -> Option<Kept> {
        tracing::info!(lease = self.key.identity(), "acquiring lease");
        let mut waiting = vec![reply];
        let registry = Rc::clone(&self.registry);
        let mut work = pin!(Kept::acquire(&registry, &self.key, wish));
        let acquired = loop {
            tokio::select! {
                acquired = &mut work => break acquired,
                order = self.orders.recv() => match order? {
                    Order::Allocate(_, reply) => waiting.push(reply),
                    Order::Check(reply) => answer(reply, Err("the lease is being acquired".into())),
                    Order::Release(reply) => {
                        let _ = reply.send(());
                        let why = "released while it was being acquired";
                        waiting.into_iter().for_each(|reply| answer(reply, Err(why.into())));
                        return None;
                    }
                },
            }
        };
        let told = match &acquired {
            Ok(kept) => Ok(kept.record.lease.clone()),
            Err(error) => Err(one_line(error)),
        };
        for reply in waiting {
            answer(reply, told.clone());
        }
        acquired.ok()
    }

    /// Keeps the lease until its next time has come and gone, or an order ends it.
    async fn keep(&mut self, kept: Kept) -> Option<Kept> {
        let registry = Rc::clone(&self.registry);
        match self.watch(&registry, &kept).await? {
            Watched::Came(Event::Renewed(lease, asked)) => {
                Some(kept.renewed(&registry, *lease, asked))
            }
            Watched::Came(Event::Tried(age)) => Some(kept.tried(age)),
            Watched::Came(Event::Over) => {
                registry.records.remove(&self.key);
                None
            }
            Watched::Told(Obeyed::Replaced(wish, reply)) => self.acquire(*wish, reply).await,
            Watched::Told(Obeyed::Kept | Obeyed::Over) => None,
        }
    }

    /// Obeys orders until something becomes of the lease; `None`: the daemon ends.
    async fn watch(&mut self, registry: &Registry, kept: &Kept) -> Option<Watched> {
        let mut next = pin!(kept.next(registry));
        loop {
            tokio::select! {
                event = &mut next => return Some(Watched::Came(event)),
                order = self.orders.recv() => match obey(registry, kept, order?).await {
                    Obeyed::Kept => {}
                    obeyed => return Some(Watched::Told(obeyed)),
                },
            }
        }
    }
}

async fn obey(registry: &Registry, kept: &Kept, order: Order) -> Obeyed {
    match order {
        Order::Check(reply) => {
            tracing::debug!(lease = kept.identity(), "checking lease");
            let there = kept.place().enter().map(|_| kept.record.lease.clone());
            answer(reply, there.map_err(|error| error.to_string()));
            Obeyed::Kept
        }
        Order::Allocate(wish, reply) if wish.place.is_same(&kept.place()) => {
            answer(reply, Ok(kept.record.lease.clone()));
            Obeyed::Kept
        }
        Order::Allocate(wish, reply) => {
            kept.release(registry).await;
            Obeyed::Replaced(wish, reply)
        }
        Order::Release(reply) => {
            kept.release(registry).await;
            let _ = reply.send(());
            Obeyed::Over
        }
    }
}

/// Whoever does not wait any more needs no answer.
fn answer(reply: Reply, lease: Result<Lease, String>) {
    let _ = reply.send(lease);
}
