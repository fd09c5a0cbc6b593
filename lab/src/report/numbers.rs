//! What many samples say together.

use crate::bench::measure::median;

/// Of samples of one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(super) count: usize,
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) most: f64,
}

impl Summary {
    /// None of no samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        let median = median(&mut sorted);
        Some(Self {
            count: sorted.len(),
            least: *sorted.first()?,
            median,
            most: *sorted.last()?,
        })
    }

    /// From the least to the most, as a part of the median; none of one sample, or around zero.
    pub(super) fn spread(&self) -> Option<f64> {
        let known = self.count > 1 && self.median > 0.0;
        known.then(|| (self.most - self.least) / self.median)
    }

    /// The change from `other` to this, as a part of `other`.
    pub(super) fn change_from(&self, other: &Self) -> Option<f64> {
        (other.median > 0.0).then(|| self.median / other.median - 1.0)
    }

    /// By how much this differs from `other`, and whether the samples tell; none where that is 0.
    pub(crate) fn against(&self, other: &Self) -> Option<String> {
        let tells = if self.overlaps(other) {
            "overlaps"
        } else {
            "apart"
        };
        Some(format!("{}, {tells}", change(self.change_from(other)?)))
    }

    /// Do samples of both lie among each other?
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.least <= other.most && other.least <= self.most
    }

    /// How likely it is that so many samples of the same thing do not overlap: of all ways to deal them out,
    /// those two where one side has the least.
    pub(super) fn chance_to_part(&self, other: &Self) -> f64 {
        let (n, m) = (self.count, other.count);
        let ways = (1..=n).fold(1.0, |ways, k| ways * (m + k) as f64 / k as f64);
        (2.0 / ways).min(1.0)
    }
}

/// With three digits, or as many as stand before the point, in groups of three.
pub(crate) fn digits(value: f64) -> String {
    let before = if value == 0.0 {
        1
    } else {
        value.abs().log10().floor() as i32 + 1
    };
    let after = usize::try_from(3 - before).unwrap_or(0).min(4);
    let text = format!("{value:.after$}");
    match text.split_once('.') {
        Some(_) => text,
        None => grouped(&text),
    }
}

/// A whole number in groups of three.
pub(super) fn grouped(whole: &str) -> String {
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As a percentage.
pub(super) fn percent(part: f64) -> String {
    let value = part * 100.0;
    if value.abs() < 9.95 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// As a percentage with its sign.
pub(super) fn change(part: f64) -> String {
    let sign = if part < 0.0 { "−" } else { "+" };
    format!("{sign}{}", percent(part.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(samples: &[f64]) -> Summary {
        Summary::of(samples).unwrap()
    }

    #[test]
    fn a_summary_is_of_all_samples_in_any_order() {
        let all = summary(&[3.0, 1.0, 2.5, 2.0]);
        assert_eq!(
            (all.count, all.least, all.median, all.most),
            (4, 1.0, 2.25, 3.0)
        );
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_spread_needs_two_samples_and_a_median() {
        for (samples, expected) in [
            (&[1.0, 2.0, 3.0][..], Some(1.0)),
            (&[2.0, 2.0], Some(0.0)),
            (&[2.0], None),
            (&[0.0, 0.0, 1.0], None),
        ] {
            assert_eq!(summary(samples).spread(), expected, "{samples:?}");
        }
    }

    #[test]
    fn equal_things_part_seldom() {
        let (five, three, one) = (summary(&[1.0; 5]), summary(&[1.0; 3]), summary(&[1.0]));
        for (a, b, expected) in [
            (&five, &five, 2.0 / 252.0),
            (&three, &three, 0.1),
            (&three, &five, 2.0 / 56.0),
            (&five, &three, 2.0 / 56.0),
            (&one, &one, 1.0),
        ] {
            assert!((a.chance_to_part(b) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn what_touches_overlaps() {
        for (a, b, expected) in [
            (&[1.0, 2.0], &[2.0, 3.0], true),
            (&[1.0, 2.0], &[2.1, 3.0], false),
            (&[2.1, 3.0], &[1.0, 2.0], false),
            (&[1.0, 9.0], &[2.0, 3.0], true),
        ] {
            assert_eq!(summary(a).overlaps(&summary(b)), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn numbers_have_three_digits_or_more() {
        for (value, expected) in [
            (0.0, "0.00"),
            (0.001_26, "0.0013"),
            (0.126, "0.126"),
            (9.996, "10.00"),
            (24.513, "24.5"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-123_456.0, "-123,456"),
        ] {
            assert_eq!(digits(value), expected);
        }
        for (part, expected) in [(0.0123, "1.2 %"), (0.0996, "10 %"), (1.5, "150 %")] {
            assert_eq!(percent(part), expected);
        }
        assert_eq!([change(0.05), change(-0.05)], ["+5.0 %", "−5.0 %"]);
    }
}
