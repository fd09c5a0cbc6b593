//! The pod's link: what all that follows its making needs to know, whatever kind it is; and making
//! and removing one that is all of the attachment, without an end on the host.

use kernel::{
    IfName, Link, LinkIndex, MacAddr, if_there,
    link::{Place, delete_link},
};

use crate::{Error, Result};

mod create;
mod remove;

pub use create::NewPodLink;
pub use remove::remove;

/// An interface in the container's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodLink {
    /// Its name: `CNI_IFNAME`.
    pub name: IfName,
    /// Its index in the container's namespace.
    pub index: LinkIndex,
    /// Its hardware address; a device without one (a tunnel) has none.
    pub mac: Option<MacAddr>,
}

impl From<&Link> for PodLink {
    fn from(link: &Link) -> Self {
        Self {
            name: link.name.clone(),
            index: link.index,
            mac: link.mac,
        }
    }
}

/// Deletes a link, and its other end with it; gone is fine.
pub(crate) fn delete(name: &IfName, link: Place<'_>, peer: Option<Place<'_>>) -> Result<()> {
    let deleted = if_there(delete_link(link, peer)).map(drop);
    deleted.map_err(|source| Error::DeleteLink {
        name: name.to_string(),
        source: source.into(),
    })
}

/// Why a link of this name could not be looked up.
pub(crate) fn look_up(name: &IfName, source: kernel::Error) -> Error {
    Error::LookUp {
        name: name.to_string(),
        source: source.into(),
    }
}
