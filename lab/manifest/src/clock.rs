//! Clocks of a pod's own. Kubernetes has no field for them: annotations of the lab's say so.

use std::collections::BTreeMap;

/// What annotations of the lab's begin with.
const PREFIX: &str = "lab.podwire/";
/// Seconds for which the machine is to have run, beside those that it has.
const BOOTTIME: &str = "lab.podwire/boottime-offset";
/// The same of the clock that stands still while the machine sleeps.
const MONOTONIC: &str = "lab.podwire/monotonic-offset";

/// The kernel has no clock later than 4,611,686,018 s (half of KTIME_SEC_MAX, kernel/time/namespace.c): this leaves the
/// machine nineteen years.
const LATEST: i64 = 4_000_000_000;

/// How much later it is for a pod than for the machine, in seconds; earlier where it is less than 0
/// (time_namespaces(7)). The time of day is everybody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffsets {
    /// CLOCK_BOOTTIME, and what `uptime` says.
    pub boottime: i64,
    /// CLOCK_MONOTONIC.
    pub monotonic: i64,
}

impl ClockOffsets {
    /// What a pod's annotations say; nothing where they say nothing.
    ///
    /// # Errors
    /// What is wrong, by annotation.
    pub fn of(
        annotations: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, BTreeMap<&str, String>> {
        let mut wrong = BTreeMap::new();
        let mut offsets = Self::default();
        let mut said = false;
        for (name, value) in annotations
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
        {
            said = true;
            let offset = match name.as_str() {
                BOOTTIME => &mut offsets.boottime,
                MONOTONIC => &mut offsets.monotonic,
                _ => {
                    let message =
                        format!("the lab has no such annotation; it has: {BOOTTIME}, {MONOTONIC}");
                    wrong.insert(name.as_str(), message);
                    continue;
                }
            };
            match value.parse() {
                Ok(seconds @ ..=LATEST) => *offset = seconds,
                Ok(seconds) => {
                    let message = format!("{seconds} s is too late: give at most {LATEST}");
                    wrong.insert(name.as_str(), message);
                }
                Err(_) => {
                    let message = format!(
                        "{value:?} is no number of seconds: give one as \"3600\" or \"-60\""
                    );
                    wrong.insert(name.as_str(), message);
                }
            }
        }
        match wrong.is_empty() {
            true => Ok(said.then_some(offsets)),
            false => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_of_others_say_nothing() {
        let of = |all: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
            let all = all.iter().map(own).collect();
            ClockOffsets::of(&all).map_err(|wrong| wrong.len())
        };
        assert_eq!(of(&[("note", "x"), ("boottime-offset", "1")]), Ok(None));
        let boottime = ClockOffsets {
            boottime: -5,
            monotonic: 0,
        };
        assert_eq!(of(&[(BOOTTIME, "-5")]), Ok(Some(boottime)));
        assert_eq!(of(&[(MONOTONIC, "0")]), Ok(Some(ClockOffsets::default())));
        let latest = LATEST.to_string();
        assert!(of(&[(MONOTONIC, &latest)]).is_ok());
        for late in ["4000000001", "9223372036854775807"] {
            assert_eq!(of(&[(MONOTONIC, late)]), Err(1), "{late}");
        }
        assert_eq!(
            of(&[(BOOTTIME, "1h"), (MONOTONIC, ""), ("lab.podwire/a", "1")]),
            Err(3)
        );
    }
}
