//! What was put back lately.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;

/// So many different objects are remembered.
pub(super) const KEPT: usize = 20;

/// An object that somebody removed or changed, and netd put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repair {
    /// What was put back: `route 10.244.7.0/24 via 10.244.7.0 dev flannel.1`.
    pub object: String,
    /// How often, while it is in this list.
    pub count: u64,
    /// When it was the last time, RFC 3339 in UTC.
    pub last: String,
    /// The same in seconds until now.
    pub seconds: u64,
}

/// The last repairs, the newest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Repairs {
    entries: VecDeque<(String, u64, Stamp)>,
}

impl Repairs {
    pub(super) fn add(&mut self, object: String, now: Stamp) {
        let known = self.entries.iter().position(|(known, ..)| *known == object);
        let before = known.and_then(|at| self.entries.remove(at));
        let count = before.map_or(0, |(_, count, _)| count) + 1;
        self.entries.push_front((object, count, now));
        self.entries.truncate(KEPT);
    }

    pub(super) fn all(&self, now: &Stamp) -> Vec<Repair> {
        let repair = |(object, count, last): &(String, u64, Stamp)| Repair {
            object: object.clone(),
            count: *count,
            last: last.text(now),
            seconds: last.seconds(now),
        };
        self.entries.iter().map(repair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant, SystemTime};

    #[test]
    fn the_newest_comes_first_and_what_recurs_is_counted() {
        let start = Stamp {
            instant: Instant::now(),
            clock: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        let later = Stamp {
            instant: start.instant + Duration::from_secs(5),
            ..start
        };
        let mut repairs = Repairs::default();
        for object in ["a", "b", "a"] {
            repairs.add(object.to_owned(), start);
        }
        let told: Vec<_> = repairs
            .all(&later)
            .into_iter()
            .map(|repair| (repair.object, repair.count, repair.seconds))
            .collect();
        assert_eq!(told, [("a".to_owned(), 2, 5), ("b".to_owned(), 1, 5)]);
        for n in 0..100 {
            repairs.add(n.to_string(), start);
        }
        let all = repairs.all(&start);
        assert_eq!(all.len(), KEPT);
        assert_eq!(all[0].object, "99");
        assert_eq!(all[0].last, "1970-01-12T13:46:40Z");
    }
}
