//! What is known of each node, so that a change of a node becomes changes of leases. Pure.
//!
//! A lease is known by its subnets, and a node by its name. Most changes of a node say nothing new of its
//! lease, and are dropped here.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{AnnotationKeys, Families, LeaseAttrs, NodeError, Subnets};

use super::node::Node;
use super::{birth, revision};
use crate::store::{Change, Listing, Malformed, Record};

/// What a node says.
#[derive(Debug)]
pub(super) enum Reading {
    /// No daemon runs there.
    Nothing,
    /// A lease.
    Lease(Subnets, LeaseAttrs),
    /// Something that cannot be used; the subnets that it is about, where those can be read.
    Bad(Option<Subnets>, NodeError),
}

/// Reads a node.
pub(super) fn read(node: &Node, keys: &AnnotationKeys, families: Families) -> Reading {
    let subnets = cluster::pod_cidrs(node.pod_cidrs(), families);
    let attrs = keys.read(families, |key| node.annotation(key));
    match (subnets, attrs) {
        (_, Ok(None)) => Reading::Nothing,
        (Ok(subnets), Ok(Some(attrs))) => Reading::Lease(subnets, attrs),
        (Ok(subnets), Err(error)) => Reading::Bad(Some(subnets), error),
        (Err(error), _) => Reading::Bad(None, error),
    }
}

/// A node that has, or had, a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// What it says, in a number.
    revision: u64,
    birth: u64,
    /// What it was last read to hold.
    subnets: Option<Subnets>,
    /// It cannot be read now.
    bad: bool,
}

/// All nodes that have a lease, or would have one if it could be read.
#[derive(Debug)]
pub(super) struct Nodes {
    keys: AnnotationKeys,
    families: Families,
    own: String,
    /// What this node runs with.
    own_subnets: Option<Subnets>,
    known: BTreeMap<Box<str>, Known>,
}

impl Nodes {
    pub(super) fn new(keys: AnnotationKeys) -> Self {
        Self {
            keys,
            families: Families {
                v4: true,
                v6: false,
            },
            own: String::new(),
            own_subnets: None,
            known: BTreeMap::new(),
        }
    }

    /// This node runs with `subnets`.
    pub(super) fn set_own(&mut self, name: &str, subnets: Option<Subnets>) {
        name.clone_into(&mut self.own);
        self.own_subnets = subnets;
    }

    pub(super) fn follow(&mut self, own: &str, families: Families) {
        own.clone_into(&mut self.own);
        self.families = families;
    }

    /// All nodes anew.
    pub(super) fn replace(&mut self, nodes: Vec<Node>) -> Listing {
        self.known.clear();
        let mut listing = Listing::default();
        for node in nodes {
            for change in self.put(&node) {
                match change {
                    Change::Put(record) => listing.records.push(record),
                    Change::Malformed(malformed) => listing.malformed.push(malformed),
                    Change::Delete(_) => {}
                }
            }
        }
        listing
    }

    /// A node was made or changed.
    pub(super) fn put(&mut self, node: &Node) -> Vec<Change> {
        let (now, birth) = (revision(node, &self.keys), birth(node));
        let before = self.known.get(node.name());
        if before.is_some_and(|known| known.revision == now && known.birth == birth) {
            return Vec::new();
        }
        let reading = match read(node, &self.keys, self.families) {
            Reading::Lease(subnets, _) if self.is_strange_own(node, subnets) => Reading::Nothing,
            // Put right by who keeps it, as what is gone.
            Reading::Bad(..) if node.name() == self.own => Reading::Nothing,
            reading => reading,
        };
        let before = self.known.remove(node.name());
        let had = before.as_ref().and_then(|known| known.subnets);
        let was_bad = before.as_ref().is_some_and(|known| known.bad);
        let known = |subnets, bad| Known {
            revision: now,
            birth,
            subnets,
            bad,
        };
        let key = bad_key(node.name());
        let mut changes = Vec::new();
        let is_bad = matches!(reading, Reading::Bad(..));
        if was_bad && !is_bad {
            changes.push(Change::Delete(key.clone()));
        }
        match reading {
            Reading::Nothing => changes.extend(self.gone(had)),
            Reading::Lease(subnets, attrs) => {
                changes.extend(self.gone(had.filter(|had| *had != subnets)));
                changes.push(Change::Put(Record {
                    odd_key: None,
                    subnets,
                    attrs: Arc::new(attrs),
                    revision: now,
                    birth,
                    term: Some(Record::OF_NODE),
                }));
                self.known
                    .insert(node.name().into(), known(Some(subnets), false));
            }
            Reading::Bad(subnets, source) => {
                // A subnet that the node has no more is taken from it, whatever it says besides.
                let stays = subnets.is_none() || subnets == had;
                changes.extend(self.gone(had.filter(|_| !stays)));
                changes.push(Change::Malformed(Malformed::Node {
                    key,
                    subnets,
                    source,
                }));
                let held = if stays { had } else { None };
                self.known.insert(node.name().into(), known(held, true));
            }
        }
        changes
    }

    /// A node was removed.
    pub(super) fn removed(&mut self, name: &str) -> Vec<Change> {
        let Some(known) = self.known.remove(name) else {
            return Vec::new();
        };
        let bad = known.bad.then(|| Change::Delete(bad_key(name)));
        bad.into_iter().chain(self.gone(known.subnets)).collect()
    }

    /// A lease is gone, unless another node has got its subnets by now.
    fn gone(&self, subnets: Option<Subnets>) -> Option<Change> {
        let subnets = subnets?;
        let mut others = self.known.values();
        let taken = others.any(|known| known.subnets == Some(subnets));
        (!taken).then(|| Change::Delete(subnets.key()))
    }

    /// This node with other subnets than it runs with is no peer of itself.
    fn is_strange_own(&self, node: &Node, subnets: Subnets) -> bool {
        node.name() == self.own && self.own_subnets.is_some_and(|own| own != subnets)
    }
}

/// The name of what cannot be read: no subnet's.
fn bad_key(node: &str) -> String {
    format!("node/{node}")
}
