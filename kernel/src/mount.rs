//! Attributes of mounts: the one call of the mount interface that no safe wrapper has. The others are
//! nix's and rustix's, and who needs them has those. Needs CAP_SYS_ADMIN.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;

use crate::{Error, Result};

/// What a mount refuses from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// Nothing below it can be written.
    pub read_only: bool,
    /// Device nodes open no device.
    pub no_devices: bool,
    /// Set-user-ID and set-group-ID bits and file capabilities give nothing.
    pub no_set_user_id: bool,
}

impl MountAttributes {
    fn flags(self) -> u64 {
        [
            (self.read_only, libc::MOUNT_ATTR_RDONLY),
            (self.no_devices, libc::MOUNT_ATTR_NODEV),
            (self.no_set_user_id, libc::MOUNT_ATTR_NOSUID),
        ]
        .into_iter()
        .filter_map(|(wanted, flag)| wanted.then_some(flag))
        .sum()
    }
}

/// Which mounts a change is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// That one.
    Alone,
    /// That one and every mount below it.
    Below,
}

/// Gives mounts these attributes, beside those that they have: mount_setattr(2). `mount` is a descriptor of a
/// mount's root; the mount need not be attached anywhere.
///
/// # Errors
/// The descriptor is not of a mount's root (EINVAL); Linux is older than 5.12 (ENOSYS).
pub fn set_attributes(mount: impl AsFd, attributes: MountAttributes, reach: Reach) -> Result<()> {
    let change = libc::mount_attr {
        attr_set: attributes.flags(),
        ..NO_CHANGE
    };
    change_attributes(mount.as_fd(), &change, reach)
        .map_err(|cause| Error::new("set attributes of", "a mount", cause))
}

/// Shows the files of mounts as if they belonged to the users and groups that `users`, a user namespace, has by their
/// numbers: what is root's on disk is that namespace's root's, and what it writes is root's on disk.
/// `mount` is a descriptor of a mount's root that is attached nowhere yet.
///
/// # Errors
/// The file system, or one that is mounted below it, has no such view, or the mount is attached (EINVAL); it has one of
/// its own already (EPERM); Linux is older than 5.12 (ENOSYS).
pub fn map_owners(mount: impl AsFd, users: impl AsFd, reach: Reach) -> io::Result<()> {
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        // The kernel's type; descriptors are not negative.
        userns_fd: u64::from(users.as_fd().as_raw_fd().unsigned_abs()),
        ..NO_CHANGE
    };
    change_attributes(mount.as_fd(), &change, reach)
}

const NO_CHANGE: libc::mount_attr = libc::mount_attr {
    attr_set: 0,
    attr_clr: 0,
    propagation: 0,
    userns_fd: 0,
};

#[allow(unsafe_code, reason = "no safe wrapper of mount_setattr exists")]
fn change_attributes(
    mount: BorrowedFd<'_>,
    change: &libc::mount_attr,
    reach: Reach,
) -> io::Result<()> {
    let recursive = match reach {
        Reach::Alone => 0,
        Reach::Below => libc::AT_RECURSIVE,
    };
    // SAFETY: mount_setattr(2) takes a descriptor, which stays open during the call, a string that ends with
    // NUL, flags, and a structure of the size that follows it, which it only reads.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(change),
            size_of_val(change),
        )
    };
    if outcome == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
