//! What became of the probes to one subnet, and what that says of the path. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::wire::Size;
use crate::status::{Reach, Reachable};

/// So many probes of each size are remembered.
const REMEMBERED: usize = 20;
/// So many in a row say how it is now.
const DECISIVE: usize = 3;
/// More lost than this, of those remembered, is worth telling.
const TOLERATED: usize = 2;

/// The probes to one subnet.
#[derive(Debug, Default)]
pub(super) struct Record {
    small: Window,
    full: Window,
    /// When a packet of the peer's came last.
    heard: Option<Instant>,
    /// Whether it ever answered.
    answered: bool,
}

#[derive(Debug, Default)]
struct Window(VecDeque<Probe>);

#[derive(Clone, Copy, Debug)]
struct Probe {
    sequence: u32,
    round_trip: Option<Duration>,
}

impl Record {
    /// A probe is sent.
    pub(super) fn sent(&mut self, size: Size, sequence: u32) {
        let probes = &mut self.window(size).0;
        probes.push_back(Probe {
            sequence,
            round_trip: None,
        });
        if probes.len() > REMEMBERED + 1 {
            probes.pop_front();
        }
    }

    /// Its answer came.
    pub(super) fn answered(
        &mut self,
        size: Size,
        sequence: u32,
        round_trip: Duration,
        now: Instant,
    ) {
        let mut probes = self.window(size).0.iter_mut();
        if let Some(probe) = probes.find(|probe| probe.sequence == sequence) {
            probe.round_trip = Some(round_trip);
            self.answered = true;
            self.heard(now);
        }
    }

    /// A packet of the peer's came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// Whether it ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    fn window(&mut self, size: Size) -> &mut Window {
        match size {
            Size::Small => &mut self.small,
            Size::Full => &mut self.full,
        }
    }

    /// What the probes say, one sent every `interval`.
    pub(super) fn reach(&self, subnet: String, now: Instant, interval: Duration) -> Reach {
        let (lost, sent) = self.small.lost();
        let (full_lost, full_sent) = self.full.lost();
        Reach {
            subnet,
            state: self.state(now, interval),
            round_trip_us: self.small.median(),
            sent,
            lost,
            full_sent,
            full_lost,
        }
    }

    fn state(&self, now: Instant, interval: Duration) -> Reachable {
        let is_heard = self
            .heard
            .is_some_and(|heard| now.duration_since(heard) <= interval * DECISIVE as u32);
        match (self.small.lately(), self.full.lately()) {
            (Lately::Nothing, _) => Reachable::Unknown,
            (Lately::Lost, _) if is_heard => Reachable::OneWay,
            (Lately::Lost, _) if self.answered => Reachable::No,
            (Lately::Lost, _) => Reachable::Silent,
            (Lately::Answered, Lately::Lost) => Reachable::SmallOnly,
            (Lately::Answered, _) if self.small.lost().0 as usize > TOLERATED => Reachable::Lossy,
            (Lately::Answered, _) => Reachable::Yes,
        }
    }
}

/// What the last probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lately {
    /// There are too few.
    Nothing,
    /// One was answered.
    Answered,
    /// None was.
    Lost,
}

impl Window {
    /// Those that had time to be answered: all but the last one, which counts when it was.
    fn decided(&self) -> impl DoubleEndedIterator<Item = &Probe> {
        let last = self.0.len().saturating_sub(1);
        let probes = self.0.iter().enumerate();
        let decided = probes.filter(move |(n, probe)| *n < last || probe.round_trip.is_some());
        decided.map(|(_, probe)| probe)
    }

    fn lately(&self) -> Lately {
        let last: Vec<_> = self.decided().rev().take(DECISIVE).collect();
        match last.iter().any(|probe| probe.round_trip.is_some()) {
            true => Lately::Answered,
            false if last.len() == DECISIVE => Lately::Lost,
            false => Lately::Nothing,
        }
    }

    /// How many were lost, of how many.
    fn lost(&self) -> (u32, u32) {
        self.decided().fold((0, 0), |(lost, sent), probe| {
            (lost + u32::from(probe.round_trip.is_none()), sent + 1)
        })
    }

    /// Microseconds.
    fn median(&self) -> Option<u64> {
        let mut trips: Vec<_> = self.0.iter().filter_map(|probe| probe.round_trip).collect();
        trips.sort_unstable();
        let median = trips.get(trips.len() / 2)?;
        Some(u64::try_from(median.as_micros()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// Probes of both sizes, a letter for each round: `+` answered, `s` the small one alone, `-`
    /// neither, `h` neither, but one of the peer's came.
    fn record(rounds: &str) -> (Record, Instant) {
        let (mut record, mut now) = (Record::default(), Instant::now());
        for (n, outcome) in rounds.chars().enumerate() {
            now += INTERVAL;
            let sequence = n as u32;
            let trip = Duration::from_micros(100 + n as u64);
            record.sent(Size::Small, sequence);
            record.sent(Size::Full, sequence);
            if "+s".contains(outcome) {
                record.answered(Size::Small, sequence, trip, now);
            }
            if outcome == '+' {
                record.answered(Size::Full, sequence, trip, now);
            }
            if outcome == 'h' {
                record.heard(now);
            }
        }
        (record, now)
    }

    #[test]
    fn probes_say_how_the_path_is() {
        for (rounds, expected) in [
            ("", Reachable::Unknown),
            ("---", Reachable::Unknown),
            ("----", Reachable::Silent),
            ("hhhh", Reachable::OneWay),
            ("+", Reachable::Yes),
            ("++--", Reachable::Yes),
            ("++----", Reachable::No),
            ("++hhhh", Reachable::OneWay),
            ("++----+", Reachable::Lossy),
            ("+ssss", Reachable::SmallOnly),
            ("+sss+", Reachable::Yes),
            ("-+-+-++++++++++++++++", Reachable::Lossy),
            ("-+-+-+++++++++++++++++++++", Reachable::Yes),
        ] {
            let (record, now) = record(rounds);
            let reach = record.reach(String::new(), now, INTERVAL);
            assert_eq!(reach.state, expected, "{rounds}: {reach:?}");
        }
    }

    #[test]
    fn losses_and_the_median_are_of_those_remembered() {
        let (record, now) = record("-----+++s++++++++++++++++");
        let reach = record.reach("10.1.2.0/24".to_owned(), now, INTERVAL);
        assert_eq!((reach.sent, reach.lost), (21, 1));
        assert_eq!((reach.full_sent, reach.full_lost), (21, 2));
        assert_eq!(reach.round_trip_us, Some(115));
    }

    #[test]
    fn an_answer_to_nothing_is_none() {
        let mut record = Record::default();
        record.answered(Size::Small, 9, INTERVAL, Instant::now());
        assert!(!record.answered && record.heard.is_none());
    }
}
