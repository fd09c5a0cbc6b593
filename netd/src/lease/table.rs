//! What is known of all leases.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use backend::Peers;
use cluster::{LeaseAttrs, Subnets};

use crate::stamp::Stamp;
use crate::store::{Change, Listing, Malformed, Record};

/// All leases at one moment. Readers see whole tables, never a queue of changes.
#[derive(Clone, Debug, Default)]
pub struct LeaseTable {
    /// The leases of all other subnets than the own. Leases of several subnets may name one node.
    pub peers: Peers,
    /// What the store holds under the own key.
    pub own: Option<OwnRecord>,
    /// How often the own key was written or removed, as far as it was seen: what was mended and broken
    /// again between two looks leaves everything else as it was.
    pub own_events: u64,
    /// How current this is.
    pub sync: Sync,
    /// Names and values under `subnets/` that are no leases, at this moment.
    pub malformed: usize,
    /// What is wrong with each of them, by its name.
    pub complaints: Arc<BTreeMap<String, String>>,
    /// How often something malformed was written, as far as it was seen.
    pub malformed_seen: u64,
    /// How often all leases were listed.
    pub lists: u64,
    /// How often the store was lost.
    pub outages: u64,
    /// When each lease was last written with another value.
    pub ages: Ages,
}

/// When each lease of the table appeared, or was last written with another value, as far as it was
/// seen. One value for all tables: a change costs the same with any number of leases.
#[derive(Clone, Debug, Default)]
pub struct Ages(Arc<Mutex<BTreeMap<Subnets, Stamp>>>);

impl Ages {
    /// Of all leases.
    pub fn all(&self) -> BTreeMap<Subnets, Stamp> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subnets, Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    own_events: u64,
    /// Leases under the names that netd would give them.
    peers: Peers,
    /// Leases under other names (`x/10.5.7.0-24`); the one with the proper name goes first.
    odd: BTreeMap<String, (Subnets, Arc<LeaseAttrs>)>,
    /// What is wrong with each.
    malformed: Arc<BTreeMap<String, String>>,
    malformed_seen: u64,
    ages: Ages,
}

impl Leases {
    pub(super) fn new(own_subnets: Subnets) -> Self {
        Self {
            own_subnets,
            own: None,
            own_events: 0,
            peers: Peers::new(),
            odd: BTreeMap::new(),
            malformed: Arc::default(),
            malformed_seen: 0,
            ages: Ages::default(),
        }
    }

    /// Everything anew. What has become unreadable keeps its last readable value, as it does while
    /// watching: one bad write never takes a node off the network.
    pub(super) fn replace(&mut self, listing: Listing) {
        let mut before = std::mem::replace(self, Self::new(self.own_subnets));
        self.malformed_seen = before.malformed_seen;
        self.own_events = before.own_events;
        self.ages = before.ages.clone();
        for record in listing.records {
            self.put(record);
        }
        for malformed in listing.malformed {
            let key = malformed.key().to_owned();
            let subnets = malformed.subnets();
            let known = subnets.and_then(|subnets| before.peers.remove(&subnets));
            if let Some((subnets, attrs)) = subnets.zip(known) {
                self.peers.insert(subnets, attrs);
            } else if let Some(lease) = before.odd.remove(&key) {
                self.odd.insert(key.clone(), lease);
            }
            if subnets == Some(self.own_subnets) {
                self.own = before.own.take();
            }
            if before.malformed.contains_key(&key) {
                self.complain(&malformed);
            } else {
                self.note(&malformed);
            }
        }
        self.date_anew(&before);
    }

    /// After everything was listed: what is as it was keeps its age.
    fn date_anew(&self, before: &Self) {
        let now = Stamp::now();
        let mut ages = self.ages.lock();
        ages.retain(|subnets, _| self.lease(subnets).is_some());
        let odd = self.odd.values().map(|(subnets, _)| subnets);
        for subnets in self.peers.keys().chain(odd) {
            let before = before.lease(subnets);
            let changed = before.is_some_and(|before| self.lease(subnets) != Some(before));
            if changed || !ages.contains_key(subnets) {
                ages.insert(*subnets, now);
            }
        }
    }

    fn lease(&self, subnets: &Subnets) -> Option<&Arc<LeaseAttrs>> {
        let odd = || self.odd.values().find(|(odd, _)| odd == subnets);
        let odd = || odd().map(|(_, attrs)| attrs);
        self.peers.get(subnets).or_else(odd)
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Put(record) => {
                self.forgive(&record.key());
                let known = self.lease(&record.subnets);
                if record.subnets != self.own_subnets && known != Some(&record.attrs) {
                    self.ages.lock().insert(record.subnets, Stamp::now());
                }
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
            None if subnets == self.own_subnets => {
                self.own = Some(OwnRecord { attrs, revision });
                self.own_events += 1;
            }
            None => {
                self.peers.insert(subnets, attrs);
            }
        }
    }

