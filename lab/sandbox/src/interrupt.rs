//! Ctrl-C as a value that a loop can look at, so that what was built is taken down.

use kernel::Result;
use kernel::process::{Noted, note_interrupts, noted_interrupt, take_interrupt};

/// SIGINT, SIGTERM and SIGHUP, noted instead of deadly.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt(());

impl Interrupt {
    /// Notes these signals from now on, for the whole process. Programs that it starts get the
    /// default actions back (execve(2)).
    ///
    /// # Errors
    /// The kernel refused.
    pub fn install() -> Result<Self> {
        note_interrupts().map(|()| Self(()))
    }

    /// The number of the signal that came, if one did.
    pub fn received(self) -> Option<i32> {
        noted_interrupt()
    }

    /// One that came since this was asked last: for who passes each of them on.
    pub fn take(self) -> Option<Noted> {
        take_interrupt()
    }
}
