//! Pipes that a process has as its standard streams, and who may open them by name.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::fchown;

use nix::sys::statfs::{FsType, fstatfs};

use kernel::{Error, Result};

use crate::rootless::unmapped;

/// The file system of pipes without a name (`PIPEFS_MAGIC`, include/uapi/linux/magic.h).
const PIPES: FsType = FsType(0x5049_5045);

/// Makes a user and a group the owners of those streams that are pipes without a name, so that they can open
/// `/dev/stdout`. A file, or a FIFO, is nobody else's by being somebody's output, and a socket cannot be opened.
///
/// # Errors
/// The kernel refused, but for a pipe of a user who is none in this namespace: that stays what it is.
pub fn own_pipes<'f>(
    streams: impl IntoIterator<Item = BorrowedFd<'f>>,
    user: u32,
    group: u32,
) -> Result<()> {
    for pipe in streams.into_iter().filter(is_pipe) {
        match fchown(pipe, Some(user), Some(group)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => {
                return Err(Error::new(
                    "hand over",
                    "a standard stream",
                    unmapped(error),
                ));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

fn is_pipe(stream: &BorrowedFd<'_>) -> bool {
    let found = fstatfs(stream.as_fd()).map(|found| found.filesystem_type());
    found == Ok(PIPES)
}
