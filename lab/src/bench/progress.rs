//! How far a benchmark is, for who waits.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Counts what is done of a known number of equal things.
pub(super) struct Progress {
    start: Instant,
    done: usize,
    all: usize,
}

/// On standard error: that nobody reads it any more ends no measurement.
pub(super) fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

impl Progress {
    /// With the headings of the lines to come.
    pub(super) fn start(all: usize, headings: &str) -> Self {
        tell(&format!("{:>9}  {:>8}  {headings}", "DONE", "LEFT"));
        Self {
            start: Instant::now(),
            done: 0,
            all,
        }
    }

    /// One more is done.
    pub(super) fn tell(&mut self, line: &str) {
        self.tell_of(1, line);
    }

    /// So many more are.
    pub(super) fn tell_of(&mut self, done: usize, line: &str) {
        self.done += done;
        let (done, all) = (self.done, self.all);
        let left = left(self.start.elapsed(), done, all);
        let left = humantime::format_duration(left).to_string();
        tell(&format!("{done:>4}/{all:<4}  {left:>8}  {line}"));
    }
}

/// Whole seconds until all are done, if those that are left take as long as those that are done.
fn left(elapsed: Duration, done: usize, all: usize) -> Duration {
    let each = elapsed.as_secs_f64() / done.max(1) as f64;
    Duration::from_secs((each * all.saturating_sub(done) as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_is_done() {
        for (elapsed, done, all, expected) in [(10, 1, 3, 20), (10, 4, 5, 3), (10, 5, 5, 0)] {
            let left = left(Duration::from_secs(elapsed), done, all);
            assert_eq!(left.as_secs(), expected, "{done} of {all}");
        }
    }
}
