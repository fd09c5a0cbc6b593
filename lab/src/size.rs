//! Amounts on the command line.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use manifest::LEAST_MEMORY;

use crate::topology::MOST_NODES;

/// Bytes: `1048576`, `512K`, `64M`, `2G`; also written `64Mi` and `64MiB`. The units are powers of
/// 1024, as with other container tools.
///
/// # Errors
/// It is in no such form, or is 0.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = number_and_unit(&lower);
    let form = || format!("{text:?} is not a number of bytes: give 67108864, 512K, 64M or 2G");
    let number: u64 = digits.parse().with_context(form)?;
    let factor: u64 = match unit {
        "" | "b" => 1,
        "k" | "ki" | "kb" | "kib" => 1 << 10,
        "m" | "mi" | "mb" | "mib" => 1 << 20,
        "g" | "gi" | "gb" | "gib" => 1 << 30,
        _ => bail!(form()),
    };
    match number.checked_mul(factor) {
        Some(0) | None => bail!("{text:?} is out of range for a number of bytes"),
        Some(bytes) => Ok(bytes),
    }
}

/// What letters follow a number.
fn number_and_unit(text: &str) -> (&str, &str) {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    text.split_at(number.len())
}

/// A pod's memory limit, as [`parse_bytes`].
///
/// # Errors
/// As there; it is less than any pod needs.
pub fn parse_memory_limit(text: &str) -> Result<u64> {
    match parse_bytes(text)? {
        bytes if bytes < LEAST_MEMORY => bail!(
            "{bytes} bytes are too few for a pod: give at least {LEAST_MEMORY}, which is {}M",
            LEAST_MEMORY >> 20
        ),
        bytes => Ok(bytes),
    }
}

/// A pod's number of processes and threads.
///
/// # Errors
/// It is no number, or leaves none for the pod's command.
pub fn parse_pids(text: &str) -> Result<u64> {
    match text.parse() {
        Ok(0 | 1) => bail!("the pod's first process and its command make 2: give 2 or more"),
        Ok(number) => Ok(number),
        Err(_) => bail!("{text:?} is not a number of processes: give 2 or more"),
    }
}

/// How many nodes.
///
/// # Errors
/// It is no number, 0, or more than the underlay has addresses for.
pub fn parse_nodes(text: &str) -> Result<u8> {
    match text.parse() {
        Ok(number) if (1..=MOST_NODES).contains(&number) => Ok(number),
        _ => bail!("{text:?} is not a number of nodes: give 1 to {MOST_NODES}"),
    }
}

/// Whole seconds.
///
/// # Errors
/// It is no such number.
pub fn parse_seconds(text: &str) -> Result<u32> {
    match text.strip_suffix('s').unwrap_or(text).parse() {
        Ok(seconds) => Ok(seconds),
        Err(_) => bail!("{text:?} is not a number of seconds: give 0, 1, 2 and so on"),
    }
}

/// How long something lasts: `3` or `3s`, `500ms`, `2m`.
///
/// # Errors
/// It is in no such form.
pub fn parse_length(text: &str) -> Result<Duration> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text)
        .with_context(|| format!("{text:?} is not a length of time: give 3, 3s, 500ms or 2m"))
}

/// From look to look: whole seconds, up to an hour.
///
/// # Errors
/// It is no such number.
pub fn parse_interval(text: &str) -> Result<u32> {
    match text.strip_suffix('s').unwrap_or(text).parse() {
        Ok(seconds) if (1..=3600).contains(&seconds) => Ok(seconds),
        _ => bail!("{text:?} is not a time from look to look: give 1 to 3600 seconds"),
    }
}

/// Processors, in thousandths: `0.5` is 500.
///
/// # Errors
/// It is no number, or below 0.01, the least that the kernel's quota of 1 ms in 100 ms can say.
pub fn parse_cpus(text: &str) -> Result<u32> {
    let cpus: f64 = text
        .parse()
        .with_context(|| format!("{text:?} is not a number of processors"))?;
    if !(0.01..=4096.0).contains(&cpus) {
        bail!("{text:?} is out of range for a number of processors: give 0.01 to 4096");
    }
    Ok((cpus * 1000.0).round() as u32)
}

