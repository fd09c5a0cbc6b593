//! Each successful step pushes its inverse; `commit` disarms; dropping runs them in reverse.
//!
//! ```no_run
//! # fn example(netlink: kernel::Netlink, bridge: kernel::NewLink<'_>) -> kernel::Result<()> {
//! let mut undo = kernel::Undo::new();
//! netlink.add_link(&bridge)?;
//! undo.push("bridge", || Ok(()))?;
//! undo.commit();
//! # Ok(()) }
//! ```
//!
//! No capabilities needed beyond those of the steps.

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Result;

/// What an inverse returns.
pub type Outcome = std::result::Result<(), Box<dyn StdError + Send + Sync>>;

/// An inverse: takes back one step.
type Step<'a> = Box<dyn FnOnce() -> Outcome + 'a>;

/// The inverses of the steps done so far. Unless it is committed, dropping it takes the steps
/// back, last first: whichever way an operation ends, by `?` or by a panic that unwinds, nothing
/// of it stays. A failure of an inverse is logged and does not stop the rest.
#[derive(Default)]
#[must_use = "dropped at once, it takes back what was done"]
pub struct Undo<'a> {
    steps: Vec<(&'static str, Step<'a>)>,
}

impl<'a> Undo<'a> {
    /// Nothing to take back yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers how to take back the step `what`, which has just succeeded.
    ///
    /// # Errors
    /// Never, except with the feature `testing`: `PODWIRE_FAIL_AFTER_STEP=N` makes the N-th step of
    /// the process count as failed after it was done, `PODWIRE_PANIC_AFTER_STEP=N` panics and
    /// `PODWIRE_ABORT_AFTER_STEP=N` kills the process there, so that tests can drive every prefix of an operation.
    pub fn push(
        &mut self,
        what: &'static str,
        inverse: impl FnOnce() -> Outcome + 'a,
    ) -> Result<()> {
        self.steps.push((what, Box::new(inverse)));
        #[cfg(feature = "testing")]
        crate::testing::after_step(what)?;
        Ok(())
    }

    /// Keeps everything that was done.
    pub fn commit(mut self) {
        self.steps.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some((what, inverse)) = self.steps.pop() {
            // A panic while another one unwinds would end the process, and the rest would stay.
            match catch_unwind(AssertUnwindSafe(inverse))
                .unwrap_or_else(|_| Err("it panicked".into()))
            {
                Ok(()) => tracing::debug!(what, "taken back"),
                Err(error) => {
                    let error: &dyn StdError = &*error;
                    tracing::warn!(what, error, "cannot be taken back");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn stack(log: &RefCell<Vec<u32>>) -> Undo<'_> {
        let mut undo = Undo::new();
        for number in 1..=3 {
            let inverse = move || {
                log.borrow_mut().push(number);
                if number == 2 {
                    Err("busy".into())
                } else {
                    Ok(())
                }
            };
            undo.push("step", inverse).unwrap();
        }
        undo
    }

    #[test]
    fn runs_all_in_reverse_in_spite_of_failures() {
        let log = RefCell::new(Vec::new());
        drop(stack(&log));
        assert_eq!(*log.borrow(), [3, 2, 1]);
    }

    #[test]
    fn a_panic_takes_everything_back() {
        let log = RefCell::new(Vec::new());
        let panicking = || {
            let _undo = stack(&log);
            panic!("half-way");
        };
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        assert_eq!(*log.borrow(), [3, 2, 1]);
    }

    #[test]
    fn a_panic_of_an_inverse_stops_nothing() {
        let log = RefCell::new(Vec::new());
        let panicking = || {
            let mut undo = stack(&log);
            undo.push("step", || panic!("while taking back")).unwrap();
            panic!("half-way");
        };
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        assert_eq!(*log.borrow(), [3, 2, 1]);
    }

    #[test]
    fn commit_disarms() {
        let log = RefCell::new(Vec::new());
        stack(&log).commit();
        assert!(log.borrow().is_empty());
    }
}
