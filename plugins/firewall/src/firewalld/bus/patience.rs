//! How long a call of the plugin waits for an answer: a runtime waits for all of its pod.

use std::{
    cell::Cell,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// firewalld answers late while it loads its rules.
const PATIENCE: Duration = Duration::from_secs(8);
/// With one that has not answered before: neither to take back an ADD, nor the pod's next address or zone, must take
/// as long once more.
const AFTER_SILENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether somebody has not answered. A call of the plugin stays on its thread.
    static SILENCE: Cell<bool> = const { Cell::new(false) };
}

/// Waits for an answer.
///
/// # Errors
/// There was none for so long; what is asked next has less time, until [`restore`].
pub(super) fn wait<T>(answer: impl Future<Output = T>) -> Result<T, Duration> {
    let patience = current();
    within(patience, answer).ok_or_else(|| {
        SILENCE.set(true);
        patience
    })
}

/// For when firewalld answers. That the bus does says nothing of firewalld.
pub(super) fn restore() {
    SILENCE.set(false);
}

fn current() -> Duration {
    if SILENCE.get() {
        AFTER_SILENCE
    } else {
        PATIENCE
    }
}

/// Runs a future on this thread. The library has one limit for a connection's life, and none for making it.
fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let end = Instant::now() + time;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_silence_there_is_less_time_on_this_thread_until_firewalld_answers() {
        assert_eq!(current(), PATIENCE);
        SILENCE.set(true);
        assert_eq!(wait(std::future::pending::<()>()), Err(AFTER_SILENCE));
        assert_eq!(thread::spawn(current).join().unwrap(), PATIENCE);
        assert_eq!(wait(async { "the bus" }), Ok("the bus"));
        assert_eq!(current(), AFTER_SILENCE);
        restore();
        assert_eq!(current(), PATIENCE);
    }
}
