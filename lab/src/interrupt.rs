//! Ctrl-C, as an error on the way out.

use std::time::Duration;

use anyhow::{Result, bail};
use sandbox::Interrupt;

/// A signal asked the lab to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted(pub i32);

impl Interrupted {
    /// The exit status, as shells have it: 128 and the signal's number.
    pub fn status(self) -> i32 {
        128 + self.0
    }
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// # Errors
/// [`Interrupted`] when a signal came.
pub fn check(interrupt: Interrupt) -> Result<()> {
    if let Some(signal) = interrupt.received() {
        bail!(Interrupted(signal));
    }
    Ok(())
}

/// Sleeps, unless a signal came.
///
/// # Errors
/// [`Interrupted`] when a signal came.
pub fn pause(interrupt: Interrupt, time: Duration) -> Result<()> {
    check(interrupt)?;
    std::thread::sleep(time);
    check(interrupt)
}

/// Sleeps; a signal ends that.
pub fn sleep(interrupt: Interrupt, time: Duration) {
    const STEP: Duration = Duration::from_millis(50);
    let mut left = time;
    while !left.is_zero() && interrupt.received().is_none() {
        let step = left.min(STEP);
        std::thread::sleep(step);
        left -= step;
    }
}
