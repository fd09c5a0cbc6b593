//! Each successful step pushes its inverse; `commit` disarms; rolling back runs them in reverse.
//!
//! ```no_run
//! # async fn example(netlink: kernel::Netlink, bridge: kernel::NewBridge<'_>) -> kernel::Result<()> {
//! let mut undo = kernel::Undo::new();
//! netlink.add_bridge(&bridge).await?;
//! let inverse = || -> kernel::undo::Outcome<'_> { Box::pin(async { Ok(()) }) };
//! undo.push("bridge", Box::new(inverse))?;
//! undo.commit();
//! # Ok(()) }
//! ```
//!
//! No capabilities needed beyond those of the steps.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;

use crate::Result;

/// What an inverse returns while it runs.
pub type Outcome<'a> =
    Pin<Box<dyn Future<Output = std::result::Result<(), Box<dyn StdError + Send + Sync>>> + 'a>>;

/// An inverse: takes back one step.
pub type Step<'a> = Box<dyn FnOnce() -> Outcome<'a> + 'a>;

/// The inverses of the steps done so far. Dropping it takes nothing back: rolling back awaits the
/// kernel, and drop cannot.
#[derive(Default)]
#[must_use = "commit it or roll it back"]
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
    /// the process count as failed after it was done, and `PODWIRE_ABORT_AFTER_STEP=N` kills the
    /// process there, so that tests can drive every prefix of an operation.
    pub fn push(&mut self, what: &'static str, inverse: Step<'a>) -> Result<()> {
        self.steps.push((what, inverse));
        #[cfg(feature = "testing")]
        crate::testing::after_step(what)?;
        Ok(())
    }

    /// Keeps everything that was done.
    pub fn commit(self) {
        drop(self.steps);
    }

    /// Runs every inverse, last first. A failure is logged and does not stop the rest.
    pub async fn roll_back(self) {
        for (what, inverse) in self.steps.into_iter().rev() {
            match inverse().await {
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
            let inverse = move || -> Outcome<'_> {
                Box::pin(async move {
                    log.borrow_mut().push(number);
                    if number == 2 {
                        Err("busy".into())
                    } else {
                        Ok(())
                    }
                })
            };
            undo.push("step", Box::new(inverse)).unwrap();
        }
        undo
    }

    #[test]
    fn runs_all_in_reverse_in_spite_of_failures() {
        let log = RefCell::new(Vec::new());
        crate::block_on(stack(&log).roll_back()).unwrap();
        assert_eq!(*log.borrow(), [3, 2, 1]);
    }

    #[test]
    fn commit_disarms() {
        let log = RefCell::new(Vec::new());
        stack(&log).commit();
        assert!(log.borrow().is_empty());
    }
}
