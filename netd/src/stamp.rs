//! When something happened, by both clocks: how long ago that was is told by the one that nobody sets.

use std::time::{Duration, Instant, SystemTime};

/// A wall clock that differs by less was not set, but runs fast or slow.
const SET: Duration = Duration::from_secs(60);

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// By the clock that only goes forward.
    pub instant: Instant,
    /// By the wall clock as it went then.
    pub clock: SystemTime,
}

impl Stamp {
    /// This one.
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            clock: SystemTime::now(),
        }
    }

    /// How long it is ago, in whole seconds.
    pub fn seconds(&self, now: &Self) -> u64 {
        now.instant
            .saturating_duration_since(self.instant)
            .as_secs()
    }

    /// What the wall clock as it goes now would have shown then: RFC 3339 in UTC, whole seconds.
    pub fn text(&self, now: &Self) -> String {
        let ago = now.instant.saturating_duration_since(self.instant);
        let by_now = now.clock.checked_sub(ago);
        let by_now = by_now.unwrap_or(SystemTime::UNIX_EPOCH);
        let forward = by_now.duration_since(self.clock);
        let differs = forward.unwrap_or_else(|error| error.duration());
        // What was shown once stays as it was, to the second.
        text(if differs < SET { self.clock } else { by_now })
    }
}

/// A moment of the wall clock for people and programs. RFC 3339 has none before its first year; nor has Linux one
/// before 1970.
pub(crate) fn text(moment: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moment.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_moves_what_was_and_not_how_long_ago() {
        let then = Stamp {
            instant: Instant::now(),
            clock: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        const HOUR: i64 = 3600;
        for (set_by, shown) in [
            (0, "1970-01-12T13:46:40Z"),
            (59, "1970-01-12T13:46:40Z"),
            (-59, "1970-01-12T13:46:40Z"),
            (5 * HOUR, "1970-01-12T18:46:40Z"),
            (-5 * HOUR, "1970-01-12T08:46:40Z"),
            (-1_000_005, "1970-01-01T00:00:00Z"),
        ] {
            let clock = 1_000_005_i64 + set_by;
            let now = Stamp {
                instant: then.instant + Duration::from_secs(5),
                clock: SystemTime::UNIX_EPOCH + Duration::from_secs(clock.unsigned_abs()),
            };
            assert_eq!(then.seconds(&now), 5);
            assert_eq!(then.text(&now), shown, "set by {set_by} s");
        }
    }
}
