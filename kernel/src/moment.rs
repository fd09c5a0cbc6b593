//! Moments that outlive a process and that no clock's setting moves: which boot of the machine, and
//! how long into it. No capabilities needed.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A moment in the machine's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which boot, by the kernel's random number.
    boot: String,
    /// Since then, in milliseconds.
    ms: u64,
}

impl Moment {
    /// This one; the time of suspensions counts: `CLOCK_BOOTTIME`.
    ///
    /// # Errors
    /// The kernel does not tell its boot: there is no `/proc`.
    pub fn now() -> io::Result<Self> {
        Self::by(ClockId::CLOCK_BOOTTIME)
    }

    /// This one; only the time that the machine was awake counts: `CLOCK_MONOTONIC`, as with
    /// [`std::time::Instant`]. Not to be compared with [`Self::now`].
    ///
    /// # Errors
    /// As [`Self::now`].
    pub fn awake() -> io::Result<Self> {
        Self::by(ClockId::CLOCK_MONOTONIC)
    }

    fn by(clock: ClockId) -> io::Result<Self> {
        let boot = std::fs::read_to_string(BOOT_ID)?.trim().to_owned();
        let since = Duration::from(clock_gettime(clock)?);
        Ok(Self {
            boot,
            ms: milliseconds(since),
        })
    }

    /// The moment that is earlier by `by`, but not before the boot.
    #[must_use]
    pub fn earlier(self, by: Duration) -> Self {
        Self {
            ms: self.ms.saturating_sub(milliseconds(by)),
            ..self
        }
    }

    /// The moment that is later by `by`.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        Self {
            ms: self.ms.saturating_add(milliseconds(by)),
            ..self
        }
    }

    /// Whether both are of one boot: of what was there before another one, nothing is any more.
    pub fn is_of_the_boot_of(&self, other: &Self) -> bool {
        self.boot == other.boot
    }

    /// How much later `later` is; `None` where that cannot be told, because it is of another boot,
    /// or is earlier, as one of another time namespace may be.
    pub fn until(&self, later: &Self) -> Option<Duration> {
        let ms = later.ms.checked_sub(self.ms)?;
        self.is_of_the_boot_of(later)
            .then_some(Duration::from_millis(ms))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_within_a_boot() {
        let (one, two) = (Moment::now().unwrap(), Moment::now().unwrap());
        assert!(one.until(&two).is_some());
        let second = Duration::from_secs(1);
        let before = two.clone().earlier(second);
        assert!(before.until(&two).unwrap() <= second);
        assert_eq!(two.clone().earlier(Duration::MAX).ms, 0);
        let later = two.clone().later(second);
        assert_eq!(two.until(&later), Some(second));
        assert_eq!(later.until(&two), None);
        assert_eq!(later.later(Duration::MAX).ms, u64::MAX);
        let other = Moment {
            boot: "another".into(),
            ..one
        };
        assert_eq!(other.until(&two), None);
        assert!(!other.is_of_the_boot_of(&two));
    }
}
