//! Changes that the kernel refused: tried again with growing pauses.

use std::collections::HashMap;
use std::time::Duration;

use kernel::Change;
use tokio::time::Instant;

use super::words::Names;
use crate::health::Finding;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Failure {
    attempts: u32,
    retry: Instant,
    finding: Finding,
}

/// Failing changes and when each is due again.
#[derive(Debug, Default)]
pub struct Failures {
    by_change: HashMap<Change, Failure>,
}

impl Failures {
    /// Forgets failures of changes that are not wanted any more, and gives those of `planned`
    /// that are due.
    pub fn due(&mut self, planned: Vec<Change>, now: Instant) -> Vec<Change> {
        if self.by_change.is_empty() {
            return planned;
        }
        let still: std::collections::HashSet<&Change> = planned.iter().collect();
        self.by_change.retain(|change, _| still.contains(change));
        planned
            .into_iter()
            .filter(|change| {
                self.by_change
                    .get(change)
                    .is_none_or(|failure| failure.retry <= now)
            })
            .collect()
    }

    /// Records an outcome.
    pub fn record(
        &mut self,
        change: &Change,
        outcome: kernel::Result<()>,
        names: &Names,
        now: Instant,
    ) {
        let Err(error) = outcome else {
            self.by_change.remove(change);
            return;
        };
        let before = self.by_change.get(change);
        let attempts = before.map_or(0, |before| before.attempts) + 1;
        let pause = FIRST_PAUSE
            .saturating_mul(1 << attempts.min(10))
            .min(LONGEST_PAUSE);
        let failure = Failure {
            attempts,
            retry: now + pause,
            finding: names.refusal(change, &error),
        };
        self.by_change.insert(change.clone(), failure);
    }

    /// Whether a change failed when it was last tried: making it now undoes nobody's doing.
    pub fn contains(&self, change: &Change) -> bool {
        self.by_change.contains_key(change)
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.by_change.values().map(|failure| failure.retry).min()
    }

    /// What fails, each with what is said of it.
    pub fn refused(&self) -> impl Iterator<Item = (&Change, &Finding)> {
        let each = self.by_change.iter();
        each.map(|(change, failure)| (change, &failure.finding))
    }

    /// What fails and why, for people.
    pub fn findings(&self) -> Vec<Finding> {
        self.by_change
            .values()
            .map(|failure| failure.finding.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipnetwork::IpNetwork;
    use kernel::LinkIndex;

    fn change(text: &str) -> Change {
        let address: IpNetwork = text.parse().expect("address");
        Change::AddAddress(LinkIndex(1), address)
    }

    fn refused() -> kernel::Result<()> {
        Err(kernel::Error::new(
            "add",
            "address",
            std::io::Error::from_raw_os_error(22),
        ))
    }

    #[test]
    fn a_failing_change_waits_longer_each_time_and_others_do_not_wait() {
        let (bad, good) = (change("10.0.0.1/32"), change("10.0.0.2/32"));
        let mut failures = Failures::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let planned = vec![bad.clone(), good.clone()];
            assert_eq!(failures.due(planned.clone(), now), planned);
            failures.record(&bad, refused(), &Names::default(), now);
            failures.record(&good, Ok(()), &Names::default(), now);
            assert_eq!(failures.due(planned, now), std::slice::from_ref(&good));
            let next = failures.next().expect("one is failing");
            pauses.push(next - now);
            now = next;
        }
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        failures.record(&bad, Ok(()), &Names::default(), now);
        assert!(failures.findings().is_empty());
    }

    #[test]
    fn a_change_that_is_no_longer_planned_is_forgotten() {
        let bad = change("10.0.0.1/32");
        let mut failures = Failures::default();
        let now = Instant::now();
        failures.record(&bad, refused(), &Names::default(), now);
        assert!(failures.due(Vec::new(), now).is_empty());
        assert_eq!(failures.due(vec![bad.clone()], now), [bad]);
    }
}
