//! How many answers took how long: a distribution that shows its end.

use anyhow::Result;
use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, LETTER, Size, draw};
use crate::bench::measure::quantile_of_sorted;
use crate::report::palette::{GRID, MUTED};

/// Points of a curve.
const POINTS: usize = 150;
/// Shares of all answers, and what is written beside them.
const SHARES: [(f64, &str); 5] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
];

/// The answers of one side.
pub(in crate::report) struct Curve<'a> {
    /// Sorted.
    pub(in crate::report) values: &'a [f64],
    pub(in crate::report) colour: RGBColor,
}

/// A curve for each, the last on top: across, how long (logarithmic, over the range of `all`); up, how many
/// were as fast, with as much room for the last per cent as for those from 90 to 99.
///
/// # Errors
/// As [`draw`].
pub(in crate::report) fn tail<'a>(
    curves: &[Curve<'_>],
    all: impl Iterator<Item = &'a [f64]>,
) -> Result<String> {
    let ends = all.flat_map(|values| [values.first(), values.last()]);
    let Some(axis) = Axis::over(Scale::Logarithmic, ends.flatten().copied()) else {
        return Ok(String::new());
    };
    let size = Size {
        width: 520,
        height: 300,
        left: 6 * LETTER + LETTER,
        right: 2 * LETTER,
        above: 14,
    };
    draw(size, &axis, 0.0..height(0.999) + 0.1, |canvas| {
        level_lines(canvas, &axis)?;
        for curve in curves {
            canvas.line(points(curve.values, &axis), curve.colour, 4)?;
        }
        Ok(())
    })
}

fn level_lines(canvas: &mut Canvas<'_, '_>, axis: &Axis) -> Result<()> {
    for (share, text) in SHARES {
        let line = vec![(axis.from, height(share)), (axis.to, height(share))];
        let (left, y) = canvas.plot.backend_coord(&line[0]);
        canvas.line(line, GRID.light, 2)?;
        let beside = (left - LETTER, y);
        canvas.write(text, beside, MUTED.light, (HPos::Right, VPos::Center))?;
    }
    Ok(())
}

/// How high a share stands: by the logarithm of what is left.
fn height(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// As far as there are answers to tell it: the share of all but one.
fn points(values: &[f64], axis: &Axis) -> Vec<(f64, f64)> {
    let top = (values.len() as f64).log10().min(height(0.999) + 0.1);
    let heights = (0..=POINTS).map(|at| top * at as f64 / POINTS as f64);
    heights
        .filter_map(|height| {
            let value = quantile_of_sorted(values, 1.0 - 10_f64.powf(-height))?;
            Some((axis.place(value), height))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_where_its_answers_do() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let axis = Axis::over(Scale::Logarithmic, values.iter().copied()).unwrap();
        let points = points(&values, &axis);
        assert_eq!(points[0], (0.0, 0.0));
        let last = points[POINTS];
        assert!((last.0 - 99_f64.log10()).abs() < 1e-9 && (last.1 - 2.0).abs() < 1e-9);
    }

    #[test]
    fn of_no_answers_there_is_no_picture() {
        assert_eq!(tail(&[], std::iter::empty()).unwrap(), "");
    }
}
