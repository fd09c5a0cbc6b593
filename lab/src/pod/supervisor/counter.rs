//! When answers of a probe count: so many in a row.

use manifest::Probe;

/// Answers of one probe, counted.
#[derive(Debug)]
pub(super) struct Counter {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    in_a_row: u32,
}

impl Counter {
    /// Of a probe that has not looked yet.
    pub(super) fn new(probe: &Probe) -> Self {
        Self {
            success_threshold: probe.success_threshold,
            failure_threshold: probe.failure_threshold,
            last: None,
            in_a_row: 0,
        }
    }

    /// Notes an answer; what it means, if there were enough of its kind in a row.
    pub(super) fn note(&mut self, success: bool) -> Option<bool> {
        if self.last != Some(success) {
            self.in_a_row = 0;
        }
        self.last = Some(success);
        self.in_a_row += 1;
        let threshold = match success {
            true => self.success_threshold,
            false => self.failure_threshold,
        };
        (self.in_a_row >= threshold).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_row_count() {
        let mut counter = Counter {
            success_threshold: 2,
            failure_threshold: 3,
            last: None,
            in_a_row: 0,
        };
        let answers = [false, false, true, true, false, false, false, false, true];
        let meant = answers.map(|answer| counter.note(answer));
        let (good, bad) = (Some(true), Some(false));
        assert_eq!(meant, [None, None, None, good, None, None, bad, bad, None]);
    }
}
