//! A child process that waits for the kernel in the place of a caller that ends.
//!
//! For programs that end soon after, as plugins do: nobody waits for the child, which init reaps.

use std::io;
use std::os::fd::RawFd;

use nix::libc;
use nix::unistd::{ForkResult, fork};

/// Starts the child, which keeps nothing of this process open but `kept` (a runtime's pipes and a
/// lock end with the caller), leaves the caller's session and directory, does `work` and ends.
///
/// # Errors
/// No process is to be had.
///
/// # Safety
/// `work` calls nothing but async-signal-safe functions, on memory that was allocated before.
#[allow(unsafe_code, reason = "fork")]
pub(crate) unsafe fn start(kept: &mut [RawFd], work: impl FnOnce()) -> io::Result<()> {
    kept.sort_unstable();
    // SAFETY: closing, setsid, chdir and _exit are async-signal-safe, `work` is by this function's
    // contract, and the child never returns.
    unsafe {
        match fork()? {
            ForkResult::Parent { .. } => Ok(()),
            ForkResult::Child => {
                close_all_but(kept);
                libc::setsid();
                libc::chdir(c"/".as_ptr());
                work();
                libc::_exit(0)
            }
        }
    }
}

/// Closes every descriptor of this process but these, in ascending order.
fn close_all_but(kept: &[RawFd]) {
    let mut first = 0;
    for descriptor in kept {
        close_range(first, descriptor - 1);
        first = descriptor + 1;
    }
    close_range(first, RawFd::MAX);
}

#[allow(
    unsafe_code,
    reason = "system calls in a forked child, where nothing may be allocated"
)]
fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: nothing of this process uses the descriptors any more.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed != 0 {
        // Before Linux 5.9: as many as a process has unless it asks for more.
        for descriptor in first..=last.min(1024) {
            // SAFETY: as above.
            unsafe { libc::close(descriptor) };
        }
    }
}
