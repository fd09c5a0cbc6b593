//! Pauses between attempts, and one log line per change of state.

use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

use crate::chain;

/// Pauses that double up to a limit, each shortened at random so that nodes do not march in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn between(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            next: min,
        }
    }

    /// How long to wait now: between half of the current pause and all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.max);
        pause
    }

    /// After a success the next pause is the shortest again.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

/// Logs a problem when it begins or changes, and its end; not each attempt between.
#[derive(Debug)]
pub(crate) struct Trouble {
    doing: &'static str,
    current: Option<String>,
}

impl Trouble {
    /// `doing` completes "still trying to …".
    pub(crate) fn new(doing: &'static str) -> Self {
        Self {
            doing,
            current: None,
        }
    }

    pub(crate) fn begin(&mut self, error: &dyn Error) {
        let text = chain(error);
        if self.current.as_ref() != Some(&text) {
            tracing::warn!("still trying to {}: {text}", self.doing);
            self.current = Some(text);
        }
    }

    pub(crate) fn end(&mut self) {
        if self.current.take().is_some() {
            tracing::info!("able to {} again", self.doing);
        }
    }
}

/// Sleeps until then; for ever without a moment.
pub(crate) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
