//! Changes that the kernel refused: said once, tried again with growing pauses.

use std::collections::HashMap;
use std::time::Duration;

use kernel::Change;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Failure {
    attempts: u32,
    retry: Instant,
    errno: Option<i32>,
    text: String,
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

    /// Records an outcome; logs a failure when it is new or another than before.
    pub fn record(&mut self, change: &Change, outcome: kernel::Result<()>, now: Instant) {
        let Err(error) = outcome else {
            if let Some(failure) = self.by_change.remove(change) {
                tracing::info!(?change, attempts = failure.attempts, "succeeded at last");
            }
            return;
        };
        let text = crate::chain(&error);
        let attempts = self
            .by_change
            .get(change)
            .map_or(0, |before| before.attempts)
            + 1;
        let known = self
            .by_change
            .get(change)
            .is_some_and(|before| before.errno == error.errno());
        if !known {
            tracing::warn!(
                ?change,
                error = text,
                "refused by the kernel, will be tried again"
            );
        }
        let pause = FIRST_PAUSE
            .saturating_mul(1 << attempts.min(10))
            .min(LONGEST_PAUSE);
        let failure = Failure {
            attempts,
            retry: now + pause,
            errno: error.errno(),
            text,
        };
        self.by_change.insert(change.clone(), failure);
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.by_change.values().map(|failure| failure.retry).min()
    }

    /// How many changes are failing.
    pub fn len(&self) -> usize {
        self.by_change.len()
    }

    /// Whether everything worked.
    pub fn is_empty(&self) -> bool {
        self.by_change.is_empty()
    }

    /// The errors, at most `limit` of them, for people.
    pub fn texts(&self, limit: usize) -> Vec<String> {
        let mut texts: Vec<String> = self
            .by_change
            .values()
            .map(|failure| failure.text.clone())
            .collect();
        texts.sort_unstable();
        texts.truncate(limit);
        texts
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
            failures.record(&bad, refused(), now);
            failures.record(&good, Ok(()), now);
            assert_eq!(failures.due(planned, now), std::slice::from_ref(&good));
            let next = failures.next().expect("one is failing");
            pauses.push(next - now);
            now = next;
        }
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        failures.record(&bad, Ok(()), now);
        assert!(failures.is_empty());
    }

    #[test]
    fn a_change_that_is_no_longer_planned_is_forgotten() {
        let bad = change("10.0.0.1/32");
        let mut failures = Failures::default();
        let now = Instant::now();
        failures.record(&bad, refused(), now);
        assert!(failures.due(Vec::new(), now).is_empty());
        assert_eq!(failures.due(vec![bad.clone()], now), [bad]);
    }
}
