//! What kind of namespace a file is: ioctl_ns(2).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::{self, c_int};

use super::NetNsError;

/// Refuses what setns(2) would refuse with nothing but "invalid argument".
pub(super) fn check(file: &File, path: &Path) -> Result<(), NetNsError> {
    let other = |what| NetNsError::OtherKind {
        path: path.to_owned(),
        what,
    };
    match kind(file) {
        Ok(libc::CLONE_NEWNET) => Ok(()),
        Ok(kind) => Err(other(name(kind))),
        // No namespace at all: the files of namespaces share procfs with all others.
        Err(Errno::ENOTTY) => Err(other("another entry of procfs")),
        Err(errno) => Err(NetNsError::Io {
            path: path.to_owned(),
            source: io::Error::from(errno),
        }),
    }
}

/// The flag by which clone(2) makes such a namespace.
#[allow(unsafe_code, reason = "no safe wrapper of NS_GET_NSTYPE exists")]
fn kind(file: &File) -> Result<c_int, Errno> {
    // SAFETY: the descriptor is open as long as `file`, and this request takes no argument.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) };
    Errno::result(answer)
}

fn name(kind: c_int) -> &'static str {
    match kind {
        libc::CLONE_NEWCGROUP => "a cgroup namespace",
        libc::CLONE_NEWIPC => "an ipc namespace",
        libc::CLONE_NEWNS => "a mount namespace",
        libc::CLONE_NEWPID => "a pid namespace",
        libc::CLONE_NEWTIME => "a time namespace",
        libc::CLONE_NEWUSER => "a user namespace",
        libc::CLONE_NEWUTS => "a uts namespace",
        _ => "a namespace of another kind",
    }
}