    fn delete(&mut self, key: &str) {
        self.forgive(key);
        if let Some((subnets, _)) = self.odd.remove(key) {
            self.forget_age(&subnets);
            return;
        }
        match Subnets::parse_key(key) {
            Ok(subnets) if subnets.key() != key => {}
            Ok(subnets) if subnets == self.own_subnets => {
                self.own = None;
                self.own_events += 1;
            }
            Ok(subnets) => {
                self.peers.remove(&subnets);
                self.forget_age(&subnets);
            }
            Err(_) => {}
        }
    }

    fn forget_age(&self, subnets: &Subnets) {
        if self.lease(subnets).is_none() {
            self.ages.lock().remove(subnets);
        }
    }

    fn note(&mut self, malformed: &Malformed) {
        tracing::warn!("ignoring {}", crate::chain(malformed));
        self.complain(malformed);
        self.malformed_seen += 1;
    }

    fn complain(&mut self, malformed: &Malformed) {
        let (key, what) = (malformed.key().to_owned(), crate::chain(malformed));
        Arc::make_mut(&mut self.malformed).insert(key, what);
    }

    fn forgive(&mut self, key: &str) {
        if self.malformed.contains_key(key) {
            Arc::make_mut(&mut self.malformed).remove(key);
        }
    }

    /// The table anew, if anything in it has changed since `before`.
    pub(super) fn newer(&self, before: &LeaseTable) -> Option<LeaseTable> {
        let mut peers = self.peers.clone();
        for (subnets, attrs) in self.odd.values() {
            if *subnets != self.own_subnets && !peers.contains_key(subnets) {
                peers.insert(*subnets, Arc::clone(attrs));
            }
        }
        let same = before.peers == peers
            && before.own == self.own
            && before.own_events == self.own_events
            && before.complaints == self.malformed
            && before.malformed_seen == self.malformed_seen;
        (!same).then(|| LeaseTable {
            peers,
            own: self.own.clone(),
            own_events: self.own_events,
            malformed: self.malformed.len(),
            complaints: Arc::clone(&self.malformed),
            malformed_seen: self.malformed_seen,
            ages: self.ages.clone(),
            sync: before.sync.clone(),
            lists: before.lists,
            outages: before.outages,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn record(n: u8, public: u8) -> Record {
        let key = format!("10.1.{n}.0-24");
        Record {
            odd_key: None,
            subnets: Subnets::parse_key(&key).expect("key"),
            attrs: Arc::new(LeaseAttrs::new([192, 0, 2, public].into(), None)),
            revision: 1,
            birth: 1,
            term: None,
        }
    }

    /// Whose value changed since all were made old.
    fn young(leases: &Leases) -> Vec<String> {
        let mut ages = leases.ages.lock();
        let young = ages
            .iter()
            .filter(|(_, age)| age.clock != SystemTime::UNIX_EPOCH);
        let young = young.map(|(subnets, _)| subnets.key()).collect();
        ages.values_mut()
            .for_each(|age| age.clock = SystemTime::UNIX_EPOCH);
        young
    }

    #[test]
    fn what_is_mended_and_broken_again_between_two_looks_is_seen() {
        let mut leases = Leases::new(Subnets::parse_key("10.1.200.0-24").expect("key"));
        leases.apply(Change::Delete("10.1.200.0-24".to_owned()));
        let gone = leases.newer(&LeaseTable::default()).expect("news");
        assert!(leases.newer(&gone).is_none(), "nothing has happened");
        leases.apply(Change::Put(record(200, 200)));
        leases.apply(Change::Delete("10.1.200.0-24".to_owned()));
        let table = leases.newer(&gone).expect("news");
        assert_eq!(table.own, None);
    }

    #[test]
    fn a_lease_is_as_old_as_its_value() {
        let own = Subnets::parse_key("10.1.200.0-24").expect("key");
        let mut leases = Leases::new(own);
        let listing = |records| Listing {
            records,
            malformed: Vec::new(),
            cursor: None,
        };
        leases.replace(listing(vec![record(1, 1), record(2, 2)]));
        assert_eq!(young(&leases), ["10.1.1.0-24", "10.1.2.0-24"]);
        leases.apply(Change::Put(record(1, 1)));
        leases.apply(Change::Put(record(200, 200)));
        assert!(
            young(&leases).is_empty(),
            "the same value, and the own lease"
        );
        leases.apply(Change::Put(record(1, 9)));
        assert_eq!(young(&leases), ["10.1.1.0-24"]);
        leases.replace(listing(vec![record(1, 9), record(3, 3)]));
        assert_eq!(young(&leases), ["10.1.3.0-24"]);
        leases.apply(Change::Delete("10.1.1.0-24".to_owned()));
        assert_eq!(leases.ages.all().len(), 1);
    }
}
