//! What is known of all leases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use cluster::{LeaseAttrs, Subnets};

use crate::store::{Change, Listing, Malformed, Record};

/// All leases at one moment. Readers see whole tables, never a queue of changes.
#[derive(Clone, Debug, Default)]
pub struct LeaseTable {
    /// The leases of all other subnets than the own. Leases of several subnets may name one node.
    pub peers: BTreeMap<Subnets, Arc<LeaseAttrs>>,
    /// What the store holds under the own key.
    pub own: Option<OwnRecord>,
    /// How current this is.
    pub sync: Sync,
    /// Names and values under `subnets/` that are no leases, at this moment.
    pub malformed: usize,
    /// How often something malformed was written, as far as it was seen.
    pub malformed_seen: u64,
    /// How often all leases were listed.
    pub lists: u64,
    /// How often the store was lost.
    pub outages: u64,
}

/// The own key as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRecord {
    /// Whose it is.
    pub attrs: Arc<LeaseAttrs>,
    /// See `Holding::revision`.
    pub revision: u64,
}

/// How current a table is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Nothing was read yet: the table says nothing.
    #[default]
    Waiting,
    /// The table follows the store.
    Current,
    /// The store is unreachable; the table is the last one known.
    Stale {
        /// Since when.
        since: Instant,
        /// Why.
        reason: String,
    },
}

/// The state behind the table: also what does not show there.
#[derive(Debug)]
pub(super) struct Leases {
    own_subnets: Subnets,
    own: Option<OwnRecord>,
    /// Leases under the names that netd would give them.
    peers: BTreeMap<Subnets, Arc<LeaseAttrs>>,
    /// Leases under other names (`x/10.5.7.0-24`); the one with the proper name goes first.
    odd: BTreeMap<String, (Subnets, Arc<LeaseAttrs>)>,
    malformed: BTreeSet<String>,
    malformed_seen: u64,
}

impl Leases {
    pub(super) fn new(own_subnets: Subnets) -> Self {
        Self {
            own_subnets,
            own: None,
            peers: BTreeMap::new(),
            odd: BTreeMap::new(),
            malformed: BTreeSet::new(),
            malformed_seen: 0,
        }
    }

    /// Everything anew. What has become unreadable keeps its last readable value, as it does while
    /// watching: one bad write never takes a node off the network.
    pub(super) fn replace(&mut self, listing: Listing) {
        let mut before = std::mem::replace(self, Self::new(self.own_subnets));
        self.malformed_seen = before.malformed_seen;
        for record in listing.records {
            self.put(record);
        }
        for malformed in listing.malformed {
            let key = malformed.key().to_owned();
            let subnets = malformed.subnets();
            if let Some((subnets, attrs)) = subnets.and_then(|s| before.peers.remove_entry(&s)) {
                self.peers.insert(subnets, attrs);
            } else if let Some(lease) = before.odd.remove(&key) {
                self.odd.insert(key.clone(), lease);
            }
            if subnets == Some(self.own_subnets) {
                self.own = before.own.take();
            }
            if before.malformed.contains(&key) {
                self.malformed.insert(key);
            } else {
                self.note(&malformed);
            }
        }
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Put(record) => {
                self.malformed.remove(&record.key());
                self.put(record);
            }
            Change::Malformed(malformed) => self.note(&malformed),
            Change::Delete(key) => self.delete(&key),
        }
    }

    fn put(&mut self, record: Record) {
        let Record {
            odd_key,
            subnets,
            attrs,
            revision,
            ..
        } = record;
        match odd_key {
            Some(key) => {
                self.odd.insert(key.into(), (subnets, attrs));
            }
            None if subnets == self.own_subnets => self.own = Some(OwnRecord { attrs, revision }),
            None => {
                self.peers.insert(subnets, attrs);
            }
        }
    }

    fn delete(&mut self, key: &str) {
        self.malformed.remove(key);
        if self.odd.remove(key).is_some() {
            return;
        }
        match Subnets::parse_key(key) {
            Ok(subnets) if subnets.key() != key => {}
            Ok(subnets) if subnets == self.own_subnets => self.own = None,
            Ok(subnets) => {
                self.peers.remove(&subnets);
            }
            Err(_) => {}
        }
    }

    fn note(&mut self, malformed: &Malformed) {
        tracing::warn!("ignoring {}", crate::chain(malformed));
        self.malformed.insert(malformed.key().to_owned());
        self.malformed_seen += 1;
    }

    /// Brings the table up to date; says whether that changed anything.
    pub(super) fn copy_to(&self, table: &mut LeaseTable) -> bool {
        let mut peers = self.peers.clone();
        for (subnets, attrs) in self.odd.values() {
            if *subnets != self.own_subnets {
                peers.entry(*subnets).or_insert_with(|| Arc::clone(attrs));
            }
        }
        let same = table.peers == peers
            && table.own == self.own
            && table.malformed == self.malformed.len()
            && table.malformed_seen == self.malformed_seen;
        table.peers = peers;
        table.own.clone_from(&self.own);
        table.malformed = self.malformed.len();
        table.malformed_seen = self.malformed_seen;
        !same
    }
}
