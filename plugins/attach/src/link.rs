//! The pod's link: what all that follows its making needs to know, whatever kind it is.

use kernel::{IfName, Link, LinkIndex, MacAddr};

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
