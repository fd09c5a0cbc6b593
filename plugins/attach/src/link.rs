//! The pod's link: what all that follows its making needs to know, whatever kind it is; and making
//! and removing one that is all of the attachment, without an end on the host.

use kernel::{IfName, Link, LinkIndex, MacAddr, link::Place};

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
    match kernel::link::delete_link(link, peer) {
        Err(source) if !source.is_gone() => Err(Error::DeleteLink {
            name: name.to_string(),
            source: source.into(),
        }),
        _ => Ok(()),
    }
}

/// Why a link of this name could not be looked up.
pub(crate) fn look_up(name: &IfName, source: kernel::Error) -> Error {
    Error::LookUp {
        name: name.to_string(),
        source: source.into(),
    }
}
