//! The token bucket filter: its numbers, and how the kernel wants them. Pure.

use std::fmt;
use std::time::Duration;

use netlink_packet_core::{DefaultNla, Nla, NlasIterator};
use netlink_packet_route::tc::TcOption;

/// Attributes of linux/pkt_sched.h.
const PARAMETERS: u16 = 1;
const RATE64: u16 = 4;

/// `struct tc_tbf_qopt`: two `tc_ratespec` of 12 bytes (rate, peak rate), then limit, buffer, MTU.
const PARAMETERS_LENGTH: usize = 36;
/// The 32-bit rate is the last field of the first `tc_ratespec`.
const RATE: usize = 8;
const LIMIT: usize = 24;
const BUFFER: usize = 28;

/// How long a tick of the packet scheduler is; `/proc/net/psched` says the same (64 = 0x40), and
/// a microsecond is 15.625 ticks (`PSCHED_SHIFT` of net/pkt_sched.h).
pub(super) const TICK_NANOSECONDS: u64 = 64;

/// What a token bucket filter lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tbf {
    /// Bytes per second, in the long run.
    pub rate: u64,
    /// Size of the bucket, as time to fill it: ticks of 64 ns.
    pub buffer: u32,
    /// How many bytes may wait before packets are dropped.
    pub limit: u32,
}

impl Tbf {
    /// A filter of `rate` bytes per second whose bucket holds `burst` bytes, and where nothing
    /// beyond the burst waits longer than `latency`.
    ///
    /// The numbers are those of the reference's bandwidth plugin: whole microseconds to fill the
    /// bucket, then ticks; limits that do not fit are the largest that do. A rate of 0 gives a
    /// bucket that holds nothing, which the kernel refuses.
    pub fn new(rate: u64, burst: u32, latency: Duration) -> Self {
        let microseconds = match rate {
            0 => 0,
            rate => u64::from(burst) * 1_000_000 / rate,
        };
        let buffer = microseconds * 1_000 / TICK_NANOSECONDS;
        let waiting = u128::from(rate) * latency.as_nanos() / 1_000_000_000;
        let limit = waiting + u128::from(burst);
        Self {
            rate,
            buffer: buffer.try_into().unwrap_or(u32::MAX),
            limit: limit.try_into().unwrap_or(u32::MAX),
        }
    }

    /// How many bytes the bucket holds; as the buffer counts in ticks, it may be a few less than
    /// were asked for.
    pub fn burst(&self) -> u64 {
        let bytes = u128::from(self.rate) * self.fill_time().as_nanos() / 1_000_000_000;
        // 64 bits of rate times at most 275 s; what the kernel takes fits.
        bytes.try_into().unwrap_or(u64::MAX)
    }

    /// How long a byte waits at most when the bucket is empty.
    pub fn latency(&self) -> Duration {
        let waiting = u64::from(self.limit).saturating_sub(self.burst());
        let nanoseconds = u128::from(waiting) * 1_000_000_000 / u128::from(self.rate.max(1));
        Duration::from_nanos(nanoseconds.try_into().unwrap_or(u64::MAX))
    }

    fn fill_time(&self) -> Duration {
        Duration::from_nanos(u64::from(self.buffer) * TICK_NANOSECONDS)
    }

    /// The attributes inside TCA_OPTIONS.
    pub(super) fn options(&self) -> Vec<TcOption> {
        let mut parameters = vec![0; PARAMETERS_LENGTH];
        let low = u32::try_from(self.rate).unwrap_or(u32::MAX);
        for (place, value) in [(RATE, low), (LIMIT, self.limit), (BUFFER, self.buffer)] {
            parameters[place..place + 4].copy_from_slice(&value.to_ne_bytes());
        }
        let mut options = vec![option(PARAMETERS, parameters)];
        if self.rate > u64::from(u32::MAX) {
            options.push(option(RATE64, self.rate.to_ne_bytes().to_vec()));
        }
        options
    }

    /// Reads the whole TCA_OPTIONS, which is how the message layer gives those of a kind that it
    /// does not know.
    pub(super) fn from_options(options: &[TcOption]) -> Option<Self> {
        let [TcOption::Other(nested)] = options else {
            return None;
        };
        let mut bytes = vec![0; nested.value_len()];
        nested.emit_value(&mut bytes);
        let (mut parameters, mut rate64) = (None, None);
        for attribute in NlasIterator::new(bytes.as_slice()).map_while(|attribute| attribute.ok()) {
            match attribute.kind() {
                PARAMETERS => parameters = Some(attribute.value().to_vec()),
                RATE64 => rate64 = attribute.value().try_into().ok().map(u64::from_ne_bytes),
                _ => {}
            }
        }
        let parameters = parameters?;
        let number = |place: usize| {
            let bytes = parameters.get(place..place + 4)?.try_into().ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        Some(Self {
            rate: rate64.or(number(RATE).map(u64::from))?,
            buffer: number(BUFFER)?,
            limit: number(LIMIT)?,
        })
    }
}

fn option(kind: u16, value: Vec<u8>) -> TcOption {
    TcOption::Other(DefaultNla::new(kind, value))
}

/// As `tc` prints it: `rate 8Mbit burst 100000b lat 25ms`. (`tc` rounds the burst down to what
/// flows in whole microseconds.)
impl fmt::Display for Tbf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = Bits(u128::from(self.rate) * 8);
        let latency = Rounded(self.latency());
        write!(f, "rate {rate} burst {}b lat {latency}", self.burst())
    }
}

