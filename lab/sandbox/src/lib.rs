//! Sandboxes: processes in namespaces and control groups of their own. The lab's, and nobody else's.
//!
//! - [`cgroup`]: control groups, version 1 and 2.
//! - [`mount`]: mounts and the mount table.
//! - [`Process`]: a process that cannot be mistaken for a later one with the same number.
//! - [`Namespaces`]: the namespaces of a process, to run something in.
//! - [`ContainerRoot`]: layers, volumes and devices, entered by `pivot_root`.
//! - [`Confinement`]: no more capabilities and system calls than a container runtime leaves.
//! - [`Identity`], [`Account`]: users and groups, as numbers and as the container's own files name them.
//! - [`Users`], [`IdRange`]: user namespaces, whose users are nobody on the machine.
//! - [`rootless`]: a user namespace for who is not root.
//! - [`Init`]: what PID 1 of a PID namespace has to do.
//! - [`own_pipes`]: pipes that a program can open by their names; [`pass_on`], [`Printed`]: what goes through them.
//! - [`tree`]: files and directories on their way into a container and out of it.
//! - [`RawTerminal`], [`take_terminal`]: the user's terminal, and one of a container's own.
//! - [`Interrupt`]: Ctrl-C as a value that a loop can look at.
//!
//! The state is the kernel's: a sandbox lives as long as its first process. Everything here needs
//! CAP_SYS_ADMIN.

pub mod cgroup;
pub mod mount;
pub mod tree;

mod confinement;
mod identity;
mod init;
mod interrupt;
mod masks;
mod members;
mod namespaces;
mod passing;
mod pipes;
mod printed;
mod process;
mod root;
pub mod rootless;
mod terminal;
mod users;

use std::process::Command;

pub use confinement::{Capabilities, Confinement, Rights, SystemCalls, UnknownCapability};
pub use identity::{Account, Identity};
pub use init::{Ended, Init};
pub use interrupt::Interrupt;
pub use members::HeldNamespace;
pub use namespaces::{Namespace, Namespaces, run_in_new, set_hostname, unshare};
pub use passing::{pass_on, read, write_all};
pub use pipes::own_pipes;
pub use printed::Printed;
pub use process::{
    ChildStreams, PATIENCE, Process, Signal, UnknownSignal, pause_after, signal_group,
};
pub use root::{ContainerRoot, Mount, enter_directory, make_directory};
pub use terminal::{
    RawTerminal, WindowChanges, control_by_terminal, copy_size, has_terminal, open_terminal,
    take_terminal, unbuffered,
};
pub use users::{IdRange, NoFreeIds, Users, why_no_users};

use kernel::{Error, Result};

use crate::cgroup::Group;

/// Makes the process that `command` starts join `group` before its program runs, so that the group's
/// limits hold from the first instruction.
///
/// # Errors
/// The group does not exist. What fails later, between fork and exec, is the error of `spawn`.
pub fn join_at_start(command: &mut Command, group: &Group<'_>) -> Result<()> {
    kernel::process::write_at_start(command, group.doors()?, b"0");
    Ok(())
}

/// Makes this process the leader of a session and process group of its own, out of reach of the
/// terminal's Ctrl-C: `setsid`. A process that leads a group already stays what it is.
pub fn leave_terminal() {
    // EPERM means: leader already.
    let _ = nix::unistd::setsid();
}

/// The file mode creation mask that runtimes give containers, whatever the caller's is.
pub fn set_umask() {
    use nix::sys::stat::{Mode, umask};
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
}

/// Blocks until a signal ends this process: what a process that only holds namespaces does.
pub fn hold() -> ! {
    loop {
        nix::unistd::pause();
    }
}

/// Whether this process is root, as far as the kernel's objects go.
///
/// # Errors
/// The effective user is not root.
pub fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let cause = std::io::Error::from_raw_os_error(nix::libc::EPERM);
    Err(Error::new(
        "make namespaces as user",
        nix::unistd::geteuid(),
        cause,
    ))
}
