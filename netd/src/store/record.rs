//! Records of a store, decoded.

use std::sync::Arc;

use cluster::{AttrsError, KeyError, LeaseAttrs, NodeError, Subnets};

use super::{Cursor, Holding};

/// A lease as it lies in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name under `subnets/` when it is not the one that netd would write for these subnets.
    pub odd_key: Option<Box<str>>,
    /// What is leased.
    pub subnets: Subnets,
    /// By whom.
    pub attrs: Arc<LeaseAttrs>,
    /// See `Holding::revision`.
    pub revision: u64,
    /// See `Holding::birth`.
    pub birth: u64,
    /// The store's name for its term (etcd: the lease's ID); `None` is a reservation.
    pub term: Option<i64>,
}

impl Record {
    /// The term of what a cluster gave to a node: as long as it has the node.
    pub const OF_NODE: i64 = 0;

    /// What lies in the store while this is held with these attributes.
    pub fn of(holding: &Holding, attrs: &LeaseAttrs) -> Self {
        Self {
            odd_key: None,
            subnets: holding.subnets,
            attrs: Arc::new(attrs.clone()),
            revision: holding.revision,
            birth: holding.birth,
            term: holding.term.name(),
        }
    }

    /// The name under `subnets/`.
    pub fn key(&self) -> String {
        self.odd_key
            .as_deref()
            .map_or_else(|| self.subnets.key(), str::to_owned)
    }
}

/// Something under `subnets/` that is no lease.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The name is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The value is none.
    #[error("the value of {key} is malformed")]
    Value {
        /// The name under `subnets/`.
        key: String,
        /// What its name says.
        subnets: Subnets,
        /// What is wrong.
        #[source]
        source: AttrsError,
    },
    /// A node of a Kubernetes cluster says nothing that can be used.
    #[error("{key} cannot be a peer")]
    Node {
        /// `node/` and its name.
        key: String,
        /// What the cluster gave it, where that can be read.
        subnets: Option<Subnets>,
        /// What is wrong.
        #[source]
        source: NodeError,
    },
}

impl Malformed {
    /// The name under `subnets/`.
    pub fn key(&self) -> &str {
        match self {
            Self::Key(KeyError(key)) | Self::Value { key, .. } | Self::Node { key, .. } => key,
        }
    }

    /// The subnets that the name stands for, if it is a subnet's.
    pub fn subnets(&self) -> Option<Subnets> {
        match self {
            Self::Key(_) => None,
            Self::Value { subnets, .. } => Some(*subnets),
            Self::Node { subnets, .. } => *subnets,
        }
    }
}

/// All that lies under `subnets/`.
#[derive(Debug, Default)]
pub struct Listing {
    /// The leases.
    pub records: Vec<Record>,
    /// What is none.
    pub malformed: Vec<Malformed>,
    /// A watch from here misses nothing.
    pub cursor: Option<Cursor>,
}

impl Listing {
    /// Enters what was written after all were listed.
    pub fn put(&mut self, record: Record) {
        let is_same =
            |other: &Record| (&other.odd_key, other.subnets) == (&record.odd_key, record.subnets);
        self.records.retain(|other| !is_same(other));
        self.records.push(record);
    }
}

/// One change under `subnets/`.
#[derive(Debug)]
pub enum Change {
    /// A lease was written.
    Put(Record),
    /// Something was written that is no lease.
    Malformed(Malformed),
    /// A name was removed, by hand or because its term ended.
    Delete(String),
}

/// Reads the name and value of one record.
///
/// # Errors
/// Either is malformed.
pub fn decode(key: &str, value: &[u8]) -> Result<(Subnets, LeaseAttrs), Malformed> {
    let subnets = Subnets::parse_key(key)?;
    match LeaseAttrs::parse(value) {
        Ok(attrs) => Ok((subnets, attrs)),
        Err(source) => Err(Malformed::Value {
            key: key.to_owned(),
            subnets,
            source,
        }),
    }
}
