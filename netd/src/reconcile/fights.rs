//! Objects that somebody else changes again and again. Who repairs such an object at once, each
//! time, takes a whole processor with it; so it is repaired ever more slowly, and only it: what
//! else is removed meanwhile comes back at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// So many repairs of one object in a row are somebody's haste; more are a fight, and each waits
/// twice as long as the one before.
const HASTE: u32 = 16;
/// Repairs of one object that are further apart than this, beyond their pause, are not in a row.
const ROW: Duration = Duration::from_secs(2);
/// The longest pause is a second: 2^10 ms.
const DOUBLINGS: u32 = 10;

/// Repairs of one object that follow each other closely.
#[derive(Clone, Copy, Debug)]
struct Row {
    length: u32,
    last: Instant,
}

impl Row {
    fn pause(self) -> Duration {
        match self.length.saturating_sub(HASTE).min(DOUBLINGS) {
            0 => Duration::ZERO,
            doublings => Duration::from_millis(1 << doublings),
        }
    }

    fn due(self) -> Instant {
        self.last + self.pause()
    }

    fn end(self) -> Instant {
        self.due() + ROW
    }

    fn is_over(self, now: Instant) -> bool {
        now >= self.end()
    }

    fn is_fight(self, now: Instant) -> bool {
        self.length > HASTE && !self.is_over(now)
    }
}

/// Repairs by what was repaired.
#[derive(Debug)]
pub(super) struct Fights<K> {
    rows: HashMap<K, Row>,
}

impl<K> Default for Fights<K> {
    fn default() -> Self {
        let rows = HashMap::new();
        Self { rows }
    }
}

impl<K: Clone + Eq + Hash> Fights<K> {
    /// Enters a repair.
    pub(super) fn repaired(&mut self, object: &K, now: Instant) {
        let fresh = Row {
            length: 0,
            last: now,
        };
        let row = self.rows.entry(object.clone()).or_insert(fresh);
        let length = match row.is_over(now) {
            true => 0,
            false => row.length,
        };
        *row = Row {
            length: length.saturating_add(1),
            last: now,
        };
    }

    /// Until when an object has to wait for its repair, if it has to.
    pub(super) fn held(&self, object: &K, now: Instant) -> Option<Instant> {
        let row = self.rows.get(object)?;
        Some(row.due()).filter(|due| *due > now)
    }

    /// Those of `objects` that need not wait, and when the first of the others is due.
    pub(super) fn due(&mut self, objects: Vec<K>, now: Instant) -> (Vec<K>, Option<Instant>) {
        self.rows.retain(|_, row| !row.is_over(now));
        if self.rows.is_empty() {
            return (objects, None);
        }
        let mut next: Option<Instant> = None;
        let mut due = objects;
        due.retain(|object| match self.held(object, now) {
            Some(moment) => {
                next = Some(next.map_or(moment, |next| next.min(moment)));
                false
            }
            None => true,
        });
        (due, next)
    }

    /// What is fought over.
    pub(super) fn objects(&self, now: Instant) -> impl Iterator<Item = &K> {
        let fought = self.rows.iter().filter(move |(_, row)| row.is_fight(now));
        fought.map(|(object, _)| object)
    }

    /// When the first fight will be over, if nothing happens.
    pub(super) fn end(&self, now: Instant) -> Option<Instant> {
        let fights = self.rows.values().filter(|row| row.is_fight(now));
        fights.map(|row| row.end()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fight_slows_down_its_object_alone_and_is_forgotten() {
        let mut fights = Fights::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let (due, next) = fights.due(vec!["fought", "other"], now);
            assert_eq!((due, next), (vec!["fought", "other"], None));
            fights.repaired(&"fought", now);
            let (due, next) = fights.due(vec!["fought", "other"], now);
            assert!(due.contains(&"other"), "{due:?}");
            assert_eq!(due.contains(&"fought"), next.is_none());
            pauses.push(next.map_or(Duration::ZERO, |next| next - now));
            now += *pauses.last().expect("one was added");
        }
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses[15], Duration::ZERO);
        assert_eq!(pauses[16], Duration::from_millis(2));
        assert_eq!(pauses.last(), Some(&Duration::from_millis(1024)));
        assert_eq!(fights.objects(now).collect::<Vec<_>>(), [&"fought"]);
        now = fights.end(now).expect("there is a fight");
        assert_eq!(fights.objects(now).count(), 0);
        assert_eq!(fights.end(now), None);
        fights.repaired(&"fought", now);
        assert_eq!(fights.held(&"fought", now), None, "a new row begins");
        fights.due(Vec::new(), now + ROW + Duration::from_secs(1));
        assert!(fights.rows.is_empty(), "nothing is remembered for ever");
    }

    #[test]
    fn repairs_now_and_then_are_no_fight() {
        let mut fights = Fights::default();
        let mut now = Instant::now();
        for _ in 0..100 {
            fights.repaired(&"seldom", now);
            assert_eq!(fights.held(&"seldom", now), None);
            now += ROW + Duration::from_millis(1);
        }
        assert_eq!(fights.objects(now).count(), 0);
    }
}
