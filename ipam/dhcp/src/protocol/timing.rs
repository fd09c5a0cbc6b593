//! When messages are sent again, and when a lease is renewed.

use std::iter;
use std::time::Duration;

/// How long servers are waited for; the daemon's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// For the answer to a request: `-timeout`.
    pub(crate) answer: Duration,
    /// Between two messages at most: `-resendmax`.
    pub(crate) longest_pause: Duration,
    /// For a lease altogether: `-resendtimeout`.
    pub(crate) give_up: Duration,
}

/// The reference daemon's first pauses: a link that has just come up may lose something.
const QUICK_PAUSES: usize = 4;
const QUICK_PAUSE: Duration = Duration::from_secs(2);
/// From here on they double (RFC 2131, section 4.1).
const FIRST_PAUSE: Duration = Duration::from_secs(4);
/// By so much, at most, a pause is longer or shorter, so that clients that began together do not
/// go on together.
const FUZZ: Duration = Duration::from_secs(1);
/// RFC 2131, section 4.4.5: between two renewals of one lease.
const SHORTEST_RENEWAL_PAUSE: Duration = Duration::from_secs(60);

impl Timing {
    /// The pauses after each message of one exchange, without end.
    pub(crate) fn pauses(self) -> impl Iterator<Item = Duration> {
        let quick = iter::repeat_n(QUICK_PAUSE, QUICK_PAUSES);
        let doubled = iter::successors(Some(FIRST_PAUSE), move |pause| {
            Some((*pause * 2).min(self.longest_pause.max(FIRST_PAUSE)))
        });
        quick.chain(doubled).map(move |pause| {
            let pause = pause.min(self.longest_pause);
            let fuzz = FUZZ.min(pause / 2);
            pause - fuzz + (fuzz * 2).mul_f64(fastrand::f64())
        })
    }
}

/// The times of a lease, counted from when it was asked for (RFC 2131, section 4.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// T1: from here on its server is asked.
    pub(crate) renew: Duration,
    /// T2: from here on any server is asked.
    pub(crate) rebind: Duration,
    /// The address is somebody else's from here on.
    pub(crate) end: Duration,
}

/// What a lease needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its server is asked.
    Renew,
    /// Any server is asked.
    Rebind,
    /// It is over.
    End,
}

