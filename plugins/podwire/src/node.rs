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
    fmt, io,
    iter::successors,
    net::IpAddr,
    path::PathBuf,
    time::SystemTime,
};

use attach::owner::Owner;
use cni::{
    Outcome,
    error::one_line,
    runtime::{CachedAttachment, NetworkConfig},
};

use crate::failure;
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
    pub(crate) fn new<E: Into<Box<dyn Error + Send + Sync>>>(
        what: impl fmt::Display,
    ) -> impl FnOnce(E) -> Self {
        let what = what.to_string();
        move |source| Self {
            what,
            source: source.into(),
        }
    }
}

/// What a command says that could not look.
pub(crate) fn unseen(error: &NodeError) -> Outcome {
    let causes = successors(error.source(), |cause| (**cause).source());
    let is_denied = |cause: &(dyn Error + 'static)| {
        let system: Option<&io::Error> = cause.downcast_ref();
        system.is_some_and(|system| system.kind() == io::ErrorKind::PermissionDenied)
    };
    let hint = match causes.into_iter().any(is_denied) {
        true => "; root sees it",
        false => "",
    };
    failure(format_args!("{}{hint}", one_line(error)))
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
    /// The files that say so.
    pub(crate) reservations: Vec<PathBuf>,
    /// What keeps reservations from being read, a line for each: nobody knows whose they are.
    pub(crate) unread: Vec<String>,
    /// The host's links that are its own.
    pub(crate) links: BTreeSet<String>,
    /// Kinds of packet-filter rules.
    pub(crate) rules: BTreeSet<&'static str>,
    /// What runtimes cached of it.
    pub(crate) cached: Vec<CachedAttachment>,
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
    /// Those of them that do their work, whatever else is there.
    at_work: BTreeSet<&'static str>,
}

impl Attachment {
    /// What there is of it, in words.
    pub(crate) fn left(&self) -> Vec<String> {
        let addresses = self.reserved.iter().map(|one| format!("address {one}"));
        let links = self.links.iter().map(|one| format!("link {one}"));
        let rules = self
            .rules
            .union(&self.remembered)
            .map(|one| format!("rules of {one}"));
        let results = self.cached.iter().map(|_| "cached result".to_owned());
        addresses.chain(links).chain(rules).chain(results).collect()
    }

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
    /// Directories of reservations, each with its network.
    pub(crate) reserving: BTreeMap<PathBuf, String>,
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

    /// Whose pods live, or may live.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Owner> {
        let living = self.attachments.iter().filter(|(_, one)| one.living);
        living.map(|(owner, _)| owner)
    }

    /// What is left of pods that are gone.
    pub(crate) fn gone(&self) -> impl Iterator<Item = (&Owner, &Attachment)> {
        self.attachments.iter().filter(|(_, one)| !one.living)
    }

    fn at(&mut self, owner: Owner) -> &mut Attachment {
        self.attachments.entry(owner).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_to_others_is_said_once_and_who_sees_it() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let inner = NodeError::new("read /run/x")(denied);
        let told = NodeError::new("look at masquerade")(cni::Error::internal(inner));
        let text = "podwire: cannot look at masquerade: cannot read /run/x: permission denied; root sees it\n";
        assert_eq!(unseen(&told).stderr, text);
        let gone = NodeError::new("read /x")(io::Error::from(io::ErrorKind::NotFound));
        assert!(unseen(&gone).stderr.ends_with("entity not found\n"));
    }
}
