//! CHECK of a link that is all of an attachment.

use kernel::Link;

use super::{Checking, Mismatch};
use crate::parent::Named;

impl Checking<'_> {
    /// The link is on the parent that the configuration names. Without a name it was that of the
    /// default route at the time of ADD, which may be another one by now.
    ///
    /// # Errors
    /// It is on another; there is no such parent.
    pub fn is_on(&self, link: &Link, named: Named<'_>) -> Result<(), cni::Error> {
        if named.master.is_empty() {
            return Ok(());
        }
        let netlink = match named.inside {
            true => &self.container,
            false => &self.host,
        };
        let parent = named.find(netlink)?;
        if parent.carries(link) {
            return Ok(());
        }
        Err(Mismatch::Parent {
            name: link.name.to_string(),
            wanted: named.master.to_owned(),
        }
        .into())
    }
}

/// The link is up.
///
/// # Errors
/// It is not.
pub fn is_up(link: &Link) -> Result<(), Mismatch> {
    match link.up {
        true => Ok(()),
        false => Err(Mismatch::PodDown(link.name.to_string())),
    }
}

/// Both ends of a pair take the configured segments: what the one takes and the other does not, the
/// processor cuts up.
///
/// # Errors
/// The first end that takes less or more.
pub fn have_gso_max_size(ends: [&Link; 2], configured: Option<u32>) -> Result<(), Mismatch> {
    let Some(wanted) = configured else {
        return Ok(());
    };
    for link in ends {
        match link.gso_ipv4_max_size {
            Some(seen) if seen != wanted => {
                return Err(Mismatch::GsoMaxSize {
                    name: link.name.to_string(),
                    wanted,
                    seen,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The link has at least the configured MTU, if there is one. A larger one was set on purpose.
///
/// # Errors
/// It has less.
pub fn has_mtu(link: &Link, configured: i64) -> Result<(), Mismatch> {
    match u32::try_from(configured) {
        Ok(wanted) if link.mtu < wanted => Err(Mismatch::PodMtu {
            name: link.name.to_string(),
            wanted,
            seen: link.mtu,
        }),
        _ => Ok(()),
    }
}
