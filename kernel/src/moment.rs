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
    /// Since then, in milliseconds, those of suspension included: `CLOCK_BOOTTIME`.
    ms: u64,
}

impl Moment {
    /// This one.
    ///
    /// # Errors
    /// The kernel does not tell its boot: there is no `/proc`.
    pub fn now() -> io::Result<Self> {
        let boot = std::fs::read_to_string(BOOT_ID)?.trim().to_owned();
        let since = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { boot, ms })
    }

    /// The moment that is earlier by `by`, but not before the boot.
    #[must_use]
    pub fn earlier(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self {
            ms: self.ms.saturating_sub(by),
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
        let later = Moment {
            ms: two.ms + 1,
            ..two.clone()
        };
        assert_eq!(later.until(&two), None);
        let other = Moment {
            boot: "another".into(),
            ..one
        };
        assert_eq!(other.until(&two), None);
        assert!(!other.is_of_the_boot_of(&two));
    }
}
