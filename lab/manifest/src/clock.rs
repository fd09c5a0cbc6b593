//! Clocks of a pod's own.

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

/// One of them, as it is written.
pub(crate) fn seconds(value: &str) -> Result<i64, String> {
    match value.parse() {
        Ok(seconds @ ..=LATEST) => Ok(seconds),
        Ok(seconds) => Err(format!("{seconds} s is too late: give at most {LATEST}")),
        Err(_) => Err(format!(
            "{value:?} is no number of seconds: give one as \"3600\" or \"-60\""
        )),
    }
}
