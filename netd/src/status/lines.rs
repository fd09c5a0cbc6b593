//! How much the log is told: many problems at once, or one that comes and goes, are a few lines
//! and a number.

use std::time::{Duration, Instant};

/// The lines of one second.
const LINES: usize = 5;
const SECOND: Duration = Duration::from_secs(1);

/// What may still be written in this second.
#[derive(Debug)]
pub(super) struct Lines {
    began: Option<Instant>,
    written: usize,
    left_out: usize,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            began: None,
            written: 0,
            left_out: 0,
        }
    }

    /// A new second: how many lines the one before left out, if any.
    pub(super) fn left_out(&mut self, now: Instant) -> Option<usize> {
        if self.began.is_some_and(|began| now - began < SECOND) {
            return None;
        }
        self.began = Some(now);
        self.written = 0;
        let left_out = std::mem::take(&mut self.left_out);
        (left_out > 0).then_some(left_out)
    }

    /// Whether one more line may be written now.
    pub(super) fn may_write(&mut self) -> bool {
        let may = self.written < LINES;
        self.written += usize::from(may);
        self.left_out += usize::from(!may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_five_lines_a_second_and_a_number() {
        let start = Instant::now();
        let mut lines = Lines::new();
        let mut written = Vec::new();
        for at in 0..200 {
            let now = start + Duration::from_millis(10 * at);
            written.extend(lines.left_out(now).map(|more| format!("{more} more")));
            if lines.may_write() {
                written.push("line".to_owned());
            }
        }
        assert_eq!(written.len(), 11, "{written:?}");
        assert_eq!(written[5], "95 more");
    }
}
