//! What the whole machine's processors have worked.

use anyhow::{Context, Result};

/// Of the numbers in /proc/stat, whatever the kernel's own clock (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
/// user, nice, system, idle, iowait, irq, softirq: all but the two of rest. Later ones are the
/// host's (steal), or are in user already (guest).
const WORK: [bool; 7] = [true, true, true, false, false, true, true];

/// Seconds of all processors since the machine's start.
///
/// # Errors
/// /proc/stat cannot be read or is none.
pub(super) fn used() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    seconds(&stat).context("understand /proc/stat")
}

fn seconds(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let numbers: Vec<f64> = line
        .split_whitespace()
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let work = numbers.iter().zip(WORK).filter(|(_, is_work)| *is_work);
    (numbers.len() >= WORK.len()).then(|| work.map(|(n, _)| n).sum::<f64>() / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn rest_is_no_work() {
        for (stat, expected) in [
            (
                "cpu  100 200 300 9000 9000 10 20 5 7 7\ncpu0 1 1\n",
                Some(6.3),
            ),
            ("cpu  1 2 3\n", None),
            ("cpu  1 2 3 4 5 6 x\n", None),
            ("", None),
        ] {
            assert_eq!(seconds(stat), expected, "{stat}");
        }
    }
}