/// A lease's length: `5s`, `10m` or `24h`, in whole seconds, as stores count.
///
/// # Errors
/// It is in no such form, no whole number of seconds, or 0.
pub fn parse_lease_ttl(text: &str) -> Result<Duration> {
    let ttl = humantime::parse_duration(text)
        .with_context(|| format!("{text:?} is not a length of time: give 5s, 10m or 24h"))?;
    if ttl.is_zero() || ttl.subsec_nanos() != 0 {
        bail!("{text:?} is not the length of a lease: give whole seconds, 1s or more");
    }
    Ok(ttl)
}

/// From probe to probe of netd's: `1s`, `500ms`.
///
/// # Errors
/// It is in no such form, or less than the 100 ms that are netd's least.
pub fn parse_probe_interval(text: &str) -> Result<Duration> {
    const LEAST: Duration = Duration::from_millis(100);
    match humantime::parse_duration(text) {
        Ok(interval) if interval >= LEAST && interval.subsec_nanos() % 1_000_000 == 0 => {
            Ok(interval)
        }
        _ => bail!(
            "{text:?} is not a time from probe to probe: give 1s, 500ms or the like, 100ms or more"
        ),
    }
}

/// Milliseconds that packets wait: 1 to 60,000.
///
/// # Errors
/// It is no such number.
pub fn parse_delay(text: &str) -> Result<u32> {
    match text.strip_suffix("ms").unwrap_or(text).parse() {
        Ok(milliseconds) if (1..=60_000).contains(&milliseconds) => Ok(milliseconds),
        _ => bail!("{text:?} is not a delay: give 1 to 60000 milliseconds"),
    }
}

/// How many of a hundred packets are lost.
///
/// # Errors
/// It is no number above 0 up to 100.
pub fn parse_loss(text: &str) -> Result<f64> {
    match text.strip_suffix('%').unwrap_or(text).parse() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => bail!("{text:?} is not a share of packets: give a number above 0 up to 100"),
    }
}

