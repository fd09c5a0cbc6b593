//! What takes longer than a second is told, on standard error.

use std::convert::Infallible;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::called::as_called;
use crate::output::warn;

/// So long nobody wonders.
const QUIET: Duration = Duration::from_secs(1);

/// Something that is waited for until this is dropped.
#[derive(Debug)]
#[must_use = "it is waited for as long as this is there"]
pub struct Notice(#[expect(dead_code, reason = "its end is what tells")] Sender<Infallible>);

/// Tells what is waited for, if that is still so in a second: `what` says it then.
pub fn notice(what: impl FnOnce() -> String + Send + 'static) -> Notice {
    let (sender, receiver) = mpsc::channel();
    let watch = move || {
        if receiver.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
            warn(format_args!("{}...", as_called(&what())));
        }
    };
    // Without a thread it is not told, and done all the same.
    let _ = thread::Builder::new().spawn(watch);
    Notice(sender)
}
