//! The released versions of the CNI specification, and the comparison that the protocol's gates use.

use std::fmt;
use std::str::FromStr;

use crate::{Error, code};

/// A released version of the CNI specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecVersion {
    /// 0.1.0: ADD and DEL; results with `ip4` and `ip6`.
    V0_1_0,
    /// 0.2.0: adds VERSION.
    V0_2_0,
    /// 0.3.0: adds chains; results with `interfaces`, `ips`, `routes`.
    V0_3_0,
    /// 0.3.1: corrects the spelling of a key.
    V0_3_1,
    /// 0.4.0: adds CHECK, and `prevResult` on DEL.
    V0_4_0,
    /// 1.0.0: drops `version` from the entries of `ips`.
    V1_0_0,
    /// 1.1.0: adds GC and STATUS.
    V1_1_0,
}

impl SpecVersion {
    /// Every released version, oldest first.
    pub const ALL: &'static [SpecVersion] = &[
        SpecVersion::V0_1_0,
        SpecVersion::V0_2_0,
        SpecVersion::V0_3_0,
        SpecVersion::V0_3_1,
        SpecVersion::V0_4_0,
        SpecVersion::V1_0_0,
        SpecVersion::V1_1_0,
    ];
    /// The newest version; the shape of results in memory.
    pub const LATEST: SpecVersion = SpecVersion::V1_1_0;

    /// The version as it stands in `cniVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SpecVersion {
    type Err = Error;

    /// Exact match only: `1.0` is no version. The empty string stands for 0.1.0, which had no
    /// `cniVersion` yet.
    ///
    /// # Errors
    /// Code 1 for anything else.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::V0_1_0);
        }
        Self::ALL
            .iter()
            .copied()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| {
                Error::new(
                    code::INCOMPATIBLE_VERSION,
                    format!(
                        "unknown CNI version \"{text}\": known are {}",
                        joined(Self::ALL, ", ")
                    ),
                )
            })
    }
}

/// The versions' texts with `separator` between them.
pub(crate) fn joined(versions: &[SpecVersion], separator: &str) -> String {
    versions
        .iter()
        .map(|version| version.as_str())
        .collect::<Vec<_>>()
        .join(separator)
}

/// A dotted version, released or not, for comparison. Missing minor and micro parts count as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dotted([i64; 3]);

impl From<SpecVersion> for Dotted {
    fn from(version: SpecVersion) -> Self {
        match version {
            SpecVersion::V0_1_0 => Dotted([0, 1, 0]),
            SpecVersion::V0_2_0 => Dotted([0, 2, 0]),
            SpecVersion::V0_3_0 => Dotted([0, 3, 0]),
            SpecVersion::V0_3_1 => Dotted([0, 3, 1]),
            SpecVersion::V0_4_0 => Dotted([0, 4, 0]),
            SpecVersion::V1_0_0 => Dotted([1, 0, 0]),
            SpecVersion::V1_1_0 => Dotted([1, 1, 0]),
        }
    }
}

impl FromStr for Dotted {
    type Err = Error;

    /// # Errors
    /// Code 6 for a part that is no number and for more than three parts.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut numbers = [0; 3];
        for (place, part) in text.split('.').enumerate() {
            let (Some(number), Some(name)) = (
                numbers.get_mut(place),
                ["major", "minor", "micro"].get(place),
            ) else {
                return Err(Error::new(
                    code::DECODING_FAILURE,
                    format!("invalid version \"{text}\": too many parts"),
                ));
            };
            *number = part.parse().map_err(|cause| bad_part(name, part, cause))?;
        }
        Ok(Dotted(numbers))
    }
}

fn bad_part(name: &str, part: &str, cause: std::num::ParseIntError) -> Error {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let why = match cause.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    let msg = format!(
        "failed to convert {name} version part \"{part}\": strconv.Atoi: parsing \"{part}\": {why}"
    );
    Error {
        source: Some(Box::new(cause)),
        ..Error::new(code::DECODING_FAILURE, msg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_reads_back_from_its_text() {
        for &version in SpecVersion::ALL {
            assert_eq!(version.to_string().parse::<SpecVersion>().unwrap(), version);
        }
        assert_eq!("".parse::<SpecVersion>().unwrap(), SpecVersion::V0_1_0);
        assert_eq!(SpecVersion::ALL.last(), Some(&SpecVersion::LATEST));
        assert!(SpecVersion::ALL.is_sorted());
    }

    #[test]
    fn only_exact_versions_are_known() {
        for text in ["1.0", "0.4", "9.9.9", "1.0.0 ", "v1.0.0", "abc"] {
            assert_eq!(
                text.parse::<SpecVersion>().unwrap_err().code,
                code::INCOMPATIBLE_VERSION
            );
        }
    }

    #[test]
    fn dotted_versions_compare_by_number() {
        let dotted = |text: &str| text.parse::<Dotted>().unwrap();
        assert!(dotted("0.10.0") > dotted("0.4.0"));
        assert_eq!(dotted("1"), dotted("1.0.0"));
        for &version in SpecVersion::ALL {
            assert_eq!(dotted(version.as_str()), version.into());
        }
    }

    #[test]
    fn dotted_versions_that_do_not_parse_say_which_part() {
        for (text, msg) in [
            (
                "abc",
                "failed to convert major version part \"abc\": strconv.Atoi: parsing \"abc\": invalid syntax",
            ),
            (
                "1.x",
                "failed to convert minor version part \"x\": strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                "1.0.",
                "failed to convert micro version part \"\": strconv.Atoi: parsing \"\": invalid syntax",
            ),
            ("1.2.3.4", "invalid version \"1.2.3.4\": too many parts"),
            (
                "99999999999999999999",
                "failed to convert major version part \"99999999999999999999\": strconv.Atoi: parsing \"99999999999999999999\": value out of range",
            ),
        ] {
            let error = text.parse::<Dotted>().unwrap_err();
            assert_eq!(
                (error.code, error.msg.as_str()),
                (code::DECODING_FAILURE, msg)
            );
        }
    }
}
