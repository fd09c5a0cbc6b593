//! The network emulator: its numbers, and how the kernel wants them. Pure.

use std::fmt;
use std::time::Duration;

use netlink_packet_core::Nla;
use netlink_packet_route::tc::TcOption;

use super::tbf::{Rounded, TICK_NANOSECONDS};

/// `struct tc_netem_qopt` of linux/pkt_sched.h: latency, limit, loss, gap, duplicate, jitter.
const LENGTH: usize = 24;
const LATENCY: usize = 0;
const LIMIT: usize = 4;
const LOSS: usize = 8;

/// How many packets may be on their way: more than a link of 10 Gbit/s holds in 10 ms, so that a
/// delay costs no packets there.
const PACKETS: u32 = 10_000;

/// What the network emulator does to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Netem {
    /// How long each packet waits: ticks of 64 ns.
    latency: u32,
    /// How many packets may wait before others are dropped.
    limit: u32,
    /// How many packets are lost: parts of 2³²-1.
    loss: u32,
}

impl Netem {
    /// Delays every packet by `delay`, 274 s at most, and loses `loss` of them, a number from 0 to 1.
    pub fn new(delay: Duration, loss: f64) -> Self {
        let ticks = delay.as_nanos() / u128::from(TICK_NANOSECONDS);
        let parts = loss.clamp(0.0, 1.0) * f64::from(u32::MAX);
        Self {
            latency: ticks.try_into().unwrap_or(u32::MAX),
            limit: PACKETS,
            // Within bounds, as it was clamped.
            loss: parts.round() as u32,
        }
    }

    /// How long each packet waits.
    pub fn delay(&self) -> Duration {
        Duration::from_nanos(u64::from(self.latency) * TICK_NANOSECONDS)
    }

    /// How many packets are lost, from 0 to 1.
    pub fn loss(&self) -> f64 {
        f64::from(self.loss) / f64::from(u32::MAX)
    }

    /// The value of TCA_OPTIONS: the structure itself, and no attributes.
    pub(super) fn options(&self) -> Vec<u8> {
        let mut options = vec![0; LENGTH];
        for (place, value) in [
            (LATENCY, self.latency),
            (LIMIT, self.limit),
            (LOSS, self.loss),
        ] {
            options[place..place + 4].copy_from_slice(&value.to_ne_bytes());
        }
        options
    }

    /// Reads the whole TCA_OPTIONS, which is how the message layer gives those of a kind that it
    /// does not know.
    pub(super) fn from_options(options: &[TcOption]) -> Option<Self> {
        let [TcOption::Other(whole)] = options else {
            return None;
        };
        let mut bytes = vec![0; whole.value_len()];
        whole.emit_value(&mut bytes);
        let number = |place: usize| {
            let bytes = bytes.get(place..place + 4)?.try_into().ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        Some(Self {
            latency: number(LATENCY)?,
            limit: number(LIMIT)?,
            loss: number(LOSS)?,
        })
    }
}

/// As `tc` prints it: `limit 10000 delay 50ms loss 5%`.
impl fmt::Display for Netem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit {}", self.limit)?;
        if self.latency > 0 {
            write!(f, " delay {}", Rounded(self.delay()))?;
        }
        if self.loss > 0 {
            // Six digits (C's `%g`) are more than anybody asks for.
            let percent = (self.loss() * 1e6).round() / 1e4;
            write!(f, " loss {percent}%")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;

    use super::*;

    #[test]
    fn known_answers() {
        let milliseconds = Duration::from_millis;
        let table = [
            (milliseconds(50), 0.05, 781_250, 214_748_365),
            (Duration::ZERO, 1.0, 0, u32::MAX),
            (milliseconds(1), 0.0, 15_625, 0),
            // What does not fit.
            (Duration::from_secs(1_000), 2.0, u32::MAX, u32::MAX),
        ];
        for (delay, loss, latency, parts) in table {
            let netem = Netem::new(delay, loss);
            assert_eq!((netem.latency, netem.loss), (latency, parts), "{delay:?}");
        }
    }

    #[test]
    fn bytes_as_the_kernel_wants_them_and_gives_them() {
        let netem = Netem::new(Duration::from_millis(50), 0.05);
        let expected: Vec<u8> = [781_250, PACKETS, 214_748_365, 0, 0, 0]
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        assert_eq!(netem.options(), expected);
        let answer = [TcOption::Other(DefaultNla::new(2, expected))];
        assert_eq!(Netem::from_options(&answer), Some(netem));
    }

    #[test]
    fn printed_as_tc_prints() {
        let printed = |delay, loss| Netem::new(Duration::from_millis(delay), loss).to_string();
        assert_eq!(printed(50, 0.05), "limit 10000 delay 50ms loss 5%");
        assert_eq!(printed(0, 0.125), "limit 10000 loss 12.5%");
        assert_eq!(printed(1_500, 0.0), "limit 10000 delay 1.5s");
    }
}
