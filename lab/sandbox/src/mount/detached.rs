//! Mounts on their way from one mount namespace to another.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use kernel::mount::{MountAttributes, Reach, set_attributes};
use kernel::{Error, Result};

/// A copy of a mount that is attached nowhere; it goes when it is dropped.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// What is at `path` in the calling thread's mount namespace, without what is mounted below it, to be read
    /// only.
    ///
    /// # Errors
    /// There is nothing at `path`, or the kernel refused.
    pub fn read_only_copy(path: &Path) -> Result<Self> {
        let copy = Self::copy(path, Reach::Alone)?;
        let attributes = MountAttributes {
            read_only: true,
            ..MountAttributes::default()
        };
        set_attributes(&copy, attributes, Reach::Alone)?;
        Ok(copy)
    }

    /// What is at `path` in the calling thread's mount namespace.
    ///
    /// # Errors
    /// There is nothing at `path`, or the kernel refused.
    pub fn copy(path: &Path, reach: Reach) -> Result<Self> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if reach == Reach::Below {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let copy = open_tree(CWD, path, flags)
            .map_err(|errno| Error::new("copy the mount at", path.display(), errno.into()))?;
        Ok(Self(copy))
    }

    /// A path that leads to it in this process, until it is dropped or another program executed.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Attaches it at `target` in the calling thread's mount namespace, which may be another one.
    ///
    /// # Errors
    /// `target` does not exist, or the kernel refused.
    pub fn attach(&self, target: &Path) -> Result<()> {
        move_mount(
            &self.0,
            c"",
            CWD,
            target,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .map_err(|errno| Error::new("mount", target.display(), errno.into()))
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
