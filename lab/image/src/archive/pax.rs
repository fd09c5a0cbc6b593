//! PAX records (POSIX, pax, "pax Extended Header"): `LENGTH KEY=VALUE\n`, where a value may hold anything.

use std::collections::HashSet;
use std::io;

use super::{Time, check_length, invalid};

/// What stands before the name of an extended attribute.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// The records that are valid for a member, in the order of the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    pub(super) fn parse(mut bytes: &[u8]) -> io::Result<Self> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (record, rest) = split_record(bytes).ok_or_else(|| {
                let length = bytes.len().min(40);
                invalid(format!(
                    "no PAX record: \"{}\"",
                    bytes[..length].escape_ascii()
                ))
            })?;
            records.push(record);
            bytes = rest;
        }
        Ok(Self(records))
    }

    /// Takes over records that are newer: they replace those of the same key. One key of GNU's sparse files
    /// stands in one header many times.
    ///
    /// # Errors
    /// They are more than a member may be described by.
    pub(super) fn update(&mut self, newer: Self) -> io::Result<()> {
        let keys: HashSet<&[u8]> = newer.iter().map(|(key, _)| key).collect();
        self.0.retain(|(key, _)| !keys.contains(key.as_slice()));
        self.0.extend(newer.0);
        let bytes: usize = self
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        check_length(bytes as u64)
    }

    /// All records, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The last one counts; an empty one takes back those before it.
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        let last = self
            .iter()
            .filter(|(other, _)| *other == key.as_bytes())
            .last();
        last.map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, key: &str) -> Option<Vec<u8>> {
        self.value(key).map(<[u8]>::to_owned)
    }

    pub(super) fn number(&self, key: &str) -> io::Result<Option<u64>> {
        self.value(key)
            .map(|value| number(value).ok_or_else(|| not_a(key, "number", value)))
            .transpose()
    }

    pub(super) fn time(&self, key: &str) -> io::Result<Option<Time>> {
        self.value(key)
            .map(|value| time(value).ok_or_else(|| not_a(key, "time", value)))
            .transpose()
    }

    /// Extended attributes, by name.
    pub(super) fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let named = self.0.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(ATTRIBUTE.as_bytes())?;
            Some((name.to_owned(), value.clone()))
        });
        named.collect()
    }
}

type Record = (Vec<u8>, Vec<u8>);

fn split_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let blank = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(number(&bytes[..blank])?).ok()?;
    let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    Some(((key.to_owned(), value.to_owned()), &bytes[length..]))
}

/// Decimal digits alone.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// Seconds with a fraction, perhaps before 1970.
fn time(text: &[u8]) -> Option<Time> {
    let (is_negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let seconds = i64::try_from(number(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    let nanoseconds = (0..9).try_fold(0, |sum, place| match fraction.get(place) {
        None => Some(sum * 10),
        Some(digit) => char::from(*digit)
            .to_digit(10)
            .map(|digit| sum * 10 + digit),
    })?;
    Some(match (is_negative, nanoseconds) {
        (false, _) => Time {
            seconds,
            nanoseconds,
        },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

fn not_a(key: &str, what: &str, value: &[u8]) -> io::Error {
    invalid(format!(
        "the PAX record {key} is no {what}: \"{}\"",
        value.escape_ascii()
    ))
}
