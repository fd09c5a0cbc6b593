//! The pod's namespace, where one process at a time works.

use std::os::fd::AsFd;

use attach::{holdings::movable, netns};
use kernel::{Change, IfName, Link, NetNs, Netlink, Route, RouteFilter};

use crate::error::Error;

/// A socket in the namespace, and the lock on it.
pub(crate) struct Pod {
    pub netlink: Netlink,
    _lock: files::Lock,
}

impl Pod {
    /// Waits for the lock, which is `flock` on the namespace's own file, as in the reference plugin,
    /// but never makes that file, nor looks for it again: its path may have gone since.
    ///
    /// # Errors
    /// The namespace cannot be entered; somebody keeps the lock.
    pub(crate) fn enter(ns: &NetNs) -> Result<Self, Error> {
        let lock = || {
            let file = ns.as_fd().try_clone_to_owned()?;
            files::Lock::exclusive(file.into(), files::PATIENCE)
        };
        let failed = |source| Error::Lock {
            path: ns.path().display().to_string(),
            source,
        };
        Ok(Self {
            netlink: netns::socket(ns)?,
            _lock: lock().map_err(failed)?,
        })
    }

    /// The interface.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn link(&self, name: &IfName) -> Result<Link, Error> {
        let link = self.netlink.link(name)?;
        link.ok_or_else(|| Error::NoInterface(name.to_string()))
    }

    /// The link's routes in a table.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn routes(&self, table: u32, link: &Link) -> kernel::Result<Vec<Route>> {
        let filter = RouteFilter {
            table: Some(table),
            link: Some(link.index),
            ..RouteFilter::default()
        };
        let seen = self.netlink.routes_by_next_hop(&filter)?;
        Ok(movable(seen, link.index))
    }

    /// Makes the changes. What is there already is made.
    ///
    /// # Errors
    /// The first refusal; the others were made, or refused as well.
    pub(crate) fn apply(&self, changes: &[Change]) -> Result<(), Error> {
        for (change, outcome) in changes.iter().zip(self.netlink.apply(changes)?) {
            match outcome {
                Err(source) if !source.is_exists() => return Err(Error::refused(change, source)),
                _ => {}
            }
        }
        Ok(())
    }
}