/// Bits per second, in the largest unit that leaves a whole number, or at least a thousand.
struct Bits(u128);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut number, mut units) = (self.0, ["", "K", "M", "G", "T"].into_iter());
        let mut unit = units.next().unwrap_or_default();
        for larger in units {
            if number < 1_000 || (number % 1_000 != 0 && number < 1_000_000) {
                break;
            }
            (number, unit) = (number / 1_000, larger);
        }
        write!(f, "{number}{unit}bit")
    }
}

/// Seconds, milliseconds or microseconds, three digits (C's `%.3g`).
pub(super) struct Rounded(pub(super) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0.as_micros();
        let (number, unit) = match microseconds {
            0..1_000 => return write!(f, "{microseconds}us"),
            1_000..1_000_000 => (microseconds as f64 / 1e3, "ms"),
            _ => (microseconds as f64 / 1e6, "s"),
        };
        let decimals = match number {
            0.0..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        let scale = 10f64.powi(decimals);
        write!(f, "{}{unit}", (number * scale).round() / scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Duration = Duration::from_millis(25);

    #[test]
    fn known_answers() {
        let table = [
            // 8 Mbit/s, burst 800,000 bits.
            (1_000_000, 100_000, 1_562_500, 125_000),
            // 16 Mbit/s, burst 1,600,000 bits.
            (2_000_000, 200_000, 1_562_500, 250_000),
            // 1,000,001 and 12,345,679 bits, which give whole bytes and microseconds only.
            (125_000, 1_543_209, 192_901_125, 1_546_334),
            // Not even a byte a second, and no bucket.
            (0, 100, 0, 100),
            (1_000, 0, 0, 25),
            // Above 32 bits: 80 Gbit/s.
            (10_000_000_000, 1_000_000, 1_562, 251_000_000),
            // What does not fit.
            (1, u32::MAX, u32::MAX, u32::MAX),
        ];
        for (rate, burst, buffer, limit) in table {
            let tbf = Tbf::new(rate, burst, LATENCY);
            let expected = Tbf {
                rate,
                buffer,
                limit,
            };
            assert_eq!(tbf, expected, "{rate} {burst}");
        }
    }

    #[test]
    fn bytes_as_the_kernel_wants_them() {
        let parameters = |tbf: Tbf| match &tbf.options()[0] {
            TcOption::Other(nla) => {
                let mut bytes = vec![0; nla.value_len()];
                nla.emit_value(&mut bytes);
                assert_eq!((nla.kind(), bytes.len()), (1, 36));
                bytes
            }
            other => panic!("{other:?}"),
        };
        let tbf = Tbf::new(1_000_000, 100_000, LATENCY);
        let mut expected = [0u32; 9];
        expected[2] = 1_000_000;
        expected[6] = 125_000;
        expected[7] = 1_562_500;
        let expected: Vec<u8> = expected
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert_eq!(parameters(tbf), expected);
        assert_eq!(tbf.options().len(), 1);
        let fast = Tbf::new(10_000_000_000, 1_000_000, LATENCY);
        assert_eq!(parameters(fast)[8..12], [0xff; 4]);
        assert_eq!(fast.options().len(), 2);
    }

    #[test]
    fn times_have_three_digits() {
        let table = [
            (999, "999us"),
            (1_000, "1ms"),
            (24_960, "25ms"),
            (24_860, "24.9ms"),
            (1_236_000, "1.24s"),
            (123_456, "123ms"),
        ];
        for (microseconds, text) in table {
            assert_eq!(
                Rounded(Duration::from_micros(microseconds)).to_string(),
                text
            );
        }
    }

    #[test]
    fn printed_as_tc_prints() {
        let table = [
            (1_000_000, 100_000, "rate 8Mbit burst 100000b lat 25ms"),
            (187_500, 2_000, "rate 1500Kbit burst 1999b lat 25ms"),
            (125, 10, "rate 1Kbit burst 10b lat 24ms"),
            (
                10_000_000_000,
                1_000_000,
                "rate 80Gbit burst 999680b lat 25ms",
            ),
        ];
        for (rate, burst, text) in table {
            assert_eq!(Tbf::new(rate, burst, LATENCY).to_string(), text);
        }
    }
}
