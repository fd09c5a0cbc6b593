//! Terminals: one of a container's own, for a program in it, and the user's, from which that is operated.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use kernel::{Error, Result};

/// Where a container has its terminals from (pts(4)).
const MULTIPLEXER: &str = "/dev/pts/ptmx";
/// Its device (Documentation/admin-guide/devices.txt).
const MULTIPLEXER_DEVICE: (u32, u32) = (5, 2);

/// A terminal of the calling thread's root: the end at which who operates it sits.
///
/// # Errors
/// What is at `/dev/pts` is no file system of terminals; the kernel refused.
pub fn open_terminal() -> Result<File> {
    let failed = |cause: io::Error| Error::new("open a terminal of", MULTIPLEXER, cause);
    let how = OpenHow::new()
        .flags(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let master = openat2(AT_FDCWD, MULTIPLEXER, how).map_err(|errno| failed(errno.into()))?;
    let found = rustix::fs::fstat(&master).map_err(|errno| failed(errno.into()))?;
    let device = (
        rustix::fs::major(found.st_rdev),
        rustix::fs::minor(found.st_rdev),
    );
    if device != MULTIPLEXER_DEVICE {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, "it is no such device");
        return Err(failed(cause));
    }
    unlockpt(&master).map_err(|errno| failed(errno.into()))?;
    Ok(File::from(master))
}

/// Makes the other end of `master` standard input, output and error of this process.
///
/// # Errors
/// The kernel refused.
pub fn take_terminal(master: &File) -> Result<()> {
    let failed = |cause: io::Error| Error::new("take on", "a terminal", cause);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let own = ioctl_tiocgptpeer(master, flags).map_err(|errno| failed(errno.into()))?;
    for replace in [dup2_stdin, dup2_stdout, dup2_stderr] {
        replace(&own).map_err(|errno| failed(errno.into()))?;
    }
    Ok(())
}

/// Makes standard input the controlling terminal of this process, which leads a session without one.
///
/// # Errors
/// It is no terminal, or another session's.
pub fn control_by_terminal() -> Result<()> {
    let failed =
        |errno: rustix::io::Errno| Error::new("be controlled by", "a terminal", errno.into());
    ioctl_tiocsctty(io::stdin()).map_err(failed)
}

/// Gives the terminal `to` the size that the terminal `from` has; what is none has no size, and that is fine.
pub fn copy_size(from: impl AsFd, to: impl AsFd) {
    if let Ok(size) = tcgetwinsize(from) {
        let _ = tcsetwinsize(to, size);
    }
}

/// Whether standard input is a terminal.
pub fn has_terminal() -> bool {
    isatty(io::stdin())
}

/// The user's terminal, which passes on every key as it is, Ctrl-C too, until this is dropped.
#[derive(Debug)]
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Of standard input.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn begin() -> Result<Self> {
        let failed = |errno: rustix::io::Errno| {
            Error::new("set the mode of", "the terminal", io::Error::from(errno))
        };
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        // What was typed ahead is the program's.
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // One that has gone needs none.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Changes of the size of the user's window (SIGWINCH), to be waited for.
#[derive(Debug)]
pub struct WindowChanges(SigSet);

impl WindowChanges {
    /// From now on, for the calling thread and those that it starts: no other is to have the signal.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn watch() -> Result<Self> {
        let mut changes = SigSet::empty();
        changes.add(Signal::SIGWINCH);
        let failed = |errno: nix::Error| Error::new("watch", "the window", errno.into());
        changes.thread_block().map_err(failed)?;
        Ok(Self(changes))
    }

    /// Waits for the next one.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn wait(&self) -> Result<()> {
        let failed = |errno: nix::Error| Error::new("wait for", "the window", errno.into());
        self.0.wait().map(drop).map_err(failed)
    }
}

/// A second descriptor of standard input or output, without a buffer of this process.
///
/// # Errors
/// None is left.
pub fn unbuffered(stream: impl AsFd) -> Result<File> {
    let copy: io::Result<OwnedFd> = stream.as_fd().try_clone_to_owned();
    copy.map(File::from)
        .map_err(|cause| Error::new("duplicate", "a standard stream", cause))
}
