//! What the passes did, for the log: at most one line a second.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// A line is followed by another one after this at the earliest.
const INTERVAL: Duration = Duration::from_secs(1);

/// What some passes did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Passes that changed something.
    pub passes: usize,
    /// Objects changed.
    pub changes: usize,
    /// Of those: changes that undid somebody's doing.
    pub repairs: usize,
}

/// Collects what is not in the log yet.
#[derive(Debug, Default)]
pub struct Digest {
    pending: Done,
    /// When the log may have the next line.
    next: Option<Instant>,
}

impl Digest {
    /// A pass did this.
    pub fn add(&mut self, done: Done) {
        if done.changes > 0 {
            self.pending.passes += done.passes;
            self.pending.changes += done.changes;
            self.pending.repairs += done.repairs;
        }
    }

    /// When a line is due, if one is.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.pending.passes > 0;
        waiting.then(|| self.next.map_or(now, |next| next.max(now)))
    }

    /// The line that is due now.
    pub fn take(&mut self, now: Instant) -> Option<Done> {
        if self.due(now)? > now {
            return None;
        }
        self.next = Some(now + INTERVAL);
        Some(std::mem::take(&mut self.pending))
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "datapath: {} objects changed", self.changes)?;
        if self.passes > 1 {
            write!(f, " in {} passes", self.passes)?;
        }
        match self.repairs {
            0 => Ok(()),
            repairs => write!(f, ", {repairs} of them put back"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass_of(changes: usize, repairs: usize) -> Done {
        Done {
            passes: 1,
            changes,
            repairs,
        }
    }

    #[test]
    fn a_hundred_passes_a_second_are_two_lines() {
        let start = Instant::now();
        let mut digest = Digest::default();
        let mut lines = Vec::new();
        for pass in 0..100 {
            let now = start + Duration::from_millis(10 * pass);
            digest.add(pass_of(2, usize::from(pass == 50)));
            lines.extend(digest.take(now).map(|done| done.to_string()));
        }
        assert_eq!(lines, ["datapath: 2 objects changed"]);
        let due = digest.due(start).expect("the rest is due");
        assert_eq!(due, start + INTERVAL);
        let rest = digest.take(due).expect("the rest").to_string();
        assert_eq!(
            rest,
            "datapath: 198 objects changed in 99 passes, 1 of them put back"
        );
        assert_eq!(digest.due(due), None);
    }

    #[test]
    fn a_pass_without_changes_is_no_news() {
        let mut digest = Digest::default();
        digest.add(pass_of(0, 0));
        assert_eq!(digest.take(Instant::now()), None);
    }
}
