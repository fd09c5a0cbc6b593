//! Every lease by whose it is, and what can be asked of the daemon.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use cni::{AddResult, ValidAttachment};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use super::{
    flags::Flags,
    keeper::{Keeper, Order, Wish},
    place::{Place, PlaceError},
    record::{Key, Record, Records},
};
use crate::config::{Config, Ipam};
use crate::protocol::{
    ask::{Client, OptionError, lenient_args},
    lease::{Lease, LeaseError},
    timing::Timing,
};
use crate::rpc::Arguments;

/// Why there is no lease; the plugin hands the text on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("error parsing netconf: {0}")]
    Config(#[from] cni::json::JsonError),
    #[error("IPAM config missing 'ipam' key")]
    NoIpam,
    #[error(transparent)]
    Option(#[from] OptionError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The keeper's words.
    #[error("{0}")]
    Keeper(String),
    #[error("no lease for {0}")]
    NoLease(String),
    #[error("the daemon is stopping")]
    Stopping,
}

/// The daemon's leases.
pub(super) struct Registry {
    pub(super) records: Records,
    pub(super) timing: Timing,
    host_prefix: String,
    broadcast: bool,
    keepers: RefCell<HashMap<Key, mpsc::UnboundedSender<Order>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    name: String,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid: Vec<ValidAttachment>,
}

impl Registry {
    /// Takes up every lease that lies in `leases`.
    pub(super) fn open(leases: PathBuf, flags: &Flags) -> io::Result<Rc<Self>> {
        let registry = Rc::new(Self {
            records: Records::new(leases),
            timing: flags.timing,
            host_prefix: flags.host_prefix.clone(),
            broadcast: flags.broadcast,
            keepers: RefCell::default(),
        });
        for record in registry.records.all()? {
            if record.is_of_another_boot() {
                tracing::info!(
                    lease = record.key.identity(),
                    "lease dropped: the machine was started anew"
                );
                registry.records.remove(&record.key);
                continue;
            }
            registry.start(record.key.clone(), Some(record));
        }
        Ok(registry)
    }

    /// The lease of an attachment: the one it has, or a new one.
    pub(super) async fn allocate(
        self: &Rc<Self>,
        arguments: &Arguments,
    ) -> Result<AddResult, Refusal> {
        let key = key_of(arguments)?;
        let ipam = ipam_of(arguments)?;
        let args = lenient_args(&arguments.args);
        let mut client = Client::new(&key.identity(), &ipam.provide, &ipam.request, &args)?;
        client.broadcast = self.broadcast;
        let netns = PathBuf::from(format!("{}{}", self.host_prefix, arguments.netns));
        let place = Place::find(&netns, &arguments.ifname)?;
        let (reply, answer) = oneshot::channel();
        let wish = Box::new(Wish { place, client });
        self.dispatch(key, Order::Allocate(wish, reply));
        Ok(kept(answer).await?.result(ipam.priority)?)
    }

    /// The lease that an attachment has.
    pub(super) async fn check(&self, arguments: &Arguments) -> Result<AddResult, Refusal> {
        let key = key_of(arguments)?;
        let ipam = ipam_of(arguments)?;
        let (reply, answer) = oneshot::channel();
        self.order(&key, Order::Check(reply))
            .map_err(|_| Refusal::NoLease(key.identity()))?;
        Ok(kept(answer).await?.result(ipam.priority)?)
    }

    /// Gives the lease of an attachment back.
    pub(super) async fn release(&self, arguments: &Arguments) -> Result<(), Refusal> {
        let key = key_of(arguments)?;
        self.give_back(&key).await;
        // Also of one that could not be read: it goes with its attachment.
        self.records.remove(&key);
        Ok(())
    }

    /// Gives back the leases of the network that no listed attachment has.
    pub(super) async fn collect(&self, arguments: &Arguments) -> Result<(), Refusal> {
        let listed: Listed = cni::json::from_slice(&arguments.stdin)?;
        let valid: HashSet<(&str, &str)> = listed
            .valid
            .iter()
            .map(|one| (&*one.container_id, &*one.ifname))
            .collect();
        let is_stale = |key: &&Key| {
            key.network == listed.name && !valid.contains(&(&*key.container, &*key.ifname))
        };
        for key in self.keys(is_stale) {
            tracing::info!(lease = key.identity(), "belongs to no attachment");
            self.give_back(&key).await;
        }
        Ok(())
    }

    fn keys(&self, wanted: impl Fn(&&Key) -> bool) -> Vec<Key> {
        let keepers = self.keepers.borrow();
        keepers.keys().filter(wanted).cloned().collect()
    }

    /// Ends when the server has been told; at once where there is no lease.
    async fn give_back(&self, key: &Key) {
        let (reply, answer) = oneshot::channel();
        if self.order(key, Order::Release(reply)).is_ok() {
            // Whoever ends without an answer has nothing left to give back.
            let _ = answer.await;
        }
    }

    /// Hands an order to the keeper of a lease, and back where there is none.
    fn order(&self, key: &Key, order: Order) -> Result<(), Order> {
        match self.keepers.borrow().get(key) {
            Some(keeper) => keeper.send(order).map_err(|unsent| unsent.0),
            None => Err(order),
        }
    }

    /// The same with a new keeper where there is none.
    pub(super) fn dispatch(self: &Rc<Self>, key: Key, order: Order) {
        if let Err(order) = self.order(&key, order) {
            // A keeper that has just begun takes orders.
            let _ = self.start(key, None).send(order);
        }
    }

    fn start(self: &Rc<Self>, key: Key, record: Option<Record>) -> mpsc::UnboundedSender<Order> {
        let (sender, orders) = mpsc::unbounded_channel();
        let keepers = &mut self.keepers.borrow_mut();
        keepers.insert(key.clone(), sender.clone());
        let keeper = Keeper::new(Rc::clone(self), key, orders);
        spawn_local(keeper.run(record));
        sender
    }

    /// A keeper ends. What it was still asked for goes to the next one.
    pub(super) fn forget(self: &Rc<Self>, key: &Key, mut orders: mpsc::UnboundedReceiver<Order>) {
        self.keepers.borrow_mut().remove(key);
        while let Ok(order) = orders.try_recv() {
            match order {
                order @ Order::Allocate(..) => self.dispatch(key.clone(), order),
                // For the next one, which an order before this one may have started. Dropped
                // without it: there is no lease any more.
                order => drop(self.order(key, order)),
            }
        }
    }
}

/// What the keeper answers.
async fn kept(answer: oneshot::Receiver<Result<Lease, String>>) -> Result<Lease, Refusal> {
    let answer = answer.await.map_err(|_| Refusal::Stopping)?;
    answer.map_err(Refusal::Keeper)
}

fn key_of(arguments: &Arguments) -> Result<Key, Refusal> {
    let named: Named = cni::json::from_slice(&arguments.stdin)?;
    Ok(Key {
        container: arguments.container.clone(),
        network: named.name,
        ifname: arguments.ifname.clone(),
    })
}

fn ipam_of(arguments: &Arguments) -> Result<Ipam, Refusal> {
    let config = Config::read(&arguments.stdin)?;
    config.ipam.ok_or(Refusal::NoIpam)
}