impl Times {
    /// From what a server says in seconds; `None` for a lease without end. Renewal times that
    /// are not in order are not the server's to choose.
    pub(crate) fn new(lease: u32, renew: Option<u32>, rebind: Option<u32>) -> Option<Self> {
        const FOREVER: u32 = u32::MAX;
        if lease == FOREVER {
            return None;
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let end = seconds(lease);
        let rebind = rebind.map(seconds).filter(|rebind| *rebind < end);
        let rebind = rebind.unwrap_or(end.mul_f64(0.875));
        let renew = renew.map(seconds).filter(|renew| *renew < rebind);
        let renew = renew.unwrap_or((end / 2).min(rebind));
        Some(Self { renew, rebind, end })
    }

    /// The same, renewed a little earlier, so that leases that began together are not renewed
    /// together.
    pub(crate) fn fuzzed(self) -> Self {
        let renew = self.renew.mul_f64(1.0 - fastrand::f64() / 20.0);
        Self { renew, ..self }
    }

    /// What a lease of this age needs, and at which age. `tried`: at which age a server was asked
    /// in vain.
    pub(crate) fn next(&self, age: Duration, tried: Option<Duration>) -> (Duration, Step) {
        let again = |begin: Duration, end: Duration| match tried.filter(|tried| *tried >= begin) {
            None => begin,
            Some(tried) => tried + pause_until(begin, end, tried),
        };
        let renew = again(self.renew, self.rebind);
        if age < self.rebind && renew < self.rebind {
            return (renew, Step::Renew);
        }
        let rebind = again(self.rebind, self.end);
        match age < self.end && rebind < self.end {
            true => (rebind, Step::Rebind),
            false => (self.end, Step::End),
        }
    }
}

/// Half of what is left, but not below a minute (RFC 2131, section 4.4.5); a lease of minutes or
/// seconds, which the RFC does not think of, is tried for three times at least.
fn pause_until(begin: Duration, end: Duration, now: Duration) -> Duration {
    let shortest = SHORTEST_RENEWAL_PAUSE.min((end - begin) / 4);
    (end.saturating_sub(now) / 2).max(shortest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const USUAL: Timing = Timing {
        answer: Duration::from_secs(10),
        longest_pause: Duration::from_secs(62),
        give_up: Duration::from_secs(208),
    };

    #[test]
    fn pauses_are_four_quick_ones_and_then_double() {
        let centres = [2, 2, 2, 2, 4, 8, 16, 32, 62, 62].map(Duration::from_secs);
        for (pause, centre) in USUAL.pauses().zip(centres) {
            assert!(pause.abs_diff(centre) <= SECOND, "{pause:?} for {centre:?}");
        }
        let hasty = Timing {
            longest_pause: SECOND / 4,
            ..USUAL
        };
        for pause in hasty.pauses().take(20) {
            assert!(pause >= SECOND / 8 && pause <= SECOND * 3 / 8, "{pause:?}");
        }
    }

    #[test]
    fn times_are_the_server_s_where_they_are_in_order() {
        let times = |lease, renew, rebind| {
            let times = Times::new(lease, renew, rebind)?;
            Some([times.renew, times.rebind, times.end].map(|time| time.as_secs()))
        };
        assert_eq!(times(u32::MAX, Some(1), None), None);
        assert_eq!(times(80, None, None), Some([40, 70, 80]));
        assert_eq!(times(80, Some(10), Some(20)), Some([10, 20, 80]));
        assert_eq!(times(80, Some(90), Some(80)), Some([40, 70, 80]));
        assert_eq!(times(80, Some(30), Some(20)), Some([20, 20, 80]));
        assert_eq!(times(0, None, None), Some([0, 0, 0]));
    }

    #[test]
    fn a_lease_is_renewed_then_rebound_then_over() {
        let times = Times::new(3600, None, None).unwrap();
        let steps = |mut tried: Option<Duration>| {
            let mut steps = Vec::new();
            loop {
                let age = tried.unwrap_or_default();
                let (at, step) = times.next(age, tried);
                steps.push((at.as_secs(), step));
                match step {
                    Step::End => return steps,
                    _ => tried = Some(at),
                }
            }
        };
        use Step::{End, Rebind, Renew};
        assert_eq!(
            steps(None),
            [
                (1800, Renew),
                (2475, Renew),
                (2812, Renew),
                (2981, Renew),
                (3065, Renew),
                (3125, Renew),
                (3150, Rebind),
                (3375, Rebind),
                (3487, Rebind),
                (3547, Rebind),
                (3600, End)
            ]
        );
        // After a pause of the daemon's.
        assert_eq!(times.next(SECOND * 3000, None), (SECOND * 1800, Renew));
        assert_eq!(times.next(SECOND * 3300, None), (SECOND * 3150, Rebind));
        assert_eq!(times.next(SECOND * 4000, None), (SECOND * 3600, End));
    }

    proptest! {
        #[test]
        fn every_lease_comes_to_its_end(lease in 0_u32..100_000, renew: Option<u32>, rebind: Option<u32>) {
            let times = Times::new(lease, renew, rebind).unwrap().fuzzed();
            let (mut tried, mut count) = (None, 0);
            loop {
                let (at, step) = times.next(tried.unwrap_or_default(), tried);
                prop_assert!(at <= times.end && tried.is_none_or(|tried| tried < at || step == Step::End));
                if step == Step::End {
                    break;
                }
                tried = Some(at);
                count += 1;
                prop_assert!(count < 200);
            }
        }
    }
}
