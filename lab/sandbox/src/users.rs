//! User namespaces: users and groups of a container that are nobody on the machine.
//!
//! A container's numbers from 0 on are numbers of the machine from [`IdRange::first`] on. What a container has on disk
//! of the machine's it sees by idmapped mounts, as if it were its own.

mod free;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use nix::libc;
use serde::{Deserialize, Serialize};

use kernel::mount::{Reach, map_owners};
use kernel::{Error, Result};

pub use free::NoFreeIds;

use crate::mount::Detached;
use crate::{Identity, Namespace, Process};

/// The users and groups of a user namespace, 0 to 65535, by their numbers on the machine. No two containers that may
/// not know of each other have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// What 0 is.
    pub first: u32,
}

impl IdRange {
    /// As many as Kubernetes gives a pod.
    pub const LENGTH: u32 = 1 << 16;

    /// A user or group by its number on the machine.
    pub fn on_machine(self, id: u32) -> u32 {
        self.first.saturating_add(id)
    }

    /// Says who the users and groups of a process's new user namespace are, once and for all.
    ///
    /// # Errors
    /// It was said before, or this process may not (EPERM).
    pub fn give(self, process: &Process) -> Result<()> {
        for file in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{file}", process.pid);
            let map = format!("0 {} {}\n", self.first, Self::LENGTH);
            fs::write(&path, map).map_err(|cause| Error::new("write", path, cause))?;
        }
        Ok(())
    }

    /// Runs `f` on a fresh thread as the namespace's root, outside of the namespace: by its number, without rights.
    ///
    /// # Errors
    /// The kernel refused; `f` was not run then.
    ///
    /// # Panics
    /// When `f` does.
    pub fn run_as_root<T: Send>(self, f: impl FnOnce() -> T + Send) -> Result<T> {
        let root = Identity {
            user: self.first,
            group: self.first,
            groups: Vec::new(),
        };
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| root.take().map(|()| f())).join();
            inside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Makes the namespace's root the owner of a file of the machine.
    ///
    /// # Errors
    /// There is nothing at `path`.
    pub fn own(self, path: &Path) -> Result<()> {
        chown(path, Some(self.first), Some(self.first))
            .map_err(|cause| Error::new("change the owner of", path.display(), cause))
    }
}

/// Why this machine cannot have users that are nobody; nothing where it can.
pub fn why_no_users() -> Option<String> {
    /// An overlay file system over idmapped mounts.
    const NEEDED: (u32, u32) = (5, 19);
    if !Namespace::User.is_known() {
        return Some("this kernel has no user namespaces".to_owned());
    }
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    if read("/proc/sys/user/max_user_namespaces").trim() == "0" {
        return Some("user.max_user_namespaces is 0: it allows none".to_owned());
    }
    let release = read("/proc/sys/kernel/osrelease");
    let release = release.trim();
    let (major, minor) = NEEDED;
    version(release)
        .is_none_or(|found| found < NEEDED)
        .then(|| {
            format!("layers with other owners need Linux {major}.{minor}, and this is {release}")
        })
}

/// `6.1.0-18-amd64`
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|each: char| !each.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The user namespace of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// Its file, as the maker of the container's root sees it.
    pub namespace: PathBuf,
    /// Who its users are.
    pub ids: IdRange,
}

impl Users {
    /// Whether what is at a path could be shown as the namespace's own.
    ///
    /// # Errors
    /// It cannot, and why.
    pub fn could_own(&self, path: &Path, reach: Reach) -> Result<()> {
        Detached::copy(path, reach).and_then(|copy| self.open()?.show(path, copy, reach))
    }

    pub(crate) fn open(&self) -> Result<Owners> {
        let namespace = File::open(&self.namespace)
            .map_err(|cause| Error::new("open namespace", self.namespace.display(), cause))?;
        Ok(Owners {
            namespace,
            ids: self.ids,
        })
    }
}

/// The same, opened.
#[derive(Debug)]
pub(crate) struct Owners {
    namespace: File,
    pub(crate) ids: IdRange,
}

impl Owners {
    /// Shows the files of a mount, which is attached nowhere and was copied from `path`, as the namespace's own.
    ///
    /// # Errors
    /// The file system has no such view.
    pub(crate) fn show(&self, path: &Path, mount: impl AsFd, reach: Reach) -> Result<()> {
        map_owners(mount, &self.namespace, reach).map_err(|cause| {
            let cause = match cause.raw_os_error() {
                Some(libc::EINVAL | libc::EPERM) => io::Error::new(
                    io::ErrorKind::Unsupported,
                    "its file system, or one below it, cannot be mounted with other owners (idmapped mounts)",
                ),
                _ => cause,
            };
            Error::new("show to a user namespace", path.display(), cause)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, expected) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("5.19-rc1", Some((5, 19))),
            ("5.4.0", Some((5, 4))),
            ("six", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
