//! What a container runtime takes from its processes: users, capabilities, new privileges, and system calls
//! that no container needs.
//!
//! Each of them belongs to a thread, is inherited by what the thread starts, and can never be
//! taken back. So one thread gives up everything and then starts the program, or becomes it: nothing has to be
//! done between fork and exec.

mod calls;
mod capabilities;
mod filter;

use caps::Capability;
use kernel::Result;
use kernel::process::join_new_session_keyring;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

pub use capabilities::{Capabilities, UnknownCapability};

use crate::Identity;
use filter::Filters;

/// What a container's processes may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// What its root has at most, and any program can get.
    pub capabilities: Capabilities,
    /// Setuid bits and file capabilities give what they say, within `capabilities`.
    pub new_privileges: bool,
    /// Which ones there are.
    pub system_calls: SystemCalls,
}

/// Which system calls succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemCalls {
    /// Those that container runtimes allow by default, and those that the capabilities are for.
    Listed,
    /// Every one but those that type on a terminal, which may be the user's (`ioctl` with TIOCSTI or TIOCLINUX).
    AllButTyping,
    /// Every one.
    All,
}

impl Default for Rights {
    /// Those of a container that says nothing of them.
    fn default() -> Self {
        Self {
            capabilities: Capabilities::container(),
            new_privileges: false,
            system_calls: SystemCalls::Listed,
        }
    }
}

impl Rights {
    /// Those of a privileged container: what its maker has.
    pub fn privileged() -> Self {
        Self {
            capabilities: Capabilities::all(),
            new_privileges: true,
            system_calls: SystemCalls::All,
        }
    }

    /// Whether who has them may attach to any process that it sees.
    pub fn may_debug(&self) -> bool {
        self.capabilities.contains(Capability::CAP_SYS_PTRACE)
    }
}

/// The confinement of a container, prepared; [`apply`](Self::apply) makes it hold.
#[derive(Debug)]
pub struct Confinement {
    rights: Rights,
    filters: Option<Filters>,
}

impl Confinement {
    /// Compiles the system call filters for this machine.
    ///
    /// # Errors
    /// There is no filter for this architecture.
    pub fn new(rights: Rights) -> Result<Self> {
        let own = std::env::consts::ARCH;
        let filters = match rights.system_calls {
            SystemCalls::Listed => Some(Filters::listed(own, rights.capabilities)?),
            SystemCalls::AllButTyping => Some(Filters::against_typing(own)?),
            SystemCalls::All => None,
        };
        Ok(Self { rights, filters })
    }

    /// Makes the calling thread, and all that it starts from now on, `identity`, and confines it for ever. A
    /// container's first process and what `exec` starts beside it both come about so.
    ///
    /// - Bounding capabilities are those of the rights; so are effective and permitted ones of root, and those of
    ///   others are none. Inheritable and ambient ones are none.
    /// - Without new privileges, no program gives more than that, whatever its setuid bit or file capabilities
    ///   say (no-new-privileges).
    /// - System calls that are not on the list fail with EPERM; those younger than the list, and
    ///   clone3, whose flags a filter cannot see, with ENOSYS, so that libc does without.
    ///
    /// - Keys of who starts it are out of reach: its session keyring is its own.
    ///
    /// The process becomes opaque to the pod's other processes until its next exec: their
    /// `/proc/PID/exe`, `fd` and `root` would lead to the machine's files.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn apply(&self, identity: &Identity) -> Result<()> {
        nix::sys::prctl::set_dumpable(false).map_err(|errno| refused("hide", errno))?;
        self.leave_keys()?;
        capabilities::bound(self.rights.capabilities)?;
        if !self.rights.new_privileges {
            nix::sys::prctl::set_no_new_privs()
                .map_err(|errno| refused("give up new privileges of", errno))?;
        }
        // While CAP_SYS_ADMIN is there, which a filter takes where new privileges are left. All that follows is on
        // the list.
        if let Some(filters) = &self.filters {
            filters.apply()?;
        }
        identity.take()?;
        capabilities::keep(self.rights.capabilities)
    }

    fn leave_keys(&self) -> Result<()> {
        match join_new_session_keyring() {
            // The list has no call for keys: who may have no more of them needs none of its own.
            Err(_) if self.rights.system_calls == SystemCalls::Listed => Ok(()),
            left => left,
        }
    }
}

fn refused(operation: &'static str, errno: Errno) -> kernel::Error {
    kernel::Error::new(operation, "the calling thread", errno.into())
}
