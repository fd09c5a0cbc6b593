//! Where the cluster's state lies: a [`Store`] holds the network configuration and the leases.
//!
//! Two stores keep the same keys and the same bytes: [`EtcdStore`] in etcd, [`DirStore`] in a
//! directory of one machine. In the third, `KubeStore`, the nodes of a Kubernetes cluster are the
//! leases: the cluster gives them their subnets, and they publish the rest as annotations.

mod dir;
mod etcd;
#[cfg(feature = "kube")]
mod kube;
mod record;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Allocation, LeaseAttrs, Subnets};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use dir::DirStore;
pub use etcd::{EtcdOptions, EtcdStore};
#[cfg(feature = "kube")]
pub use kube::{Identity, KubeOptions, KubeStore};
pub use record::{Change, Listing, Malformed, Record, decode};

use crate::health::Finding;

/// A position in a store's history: a watch can start after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// In a history that is counted.
    Number(u64),
    /// In one whose positions have names that mean nothing to anybody else (Kubernetes'
    /// `resourceVersion`).
    Name(Arc<str>),
}

/// One lease that this node holds, as the store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What is held.
    pub subnets: Subnets,
    /// Changes with every write of the value; a write names the one it replaces.
    pub revision: u64,
    /// Stays while the key exists; another one means that the key was removed and made again.
    pub birth: u64,
    /// How long it lasts.
    pub term: Term,
}

/// How long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// For ever: an operator reserved the subnet for this node.
    Reserved,
    /// As long as the cluster has this node, which it gave the subnet to.
    Node,
    /// Until `expires`, unless renewed.
    Until {
        /// The store's name for the term (etcd: the lease's ID).
        id: i64,
        /// How long one renewal lasts.
        ttl: Duration,
        /// When it ends, by this machine's clock, a little early rather than late.
        expires: Instant,
    },
}

impl Term {
    /// As it is in a [`Record`].
    pub fn name(&self) -> Option<i64> {
        match self {
            Self::Reserved => None,
            Self::Node => Some(Record::OF_NODE),
            Self::Until { id, .. } => Some(*id),
        }
    }
}

/// A store that failed. The source, where there is one, says why.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers; trying again may help.
    #[error("{store} is unreachable")]
    Unreachable {
        /// The store, for people.
        store: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store answers, but refuses.
    #[error("{store} refused to {operation}")]
    Refused {
        /// The store, for people.
        store: String,
        /// What it was asked for.
        operation: &'static str,
        /// Its answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The history after a cursor is gone; only a new list helps.
    #[error("the history of {store} is gone before this point: it must be listed again")]
    Compacted {
        /// The store, for people.
        store: String,
    },
    /// The store wants to be left alone for a while, or somebody else wrote at the same moment.
    #[error("{store} did not {operation} now")]
    Busy {
        /// The store, for people.
        store: String,
        /// What it was asked for.
        operation: &'static str,
        /// Its answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store gives nodes their subnets, and has none for this one yet.
    #[error("{store} has no subnet for this node yet: {problem}")]
    NoSubnet {
        /// The store, for people.
        store: String,
        /// What is missing, and who provides it.
        problem: String,
    },
    /// The store's options cannot be used.
    #[error("{store}: {problem}")]
    Options {
        /// The store, for people.
        store: String,
        /// What is wrong.
        problem: String,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A file of the directory store.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether trying again later may help although nobody changes anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Compacted { .. }
            | Self::Busy { .. }
            | Self::NoSubnet { .. } => true,
            Self::File { source, .. } => source.kind() == std::io::ErrorKind::TimedOut,
            Self::Refused { .. } | Self::Options { .. } => false,
        }
    }
}

/// Changes of the leases, in order, in batches as they come; an error ends the stream.
pub type Changes = BoxStream<'static, Result<Batch, StoreError>>;

/// What happened since the batch before.
#[derive(Debug, Default)]
pub struct Batch {
    /// The changes, oldest first.
    pub changes: Vec<Change>,
    /// Where the next watch goes on.
    pub cursor: Option<Cursor>,
}

/// What a store that gives nodes their subnets says of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What it gives.
    pub subnets: Subnets,
    /// What the node published before, if that can be read.
    pub published: Option<LeaseAttrs>,
    /// The public address that an operator wants the node to have.
    pub public_ip: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub public_ipv6: Option<Ipv6Addr>,
}

/// What a cluster hears of this node's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeNetwork {
    /// Pods may come.
    Works,
    /// They should not, for this reason.
    Fails(String),
}

impl NodeNetwork {
    /// Whether pods may come.
    pub fn works(&self) -> bool {
        matches!(self, Self::Works)
    }
}

/// What netd asks of a store. Writes are compare-and-swap: `None` (or `false`) says that someone
/// else was first and nothing was changed.
pub trait Store: Send + Sync + 'static {
    /// The store, for people: `etcd http://127.0.0.1:2379`, `directory /var/lib/podwire`.
    fn describe(&self) -> String;

    /// The bytes of the network configuration; `None` when there is none.
    fn network_config(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>>;

    /// Where that lies, for people.
    fn config_place(&self) -> String {
        format!("the key or file `config` in {}", self.describe())
    }

    /// All leases at one moment.
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>>;

    /// One lease; `None` when there is none (or its value cannot be read: see `list`).
    fn get(&self, subnets: Subnets) -> BoxFuture<'_, Result<Option<Record>, StoreError>>;

    /// Takes free subnets for `ttl`.
    fn create<'a>(
        &'a self,
        subnets: Subnets,
        attrs: &'a LeaseAttrs,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>>;

    /// Takes over an existing record for `ttl` with new attributes. A reservation stays one.
    fn adopt<'a>(
        &'a self,
        record: &'a Record,
        attrs: &'a LeaseAttrs,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>>;

    /// Writes the value again, changed or not; the term stays as it is.
    fn rewrite<'a>(
        &'a self,
        holding: &'a Holding,
        attrs: &'a LeaseAttrs,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>>;

    /// Lets the term start again; `None` when it has ended already.
    fn renew<'a>(
        &'a self,
        holding: &'a Holding,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>>;

    /// Gives a lease back, if nobody has written it since `revision`.
    fn delete(&self, subnets: Subnets, revision: u64) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Changes after `cursor`.
    fn watch(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>>;

    /// Whether peers may be daemons that miss events, so that writing again helps them.
    fn has_forgetful_readers(&self) -> bool;

    /// How nodes come to their subnets.
    fn allocation(&self) -> Allocation {
        Allocation::Drawn
    }

    /// What the store gives this node; nothing where nodes draw their own.
    fn assignment(&self) -> BoxFuture<'_, Result<Option<Assignment>, StoreError>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// Whether everything should be listed from time to time, whatever the watch says.
    fn relists(&self) -> bool {
        true
    }

    /// URLs of the servers, which must never be behind a peer.
    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is wrong with how it is reached, although it answers.
    fn trouble(&self) -> Option<Finding> {
        None
    }

    /// How long it took to answer, since this was asked last, where it keeps count.
    fn take_answers(&self) -> Vec<Duration> {
        Vec::new()
    }

    /// Tells the cluster how this node's network does, where a cluster wants to hear that.
    fn announce<'a>(&'a self, _network: &'a NodeNetwork) -> BoxFuture<'a, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }
}
