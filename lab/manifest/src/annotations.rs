//! What a pod's annotations ask of the lab, where Kubernetes has no field for it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::clock::{self, ClockOffsets};
use crate::quantity::Quantity;

/// What annotations of the lab's begin with.
const PREFIX: &str = "lab.podwire/";
/// Seconds for which the machine is to have run, beside those that it has.
const BOOTTIME: &str = "lab.podwire/boottime-offset";
/// The same of the clock that stands still while the machine sleeps.
const MONOTONIC: &str = "lab.podwire/monotonic-offset";
/// Bytes a second that each container reads from each disk.
pub const IO_READ: &str = "lab.podwire/io-read";
/// The same of writing.
pub const IO_WRITE: &str = "lab.podwire/io-write";
/// The processors that the containers run on.
pub const CPUSET: &str = "lab.podwire/cpuset";

/// What they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Absent where no annotation has one.
    pub clocks: Option<ClockOffsets>,
    /// Of [`IO_READ`].
    pub io_read: Option<u64>,
    /// Of [`IO_WRITE`].
    pub io_write: Option<u64>,
    /// Of [`CPUSET`].
    pub processors: Option<Processors>,
}

impl Annotations {
    /// What a pod's annotations say; those of others say nothing.
    ///
    /// # Errors
    /// What is wrong, by annotation.
    pub fn of(annotations: &BTreeMap<String, String>) -> Result<Self, BTreeMap<&str, String>> {
        let mut all = Self::default();
        let mut wrong = BTreeMap::new();
        let own = annotations
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX));
        for (name, value) in own {
            if let Err(message) = all.take(name, value) {
                wrong.insert(name.as_str(), message);
            }
        }
        match wrong.is_empty() {
            true => Ok(all),
            false => Err(wrong),
        }
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            BOOTTIME => self.clocks.get_or_insert_default().boottime = clock::seconds(value)?,
            MONOTONIC => self.clocks.get_or_insert_default().monotonic = clock::seconds(value)?,
            IO_READ => self.io_read = Some(bytes(value)?),
            IO_WRITE => self.io_write = Some(bytes(value)?),
            CPUSET => self.processors = Some(value.parse()?),
            _ => {
                let all = [BOOTTIME, MONOTONIC, IO_READ, IO_WRITE, CPUSET].join(", ");
                return Err(format!("the lab has no such annotation; it has: {all}"));
            }
        }
        Ok(())
    }
}

/// A second.
fn bytes(value: &str) -> Result<u64, String> {
    match value.parse::<Quantity>().map(|amount| amount.whole()) {
        Ok(0) | Err(_) => Err(format!(
            "{value:?} is no number of bytes a second: give one as \"10M\" or \"512Ki\""
        )),
        Ok(bytes) => Ok(bytes),
    }
}

/// Numbers of processors, ascending, as the kernel lists them: `0-3,7` (cpuset(7), "List format").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors(Vec<u16>);

impl Processors {
    /// One after the other.
    pub fn numbers(&self) -> &[u16] {
        &self.0
    }
}

/// No kernel has more (arch/x86/Kconfig, NR_CPUS with MAXSMP).
const MOST_PROCESSORS: u16 = 8192;

impl FromStr for Processors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no list of processors: give one as \"0-1,3\"");
        let number = |text: &str| {
            let number = text.parse().ok().filter(|number| *number < MOST_PROCESSORS);
            // parse() takes a sign.
            number.filter(|_| !text.starts_with('+')).ok_or_else(wrong)
        };
        let mut all = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u16, u16) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            all.extend(first..=last);
        }
        all.sort_unstable();
        all.dedup();
        Ok(Self(all))
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(u16::to_string).collect();
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(all: &[(&str, &str)]) -> Result<Annotations, usize> {
        let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let all = all.iter().map(own).collect();
        Annotations::of(&all).map_err(|wrong| wrong.len())
    }

    #[test]
    fn annotations_of_others_say_nothing() {
        let none = Annotations::default();
        assert_eq!(of(&[("note", "x"), ("io-read", "1")]), Ok(none));
    }

    #[test]
    fn clocks() {
        let clocks = |all| of(all).map(|all| all.clocks);
        let boottime = ClockOffsets {
            boottime: -5,
            monotonic: 0,
        };
        assert_eq!(clocks(&[(BOOTTIME, "-5")]), Ok(Some(boottime)));
        let none = Some(ClockOffsets::default());
        assert_eq!(clocks(&[(MONOTONIC, "0")]), Ok(none));
        assert!(of(&[(MONOTONIC, "4000000000")]).is_ok());
        for late in ["4000000001", "9223372036854775807"] {
            assert_eq!(of(&[(MONOTONIC, late)]), Err(1), "{late}");
        }
        let wrong = [(BOOTTIME, "1h"), (MONOTONIC, ""), ("lab.podwire/a", "1")];
        assert_eq!(of(&wrong), Err(3));
    }

    #[test]
    fn bytes_a_second() {
        let read = |value| of(&[(IO_READ, value)]).map(|all| all.io_read);
        for (value, bytes) in [("10M", 10_000_000), ("512Ki", 512 << 10), ("1", 1)] {
            assert_eq!(read(value), Ok(Some(bytes)), "{value}");
        }
        for wrong in ["", "0", "-1", "fast", "10MB"] {
            assert_eq!(read(wrong), Err(1), "{wrong}");
        }
        let both = of(&[(IO_WRITE, "1M"), (IO_READ, "2M")]).unwrap();
        assert_eq!(
            (both.io_read, both.io_write),
            (Some(2_000_000), Some(1_000_000))
        );
    }

    #[test]
    fn lists_of_processors() {
        let set =
            |value| of(&[(CPUSET, value)]).map(|all| all.processors.map(|all| all.to_string()));
        for (value, all) in [
            ("0", "0"),
            ("0-2", "0,1,2"),
            ("3,0-1,1", "0,1,3"),
            ("8191", "8191"),
        ] {
            assert_eq!(set(value), Ok(Some(all.to_owned())), "{value}");
        }
        for wrong in ["", "1-0", "a", "0,", "-1", "8192", "+1", "0-1:1/2", " 0"] {
            assert_eq!(set(wrong), Err(1), "{wrong}");
        }
    }
}
