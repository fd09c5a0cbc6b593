//! A minimal `/dev`.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use kernel::{Error, Result};

use crate::mount;
use crate::rootless::is_among_the_machines_users;

/// Device nodes of a minimal `/dev` (OCI runtime specification, "Default Devices").
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links of a minimal `/dev` (OCI runtime specification, "Default symbolic links").
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Where the devices of `/dev` come from.
#[derive(Debug)]
pub(super) enum Devices {
    /// They are made.
    Made,
    /// They are the machine's, held open: nobody but its root makes devices that open.
    Borrowed(Vec<(&'static str, OwnedFd)>),
}

impl Devices {
    /// While `/dev` is the machine's.
    ///
    /// # Errors
    /// The machine lacks one.
    pub(super) fn to_have() -> Result<Self> {
        if is_among_the_machines_users() {
            return Ok(Self::Made);
        }
        let borrowed = DEVICES.iter().map(|&(name, ..)| {
            let path = Path::new("/dev").join(name);
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let tree = open_tree(CWD, &path, flags)
                .map_err(|errno| Error::new("borrow device", path.display(), errno.into()))?;
            Ok((name, tree))
        });
        borrowed.collect::<Result<_>>().map(Self::Borrowed)
    }

    /// Fills the tmpfs at `/dev`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn make(&self) -> Result<()> {
        match self {
            Self::Made => make_nodes()?,
            Self::Borrowed(devices) => devices
                .iter()
                .try_for_each(|(name, tree)| attach(name, tree))?,
        }
        LINKS.iter().try_for_each(|(target, path)| {
            symlink(target, path).map_err(|source| Error::new("create link", path, source))
        })
    }
}

fn make_nodes() -> Result<()> {
    let everybody = Mode::from_bits_truncate(0o666);
    let saved = umask(Mode::empty());
    let made = DEVICES.iter().try_for_each(|&(name, major, minor)| {
        let path = Path::new("/dev").join(name);
        mknod(&path, SFlag::S_IFCHR, everybody, makedev(major, minor))
            .map_err(|errno| Error::new("create device", path.display(), errno.into()))
    });
    umask(saved);
    made
}

fn attach(name: &str, tree: &OwnedFd) -> Result<()> {
    let path = Path::new("/dev").join(name);
    let failed = |cause| Error::new("mount device", path.display(), cause);
    File::create_new(&path).map_err(failed)?;
    move_mount(
        tree,
        c"",
        CWD,
        &path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(|errno| failed(errno.into()))
}

/// Every device gets a mount of its own, in which it works; nothing else does.
pub(super) fn allow_no_others() -> Result<()> {
    for (name, ..) in DEVICES {
        let path = Path::new("/dev").join(name);
        mount::bind(&path, &path)?;
    }
    ["/", "/dev"]
        .map(Path::new)
        .into_iter()
        .try_for_each(mount::forbid_devices)
}
