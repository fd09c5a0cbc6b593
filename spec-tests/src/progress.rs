//! `--progress`: a line for each case as it ends, for runs that take long.

use std::{
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::runner::{Outcome, Report};

/// Counts the cases that have ended.
pub(crate) struct Progress {
    all: usize,
    ended: AtomicUsize,
}

impl Progress {
    #[must_use]
    pub(crate) fn of(all: usize) -> Self {
        let ended = AtomicUsize::new(0);
        Self { all, ended }
    }

    /// Says on standard error that this case has ended, and how; who no longer reads is no error.
    pub(crate) fn tell(&self, report: &Report) {
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let _ = std::io::stderr().write_all(line(ended, self.all, report).as_bytes());
    }
}

fn line(ended: usize, all: usize, report: &Report) -> String {
    let Report { id, seconds, .. } = report;
    let how = match &report.outcome {
        Outcome::Pass => "pass".to_owned(),
        Outcome::Skip { reason } => format!("skip: {reason}"),
        Outcome::Fail(failure) | Outcome::Deviation { failure, .. } => {
            format!("FAIL: {}", failure.what)
        }
    };
    let first = how.lines().next().unwrap_or_default();
    format!("{ended}/{all} {id} {seconds:.1} s {first}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::reports;

    #[test]
    fn each_outcome_is_a_line() {
        let lines: Vec<String> = reports().iter().map(|report| line(7, 20, report)).collect();
        assert_eq!(lines[0], "7/20 a/x/1[p@1.0.0] 0.5 s pass\n");
        assert_eq!(lines[1], "7/20 a/x/2[p@1.0.0] 0.5 s FAIL: w\n");
        assert_eq!(lines[5], "7/20 b/y/2[p@1.0.0] 0.5 s skip: needs nft\n");
    }
}
