//! Ctrl-C as a value that a loop can look at, so that what was built is taken down.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::{Error, Result};

/// The last signal that asked this process to end; 0 is none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// SIGINT, SIGTERM and SIGHUP, noted instead of deadly.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt(());

impl Interrupt {
    /// Notes these signals from now on, for the whole process. Programs that it starts get the
    /// default actions back (execve(2)).
    ///
    /// # Errors
    /// The kernel refused.
    #[allow(unsafe_code, reason = "a signal handler runs at any point")]
    pub fn install() -> Result<Self> {
        // Without SA_RESTART, so that a wait ends and the caller can look.
        let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: the handler only stores into an atomic, which is async-signal-safe.
            unsafe { sigaction(signal, &action) }
                .map_err(|errno| Error::new("handle signal", signal, errno.into()))?;
        }
        Ok(Self(()))
    }

    /// The number of the signal that came, if one did.
    pub fn received(self) -> Option<i32> {
        match RECEIVED.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }
}

extern "C" fn note(signal: c_int) {
    RECEIVED.store(signal, Ordering::SeqCst);
}
