//! One limit, and the numbers of its token bucket. Pure.

use std::time::Duration;

use kernel::qdisc::Tbf;

use crate::error::Error;

/// Bits of a burst that is as good as none. The annotations of Kubernetes have no burst, and
/// runtimes write this number, the largest of 32 bits with a sign, in its place.
const UNLIMITED: u64 = i32::MAX as u64;

/// What such a bucket holds instead: what flows in so long a time,
const SHORT: Duration = Duration::from_millis(100);
/// and at least a frame of the largest MTU, or a packet that is cut into frames later, both of
/// 64 KiB without headers. What is larger than the bucket is cut, or dropped, by the filter.
const SMALLEST: u32 = 66_000;

/// The reference plugin's latency.
const LATENCY: f64 = 0.025;
/// Ticks of the packet scheduler in a microsecond, `/proc/net/psched`: one is 64 ns.
const TICKS: f64 = 15.625;

/// A rate that is not exceeded for longer than a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Bytes a second, not 0.
    rate: u64,
    /// Bytes, not 0.
    burst: u32,
    /// Nobody told a burst.
    is_unlimited: bool,
}

impl Limit {
    /// The limit that a configuration tells in bits; `None` where it tells none.
    ///
    /// # Errors
    /// One without the other; less than a byte; more than the kernel can be told.
    pub(crate) fn new(
        direction: &'static str,
        rate: u64,
        burst: u64,
    ) -> Result<Option<Self>, Error> {
        match (rate, burst) {
            (0, 0) => return Ok(None),
            (0, _) => return Err(Error::NoRate),
            (_, 0) => return Err(Error::NoBurst),
            _ => {}
        }
        let Some(bytes) = u32::try_from(burst / 8).ok().filter(|it| *it < u32::MAX) else {
            return Err(Error::Burst);
        };
        if rate < 8 || bytes == 0 {
            return Err(Error::LessThanAByte {
                direction,
                rate,
                burst,
            });
        }
        Ok(Some(Self {
            rate: rate / 8,
            burst: bytes,
            is_unlimited: burst >= UNLIMITED,
        }))
    }

    /// The bucket: the reference plugin's, but for a burst that nobody told.
    pub(crate) fn bucket(&self, latency: Duration) -> Tbf {
        Tbf::new(self.rate, self.held(), latency)
    }

    fn held(&self) -> u32 {
        if !self.is_unlimited {
            return self.burst;
        }
        let short = u128::from(self.rate) * SHORT.as_millis() / 1_000;
        let short = u32::try_from(short).unwrap_or(u32::MAX);
        short.max(SMALLEST).min(self.burst)
    }

    /// The bucket that the reference plugin makes: whatever does not fit into 32 bits loses its
    /// upper ones.
    pub(crate) fn reference(&self) -> Tbf {
        let low = |number: f64| number as u64 as u32;
        let microseconds = low(f64::from(self.burst) * 1e6 / self.rate as f64);
        Tbf {
            rate: self.rate,
            buffer: low(f64::from(microseconds) * TICKS),
            limit: low(self.rate as f64 * LATENCY).wrapping_add(self.burst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: Duration = Duration::from_millis(25);

    fn limit(rate: u64, burst: u64) -> Limit {
        Limit::new("ingress", rate, burst).unwrap().unwrap()
    }

    #[test]
    fn bursts_that_somebody_told_are_the_reference_plugins() {
        for (rate, burst) in [
            (8_000_000, 800_000),
            (16_000_000, 1_600_000),
            (1_234_567, 7_654_321),
            (800_000, 16_000_000),
            (8, 8),
            (40_000_000_000, 8_000_000),
            (1_000_000_000, UNLIMITED - 1),
        ] {
            let limit = limit(rate, burst);
            assert_eq!(limit.bucket(REFERENCE), limit.reference(), "{rate} {burst}");
        }
        let known = limit(8_000_000, 800_000).reference();
        assert_eq!((known.buffer, known.limit), (1_562_500, 125_000));
    }

    #[test]
    fn a_burst_that_nobody_told_is_short_and_holds_a_packet() {
        for (rate, held) in [
            // 66,000 bytes take 0.5 s.
            (1_000_000, 66_000),
            (10_000_000, 125_000),
            (1_000_000_000, 12_500_000),
        ] {
            for burst in [UNLIMITED, 2 * UNLIMITED] {
                assert_eq!(limit(rate, burst).held(), held, "{rate}");
            }
        }
        // Never more than was told.
        let told = limit(1_000_000_000_000, UNLIMITED);
        assert_eq!(u64::from(told.held()), UNLIMITED / 8);
    }

    #[test]
    fn the_reference_plugin_loses_upper_bits() {
        // 1 Mbit/s: 2,147 s are 33,554,431,875 ticks.
        let tbf = limit(1_000_000, UNLIMITED).reference();
        assert_eq!(u64::from(tbf.buffer), 33_554_431_875 % (1 << 32));
        assert_eq!(tbf.limit, 3_125 + 268_435_455);
    }

    #[test]
    fn impossible_limits_are_refused_in_the_words_of_the_reference_plugin() {
        for (rate, burst, text) in [
            (8000, 0, "if rate is set, burst must also be set"),
            (0, 8000, "if burst is set, rate must also be set"),
            (8000, 34_359_738_360, "burst cannot be more than 4GB"),
            (
                7,
                800,
                "ingressRate 7 and ingressBurst 800: each must be at least 8, which is one byte",
            ),
            (
                8000,
                7,
                "ingressRate 8000 and ingressBurst 7: each must be at least 8, which is one byte",
            ),
        ] {
            let error = Limit::new("ingress", rate, burst).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        assert!(Limit::new("ingress", 8_000_000_000, 34_359_738_359).is_ok());
    }
}
