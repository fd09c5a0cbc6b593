//! A minimal `/dev`.

use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};

use kernel::{Error, Result};

use crate::mount;

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

/// Fills the tmpfs at `/dev`.
pub(super) fn make() -> Result<()> {
    let everybody = Mode::from_bits_truncate(0o666);
    let saved = umask(Mode::empty());
    let made = DEVICES.iter().try_for_each(|&(name, major, minor)| {
        let path = Path::new("/dev").join(name);
        mknod(&path, SFlag::S_IFCHR, everybody, makedev(major, minor))
            .map_err(|errno| Error::new("create device", path.display(), errno.into()))
    });
    umask(saved);
    made?;
    LINKS.iter().try_for_each(|(target, path)| {
        symlink(target, path).map_err(|source| Error::new("create link", path, source))
    })
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
