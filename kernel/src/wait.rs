//! Waiting until descriptors have something (poll(2)). No capabilities needed.

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
    wait(&mut both)?;
    Ok(!has_something(&both[1]))
}

/// Waits until nobody is at the other end of `descriptor` any more: of a terminal that was closed, a pipe that
/// nobody reads.
///
/// # Errors
/// No memory left.
pub fn until_gone(descriptor: &impl AsFd) -> io::Result<()> {
    wait(&mut [PollFd::new(descriptor.as_fd(), PollFlags::empty())])
}

/// Waits until `descriptor` can be read, or has failed, which reading it tells.
///
/// # Errors
/// No memory left.
pub fn until_data(descriptor: &impl AsFd) -> io::Result<()> {
    wait(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)])
}

/// Whether `descriptor` can be read now, or has failed, which reading it tells.
///
/// # Errors
/// No memory left.
pub fn has_data(descriptor: &impl AsFd) -> io::Result<bool> {
    is_now(descriptor, PollFlags::POLLIN)
}

/// Whether `descriptor` can be written now, or has failed, which writing tells.
///
/// # Errors
/// No memory left.
pub fn has_room(descriptor: &impl AsFd) -> io::Result<bool> {
    is_now(descriptor, PollFlags::POLLOUT)
}

/// Waits until `descriptor` can be written, or has failed, which writing tells.
///
/// # Errors
/// No memory left.
pub fn until_room(descriptor: &impl AsFd) -> io::Result<()> {
    wait(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)])
}

fn is_now(descriptor: &impl AsFd, what: PollFlags) -> io::Result<bool> {
    let mut one = [PollFd::new(descriptor.as_fd(), what)];
    poll_for(&mut one, PollTimeout::ZERO)?;
    Ok(has_something(&one[0]))
}

fn has_something(descriptor: &PollFd<'_>) -> bool {
    descriptor.any().unwrap_or_default()
}

fn wait(descriptors: &mut [PollFd<'_>]) -> io::Result<()> {
    poll_for(descriptors, PollTimeout::NONE)
}

/// Signals do not end it.
fn poll_for(descriptors: &mut [PollFd<'_>], time: PollTimeout) -> io::Result<()> {
    loop {
        match poll(descriptors, time) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
