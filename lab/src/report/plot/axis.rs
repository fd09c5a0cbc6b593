//! The axis of values: its range and its lines.

use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;

use crate::report::numbers::digits;

/// How values lie along the axis.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::report) enum Scale {
    /// From zero.
    Linear,
    Logarithmic,
}

/// A range of values, as the plot's own coordinates.
pub(super) struct Axis {
    scale: Scale,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Axis {
    /// None of no values.
    pub(super) fn over(scale: Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.map(|value| place(scale, value)).collect();
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        let most = values.iter().copied().max_by(f64::total_cmp)?;
        let (from, to) = match scale {
            Scale::Linear => (0.0, if most > 0.0 { most * 1.04 } else { 1.0 }),
            Scale::Logarithmic => (least - 0.05, most + 0.05),
        };
        Some(Self { scale, from, to })
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        place(self.scale, value)
    }

    /// Values with a line and a number, as they are written.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = match self.scale {
            Scale::Linear => RangedCoordf64::from(self.from..self.to).key_points(5),
            Scale::Logarithmic => self.steps_of_decades(),
        };
        let with_text = |value| (value, plain(value));
        values.into_iter().map(with_text).collect()
    }

    /// 1, 2 and 5 of each decade; fewer where these are many, more where they are few.
    fn steps_of_decades(&self) -> Vec<f64> {
        let steps: &[f64] = match self.to - self.from {
            decades if decades > 3.0 => &[1.0],
            decades if decades > 1.7 => &[1.0, 3.0],
            decades if decades > 0.7 => &[1.0, 2.0, 5.0],
            _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
        };
        let decades = self.from.floor() as i32..=self.to.ceil() as i32;
        let values = decades.flat_map(|decade| steps.iter().map(move |s| s * 10_f64.powi(decade)));
        let within = |value: &f64| (self.from..=self.to).contains(&value.log10());
        values.filter(within).collect()
    }
}

/// What no logarithm has lies where a thousandth does.
fn place(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.max(1e-3).log10(),
    }
}

/// Of an axis: with k and M, since room is scarce.
fn plain(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", short(value / 1e6)),
        value if value >= 1e4 => format!("{}k", short(value / 1e3)),
        value if value >= 1e3 && value.fract() == 0.0 => digits(value),
        value => short(value),
    }
}

/// Without noughts at the end.
fn short(value: f64) -> String {
    ((value * 1e3).round() / 1e3).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(scale: Scale, values: &[f64]) -> Vec<String> {
        let axis = Axis::over(scale, values.iter().copied()).unwrap();
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn lines_are_at_round_values() {
        use Scale::{Linear, Logarithmic};
        for (scale, values, expected) in [
            (
                Linear,
                &[11.0, 39.0][..],
                &["0", "10", "20", "30", "40"][..],
            ),
            (Linear, &[0.0], &["0", "0.5", "1"]),
            (Linear, &[0.012, 0.4], &["0", "0.1", "0.2", "0.3", "0.4"]),
            (Linear, &[410_000.0], &["0", "100k", "200k", "300k", "400k"]),
            (Logarithmic, &[36.0, 80.0], &["40", "50", "60", "80"]),
            (Logarithmic, &[9.0, 60.0], &["10", "20", "50"]),
            (Logarithmic, &[9.0, 800.0], &["10", "30", "100", "300"]),
            (
                Logarithmic,
                &[1.0, 90_000.0],
                &["1", "10", "100", "1,000", "10k", "100k"],
            ),
        ] {
            assert_eq!(ticks(scale, values), expected, "{values:?}");
        }
    }

    #[test]
    fn of_nothing_there_is_no_axis() {
        assert!(Axis::over(Scale::Linear, std::iter::empty()).is_none());
    }
}
