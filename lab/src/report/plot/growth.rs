//! What many cost: samples against their number.

use anyhow::Result;
use plotters::element::Circle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, LETTER, Size, draw};
use crate::report::numbers::Summary;
use crate::report::palette::{GRID, INK, MUTED, SERIES};

/// Height of a letter's room.
const LINE: i32 = 28;

/// The samples of one side.
pub(in crate::report) struct Growth<'a> {
    pub(in crate::report) letter: char,
    /// Whose colour.
    pub(in crate::report) side: usize,
    /// A number of things, from the least, and what was measured with so many.
    pub(in crate::report) points: Vec<(f64, &'a [f64])>,
}

/// A dot for each sample and a line through the medians of each side, with its letter at the end; both axes are
/// logarithmic. Nothing of no samples.
///
/// # Errors
/// As [`draw`].
pub(in crate::report) fn growth(sides: &[Growth<'_>]) -> Result<String> {
    let points = || sides.iter().flat_map(|side| &side.points);
    let samples = points().flat_map(|(_, samples)| samples.iter().copied());
    let (Some(across), Some(up)) = (
        Axis::over(Scale::Logarithmic, points().map(|(number, _)| *number)),
        Axis::over(Scale::Logarithmic, samples),
    ) else {
        return Ok(String::new());
    };
    let size = Size {
        width: 720,
        height: 360,
        left: 6 * LETTER,
        right: 2 * LETTER + LETTER,
        above: 14,
    };
    draw(size, &across, up.from..up.to, |canvas| {
        level_lines(canvas, &across, &up)?;
        for side in sides {
            draw_side(canvas, &across, &up, side)?;
        }
        letters(canvas, &across, &up, sides, size)
    })
}

fn level_lines(canvas: &mut Canvas<'_, '_>, across: &Axis, up: &Axis) -> Result<()> {
    for (value, number) in up.ticks() {
        let height = up.place(value);
        let line = vec![(across.from, height), (across.to, height)];
        let (left, y) = canvas.plot.backend_coord(&line[0]);
        canvas.line(line, GRID.light, 2)?;
        let beside = (left - LETTER / 2, y);
        canvas.write(&number, beside, MUTED.light, (HPos::Right, VPos::Center))?;
    }
    Ok(())
}

fn draw_side(
    canvas: &mut Canvas<'_, '_>,
    across: &Axis,
    up: &Axis,
    side: &Growth<'_>,
) -> Result<()> {
    let colour = SERIES[side.side % SERIES.len()].light;
    canvas.line(medians(side, across, up), colour, 4)?;
    for (number, samples) in &side.points {
        let x = across.place(*number);
        let dots = samples.iter().map(|sample| (x, up.place(*sample)));
        let dots = dots.map(|at| Circle::new(at, 5, colour.mix(0.6).filled()));
        canvas.plot.draw_series(dots)?;
    }
    Ok(())
}

fn medians(side: &Growth<'_>, across: &Axis, up: &Axis) -> Vec<(f64, f64)> {
    let medians = side.points.iter().filter_map(|(number, samples)| {
        let middle = Summary::of(samples)?.median;
        Some((across.place(*number), up.place(middle)))
    });
    medians.collect()
}

/// At the right of each line's end, or below the one that is there.
fn letters(
    canvas: &Canvas<'_, '_>,
    across: &Axis,
    up: &Axis,
    sides: &[Growth<'_>],
    size: Size,
) -> Result<()> {
    let ends = sides.iter().filter_map(|side| {
        let end = *medians(side, across, up).last()?;
        Some((canvas.plot.backend_coord(&end).1, side.letter))
    });
    for (y, letter) in apart(ends.collect(), size.above + size.height) {
        let at = (size.width - LETTER / 2, y);
        canvas.write(
            &letter.to_string(),
            at,
            INK.light,
            (HPos::Right, VPos::Center),
        )?;
    }
    Ok(())
}

/// From above, no nearer to each other than a line, and none below the floor.
fn apart(mut places: Vec<(i32, char)>, floor: i32) -> Vec<(i32, char)> {
    places.sort_unstable();
    let mut above = i32::MIN;
    for (y, _) in &mut places {
        *y = (*y).max(above.saturating_add(LINE));
        above = *y;
    }
    let mut below = floor.saturating_add(LINE / 2 + LINE);
    for (y, _) in places.iter_mut().rev() {
        *y = (*y).min(below - LINE);
        below = *y;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_do_not_cover_each_other() {
        for (places, expected) in [
            (vec![(10, 'A'), (100, 'B')], vec![(10, 'A'), (100, 'B')]),
            (vec![(50, 'B'), (50, 'A')], vec![(50, 'A'), (78, 'B')]),
            (vec![(300, 'A'), (300, 'B')], vec![(286, 'A'), (314, 'B')]),
        ] {
            assert_eq!(apart(places, 300), expected);
        }
    }

    #[test]
    fn of_no_samples_there_is_no_picture() {
        assert_eq!(growth(&[]).unwrap(), "");
    }
}
