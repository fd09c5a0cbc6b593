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
pub enum QuantityError {
    /// It has another form.
    #[error(
        "{0:?} is not an amount: give a number with a unit of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or \
         none, or with an exponent like 1e3"
    )]
    Form(String),
    /// Kubernetes' grammar has such amounts, and no field of a pod takes them.
    #[error("{0:?} is less than nothing: give 0 or more")]
    Negative(String),
}

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

impl FromStr for Quantity {
    type Err = QuantityError;

    /// By Kubernetes' grammar (k8s.io/apimachinery/pkg/api/resource): an amount that is too large to count is the
    /// largest one, and what is too small to count is rounded up.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let form = || QuantityError::Form(text.to_owned());
        let number = text.strip_prefix(['+', '-']).unwrap_or(text);
        let thousandths = thousandths(number).ok_or_else(form)?;
        if text.starts_with('-') && thousandths > 0 {
            return Err(QuantityError::Negative(text.to_owned()));
        }
        Ok(Self {
            written: text.to_owned(),
            thousandths,
        })
    }
}

/// Powers of two and of ten.
#[derive(Clone, Copy)]
struct Unit {
    two: u32,
    ten: i64,
}

const UNITS: [(&str, Unit); 16] = [
    ("n", ten(-9)),
    ("u", ten(-6)),
    ("m", ten(-3)),
    ("", ten(0)),
    ("k", ten(3)),
    ("M", ten(6)),
    ("G", ten(9)),
    ("T", ten(12)),
    ("P", ten(15)),
    ("E", ten(18)),
    ("Ki", two(10)),
    ("Mi", two(20)),
    ("Gi", two(30)),
    ("Ti", two(40)),
    ("Pi", two(50)),
    ("Ei", two(60)),
];

const fn ten(ten: i64) -> Unit {
    Unit { two: 0, ten }
}

const fn two(two: u32) -> Unit {
    Unit { two, ten: 0 }
}

/// Without a sign.
fn thousandths(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let unit = known.map_or_else(|| exponent(unit), |(_, unit)| Some(*unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (leading, dropped) = leading(digits.trim_start_matches('0'))?;
    let further = i64::try_from(dropped).ok()? - i64::try_from(fraction.len()).ok()?;
    let ten = unit.ten.saturating_add(further + 3);
    Some(times_power_of_ten(leading << unit.two, ten))
}

/// The number of the first digits, rounded up, and how many there are behind them. Shifted by the largest unit it
/// still fits.
fn leading(digits: &str) -> Option<(u128, usize)> {
    const MOST: usize = 18;
    let (kept, dropped) = digits.split_at(digits.len().min(MOST));
    let number: u128 = match kept {
        "" => 0,
        kept => kept.parse().ok()?,
    };
    let is_more = dropped.bytes().any(|byte| byte != b'0');
    Some((number + u128::from(is_more), dropped.len()))
}

/// Rounded up, and the largest number where that is too large.
fn times_power_of_ten(number: u128, ten: i64) -> u128 {
    let power = u32::try_from(ten.unsigned_abs())
        .ok()
        .and_then(|ten| 10_u128.checked_pow(ten));
    match (ten >= 0, power) {
        _ if number == 0 => 0,
        (true, Some(power)) => number.saturating_mul(power),
        (true, None) => u128::MAX,
        (false, Some(power)) => number.div_ceil(power),
        (false, None) => 1,
    }
}

/// `e3`, `E-3` and their like.
fn exponent(unit: &str) -> Option<Unit> {
    let digits = unit.strip_prefix(['e', 'E'])?;
    digits.parse().ok().map(ten)
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
            ("2E3", 2_000_000, 2000),
            ("2e+3", 2_000_000, 2000),
            ("100e-3", 100, 1),
            ("1e-99", 1, 1),
            ("+1", 1000, 1),
            ("-0", 0, 0),
            ("1.", 1000, 1),
            ("1500u", 2, 1),
            ("1n", 1, 1),
            ("1000000n", 1, 1),
            ("0.0015E", 1_500_000_000_000_000_000, 1_500_000_000_000_000),
            ("0.5Ei", u64::MAX, 1 << 59),
            ("1E", u64::MAX, 1_000_000_000_000_000_000),
            ("64Ei", u64::MAX, u64::MAX),
            ("1e99", u64::MAX, u64::MAX),
            ("0e99", 0, 0),
            ("1.0000000000000000000000001", 1001, 2),
            ("0.00000000000000000000001e23", 1000, 1),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.thousandths(), thousandths, "{text}");
            assert_eq!(quantity.whole(), whole, "{text}");
        }
        for text in [
            "", "m", "+", "1 Mi", "1MB", "0x10", ".", "1.2.3", "1e", "1e1.5", "1Ki3", "--1", "NaN",
            "1ei",
        ] {
            let refused = text.parse::<Quantity>().unwrap_err();
            assert_eq!(refused, QuantityError::Form(text.to_owned()));
        }
        let refused = "-1m".parse::<Quantity>().unwrap_err().to_string();
        assert_eq!(refused, "\"-1m\" is less than nothing: give 0 or more");
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
