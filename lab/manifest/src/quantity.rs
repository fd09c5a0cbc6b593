//! Amounts, as Kubernetes writes them: `500m`, `64Mi`, `1.5`, `2e3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount: kept as it was written, and as thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Quantity {
    written: String,
    thousandths: u128,
}

/// A number in YAML need not be in quotes.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an amount is a number, or a text like 500m or 64Mi"
)]
enum Written {
    Whole(u64),
    Decimal(f64),
    Text(String),
}

/// Not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an amount: give a number with a unit of m, k, M, G, T, Ki, Mi, Gi, Ti or none, like 500m or 64Mi"
)]
pub struct QuantityError(String);

impl Quantity {
    /// Thousandths, rounded up: of a processor, for `cpu`.
    pub fn thousandths(&self) -> u64 {
        u64::try_from(self.thousandths).unwrap_or(u64::MAX)
    }

    /// Whole ones, rounded up: bytes, for `memory`.
    pub fn whole(&self) -> u64 {
        u64::try_from(self.thousandths.div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

const UNITS: [(&str, u128); 13] = [
    ("m", 1),
    ("", 1000),
    ("k", 1000 * 1000),
    ("M", 1000 * 1_000_000),
    ("G", 1000 * 1_000_000_000),
    ("T", 1000 * 1_000_000_000_000),
    ("P", 1000 * 1_000_000_000_000_000),
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("E", 1000 * 1_000_000_000_000_000_000),
];

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        thousandths(text)
            .map(|thousandths| Self {
                written: text.to_owned(),
                thousandths,
            })
            .ok_or_else(|| QuantityError(text.to_owned()))
    }
}

fn thousandths(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let factor = known.map_or_else(|| power_of_ten(unit), |(_, factor)| Some(*factor))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let parts = whole.checked_mul(scale)?.checked_add(fraction)?;
    Some(parts.checked_mul(factor)?.div_ceil(scale))
}

/// Thousandths of `e3` and its like.
fn power_of_ten(unit: &str) -> Option<u128> {
    let exponent = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
    10_u128.checked_pow(exponent)?.checked_mul(1000)
}

impl TryFrom<Written> for Quantity {
    type Error = QuantityError;

    fn try_from(written: Written) -> Result<Self, QuantityError> {
        match written {
            Written::Whole(number) => number.to_string(),
            Written::Decimal(number) => number.to_string(),
            Written::Text(text) => text,
        }
        .parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.written
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, thousandths, whole) in [
            ("0.5", 500, 1),
            ("500m", 500, 1),
            ("2", 2000, 2),
            ("64Mi", (64 << 20) * 1000, 64 << 20),
            ("1.5Gi", (3 << 29) * 1000, 3 << 29),
            ("100M", 100_000_000_000, 100_000_000),
            (".5", 500, 1),
            ("0.0001", 1, 1),
            ("2e3", 2_000_000, 2000),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.thousandths(), thousandths, "{text}");
            assert_eq!(quantity.whole(), whole, "{text}");
        }
        for text in [
            "", "m", "-1", "1 Mi", "1MB", "0x10", ".", "1.2.3", "1e", "1e99",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn in_documents() {
        let read = |text: &str| serde_json::from_str::<Quantity>(text);
        assert_eq!(read("2").unwrap().thousandths(), 2000);
        assert_eq!(read("0.5").unwrap().thousandths(), 500);
        assert_eq!(read("\"64Mi\"").unwrap().to_string(), "64Mi");
        assert!(
            read("\"many\"")
                .unwrap_err()
                .to_string()
                .contains("is not an amount")
        );
    }
}
