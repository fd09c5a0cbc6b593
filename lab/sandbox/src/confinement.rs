//! What a container runtime takes from its processes by default: capabilities, new privileges, and
//! system calls that no container needs.
//!
//! Each of the three belongs to a thread, is inherited by what the thread starts, and can never be
//! taken back. So one thread gives up everything and then starts the program: nothing has to be
//! done between fork and exec.

mod calls;
mod capabilities;
mod filter;

use kernel::Result;
use nix::errno::Errno;

use filter::Filters;

/// The confinement of a pod, prepared; [`apply`](Self::apply) makes it hold.
#[derive(Debug)]
pub struct Confinement {
    filters: Filters,
}

impl Confinement {
    /// Compiles the system call filters for this machine.
    ///
    /// # Errors
    /// There is no filter for this architecture.
    pub fn new() -> Result<Self> {
        Ok(Self {
            filters: Filters::compile(std::env::consts::ARCH)?,
        })
    }

    /// Confines the calling thread and all that it starts from now on, for ever:
    ///
    /// - Effective, permitted and bounding capabilities are the fourteen that container runtimes
    ///   leave; inheritable and ambient ones are none.
    /// - No program gives more than that, whatever its setuid bit or file capabilities say
    ///   (no-new-privileges).
    /// - System calls that are not on the list fail with EPERM; those younger than the list, and
    ///   clone3, whose flags a filter cannot see, with ENOSYS, so that libc does without.
    ///
    /// The process becomes opaque to the pod's other processes until its next exec: their
    /// `/proc/PID/exe`, `fd` and `root` would lead to the machine's files.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn apply(&self) -> Result<()> {
        nix::sys::prctl::set_dumpable(false).map_err(|errno| refused("hide", errno))?;
        nix::sys::prctl::set_no_new_privs()
            .map_err(|errno| refused("give up new privileges of", errno))?;
        capabilities::drop_all_but_default()?;
        self.filters.apply()
    }
}

fn refused(operation: &'static str, errno: Errno) -> kernel::Error {
    kernel::Error::new(operation, "the calling thread", errno.into())
}