/// Bits per second: `64000`, `500K`, `10M`, `1.5G`; the units are powers of 1000, as with `tc`.
///
/// # Errors
/// It is in no such form, or less than the 8000 that are a kilobyte a second.
pub fn parse_rate(text: &str) -> Result<u64> {
    const LEAST: f64 = 8e3;
    const MOST: f64 = 1e12;
    let form = || format!("{text:?} is not a rate: give bits per second as 64000, 500K, 10M or 1G");
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = number_and_unit(&lower);
    let factor = match unit {
        "" | "bit" => 1.0,
        "k" | "kbit" => 1e3,
        "m" | "mbit" => 1e6,
        "g" | "gbit" => 1e9,
        _ => bail!(form()),
    };
    let bits = digits.parse::<f64>().with_context(form)? * factor;
    if !(LEAST..=MOST).contains(&bits) {
        bail!("{text:?} is out of range for a rate: give 8K to 1000G");
    }
    Ok(bits.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_seconds() {
        assert_eq!(
            (parse_seconds("0").unwrap(), parse_seconds("30s").unwrap()),
            (0, 30)
        );
        assert_eq!(parse_interval("3600").unwrap(), 3600);
        for (text, milliseconds) in [("3", 3000), ("3s", 3000), ("500ms", 500), ("0", 0)] {
            let length = Duration::from_millis(milliseconds);
            assert_eq!(parse_length(text).unwrap(), length, "{text}");
        }
        for text in ["", "-1", "1.5", "3x"] {
            assert!(parse_length(text).is_err(), "{text}");
        }
        for text in ["", "-1", "1.5", "x", "5ss"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
        for text in ["0", "3601", "x"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes() {
        for (text, bytes) in [
            ("1", 1),
            ("64M", 64 << 20),
            ("64Mi", 64 << 20),
            ("64MiB", 64 << 20),
            ("64mb", 64 << 20),
            ("3kib", 3 << 10),
            ("512B", 512),
            ("2g", 2 << 30),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "M",
            "0",
            "-1M",
            "1.5G",
            "1T",
            "99999999999G",
            "64Mbib",
            "64Mibib",
            "64MM",
            "64Mbb",
            "64i",
            "64ib",
            "64MiBs",
            "64 M",
        ] {
            assert!(parse_bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn limits_that_cannot_work_say_what_would() {
        let refusal = |outcome: Result<u64>| outcome.unwrap_err().to_string();
        for text in ["1", "64K", "5M", "6291455"] {
            let words = refusal(parse_memory_limit(text));
            assert!(words.contains("at least 6291456, which is 6M"), "{words}");
        }
        assert_eq!(parse_memory_limit("6M").unwrap(), 6 << 20);
        for text in ["0", "1", "-1", "many"] {
            let words = refusal(parse_pids(text));
            assert!(words.ends_with("give 2 or more"), "{words}");
        }
        assert_eq!(parse_pids("2").unwrap(), 2);
        for text in ["0", "65", "256", "-1", "many"] {
            let words = parse_nodes(text).unwrap_err().to_string();
            assert!(words.ends_with("give 1 to 64"), "{words}");
        }
        assert_eq!(parse_nodes("64").unwrap(), 64);
    }

    #[test]
    fn cpus() {
        assert_eq!(parse_cpus("0.5").unwrap(), 500);
        assert_eq!(parse_cpus("2").unwrap(), 2000);
        for text in ["", "0", "-1", "NaN", "inf", "half"] {
            assert!(parse_cpus(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lease_lengths() {
        for (text, seconds) in [("5s", 5), ("2000ms", 2), ("1m30s", 90), ("24h", 86_400)] {
            let ttl = Duration::from_secs(seconds);
            assert_eq!(parse_lease_ttl(text).unwrap(), ttl, "{text}");
        }
        for text in ["0s", "500ms", "1500ms"] {
            let words = parse_lease_ttl(text).unwrap_err().to_string();
            assert!(words.ends_with("give whole seconds, 1s or more"), "{words}");
        }
        for text in ["", "5", "s", "-1s", "1x", "9999999999999999h"] {
            let words = parse_lease_ttl(text).unwrap_err().to_string();
            assert!(words.ends_with("give 5s, 10m or 24h"), "{words}");
        }
    }

    #[test]
    fn times_from_probe_to_probe() {
        for (text, milliseconds) in [("100ms", 100), ("1s", 1_000), ("1m30s", 90_000)] {
            let interval = Duration::from_millis(milliseconds);
            assert_eq!(parse_probe_interval(text).unwrap(), interval, "{text}");
        }
        for text in ["", "0s", "99ms", "100500us", "5", "-1s", "often"] {
            let words = parse_probe_interval(text).unwrap_err().to_string();
            assert!(words.ends_with("100ms or more"), "{words}");
        }
    }

    #[test]
    fn impairments() {
        for (text, bits) in [
            ("8000", 8_000),
            ("500K", 500_000),
            ("10mbit", 10_000_000),
            ("1.5G", 1_500_000_000),
        ] {
            assert_eq!(parse_rate(text).unwrap(), bits, "{text}");
        }
        for text in [
            "", "fast", "-1M", "10T", "7999", "1001G", "NaN", "10bitbit", "10MM", "10bitM",
        ] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(parse_delay("60000").unwrap(), 60_000);
        assert_eq!(parse_delay("5ms").unwrap(), 5);
        for text in ["0", "60001", "-1", "1.5", "1s", "5msms"] {
            assert!(parse_delay(text).is_err(), "{text}");
        }
        assert_eq!(parse_loss("0.1%").unwrap(), 0.1);
        assert_eq!(parse_loss("100").unwrap(), 100.0);
        for text in ["0", "100.1", "-5", "NaN", "some", "5%%"] {
            assert!(parse_loss(text).is_err(), "{text}");
        }
    }
}
