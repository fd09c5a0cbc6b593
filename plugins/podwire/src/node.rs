//! What this node has of attachments, put together from everything that tells of them: results
//! that runtimes cached, host-local's reservations, aliases of links, and packet-filter rules. It
//! is for people who look (`podwire ls`) and for what removes (`podwire gc`), so whatever may
//! belong to a pod that lives counts as living.

mod cached;
mod links;
mod namespaces;
mod networks;
mod places;
mod reservations;
mod rules;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    net::IpAddr,
    path::PathBuf,
    time::SystemTime,
};

use attach::owner::Owner;
use cni::runtime::NetworkConfig;

pub(crate) use places::{OPTIONS, Places};
pub(crate) use rules::RESTORERS;

/// Something of the node cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub(crate) struct NodeError {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

impl NodeError {
    fn new<E: Into<Box<dyn Error + Send + Sync>>>(
        what: impl fmt::Display,
    ) -> impl FnOnce(E) -> Self {
        let what = what.to_string();
        move |source| Self {
            what,
            source: source.into(),
        }
    }
}

/// One attachment, or what is left of it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Attachment {
    /// Paths of the pod's namespace.
    pub(crate) netns: BTreeSet<String>,
    /// The pod's addresses.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Which of them are reserved.
    pub(crate) reserved: BTreeSet<IpAddr>,
    /// The host's links that are its own.
    pub(crate) links: BTreeSet<String>,
    /// Kinds of packet-filter rules.
    pub(crate) rules: BTreeSet<&'static str>,
    /// Files that runtimes cached its result in.
    pub(crate) results: BTreeSet<PathBuf>,
    /// Since when there is something of it.
    pub(crate) since: Option<SystemTime>,
    /// Whether it lives, or may live.
    pub(crate) living: bool,
    /// What does not belong together.
    pub(crate) problems: Vec<String>,
    /// Links of the host that its result names.
    host_links: BTreeSet<String>,
    /// Kinds of rules that are remembered.
    remembered: BTreeSet<&'static str>,
}

impl Attachment {
    fn seen_since(&mut self, time: Option<SystemTime>) {
        self.since = [self.since, time].into_iter().flatten().min();
    }
}

/// Everything, by network, container and interface.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The attachments.
    pub(crate) attachments: BTreeMap<Owner, Attachment>,
    /// The networks' configurations: those of today, and those that cached results were made by.
    pub(crate) networks: Vec<NetworkConfig>,
    /// Configurations that cannot be read, each in a line.
    pub(crate) unreadable: Vec<String>,
    /// Networks that have a directory of reservations.
    reserving: BTreeSet<String>,
}

impl Node {
    /// Looks at everything.
    ///
    /// # Errors
    /// Something cannot be looked at: what it would have told is not known then.
    pub(crate) fn look(places: &Places) -> Result<Self, NodeError> {
        let mut node = Self::default();
        cached::collect(&mut node, places)?;
        networks::collect(&mut node, places)?;
        reservations::collect(&mut node, places)?;
        rules::collect_remembered(&mut node)?;
        links::collect(&mut node)?;
        rules::collect_owners(&mut node)?;
        verdict::judge(&mut node)?;
        Ok(node)
    }

    fn at(&mut self, owner: Owner) -> &mut Attachment {
        self.attachments.entry(owner).or_default()
    }
}
