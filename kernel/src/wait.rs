//! Waiting until one of two descriptors has something (poll(2)). No capabilities needed.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until `descriptor` can be read, or has failed, which reading it tells; `false` as soon as the
/// other end of the pipe `stop` is closed.
///
/// # Errors
/// No memory left.
pub fn until_readable(descriptor: &impl AsFd, stop: &impl AsFd) -> io::Result<bool> {
    let mut both = [
        PollFd::new(descriptor.as_fd(), PollFlags::POLLIN),
        PollFd::new(stop.as_fd(), PollFlags::POLLIN),
    ];
    loop {
        match poll(&mut both, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(both[1].revents().is_none_or(|seen| seen.is_empty()))
}
