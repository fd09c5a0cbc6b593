//! Samples as dots.

use anyhow::Result;
use plotters::element::Circle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, LETTER, Size, draw};
use crate::report::numbers::{Summary, digits};
use crate::report::palette::{INK, MUTED, SERIES};

/// Samples that lie on one line.
pub(in crate::report) struct Lane {
    /// Whose, where several are compared.
    pub(in crate::report) letter: Option<char>,
    /// Whose colour.
    pub(in crate::report) side: usize,
    /// By round.
    pub(in crate::report) samples: Vec<f64>,
}

/// Lanes with a common name.
pub(in crate::report) struct Group {
    pub(in crate::report) name: String,
    pub(in crate::report) lanes: Vec<Lane>,
}

/// A dot for each sample, a bar and a number for the median of each lane. The dots of a lane are by round
/// from above. Nothing of no samples.
///
/// # Errors
/// As [`draw`].
pub(in crate::report) fn dots(groups: &[Group], scale: Scale) -> Result<String> {
    let layout = Layout::of(groups);
    let lanes = groups.iter().flat_map(|group| &group.lanes);
    let Some(axis) = Axis::over(scale, lanes.flat_map(|lane| lane.samples.iter().copied())) else {
        return Ok(String::new());
    };
    let down = f64::from(layout.size.height)..0.0;
    draw(layout.size, &axis, down, |canvas| {
        let mut top = 0;
        for group in groups {
            draw_group(canvas, &axis, &layout, group, top)?;
            top += layout.height_of(group);
        }
        Ok(())
    })
}

/// Where what stands.
struct Layout {
    size: Size,
    /// Room for a letter beside a lane.
    letters: i32,
    lane: i32,
    gap: i32,
}

impl Layout {
    fn of(groups: &[Group]) -> Self {
        let names = groups.iter().map(|group| group.name.chars().count());
        let lanes = groups.iter().flat_map(|group| &group.lanes);
        let compares = lanes.clone().any(|lane| lane.letter.is_some());
        let medians = lanes.filter_map(|lane| Summary::of(&lane.samples));
        let medians = medians.map(|summary| digits(summary.median).chars().count());
        let letters = if compares { 2 * LETTER } else { 0 };
        let mut layout = Self {
            size: Size {
                width: 720,
                height: 0,
                left: width(names.max()) + letters + LETTER,
                right: width(medians.max()) + LETTER,
                above: 6,
            },
            letters,
            lane: if compares { 30 } else { 40 },
            gap: if compares { 16 } else { 0 },
        };
        layout.size.height = groups.iter().map(|group| layout.height_of(group)).sum();
        layout
    }

    fn height_of(&self, group: &Group) -> i32 {
        self.lane * whole(group.lanes.len()) + self.gap
    }
}

fn width(letters: Option<usize>) -> i32 {
    whole(letters.unwrap_or(0)) * LETTER
}

fn whole(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn draw_group(
    canvas: &mut Canvas<'_, '_>,
    axis: &Axis,
    layout: &Layout,
    group: &Group,
    top: i32,
) -> Result<()> {
    let size = &layout.size;
    let inner = layout.lane * whole(group.lanes.len());
    let top = top + layout.gap / 2;
    let name = (
        size.left - layout.letters - LETTER,
        size.above + top + inner / 2,
    );
    canvas.write(&group.name, name, INK.light, (HPos::Right, VPos::Center))?;
    for (at, lane) in group.lanes.iter().enumerate() {
        draw_lane(canvas, axis, layout, lane, top + layout.lane * whole(at))?;
    }
    Ok(())
}

fn draw_lane(
    canvas: &mut Canvas<'_, '_>,
    axis: &Axis,
    layout: &Layout,
    lane: &Lane,
    top: i32,
) -> Result<()> {
    let Some(summary) = Summary::of(&lane.samples) else {
        return Ok(());
    };
    let down = |part: f64| f64::from(top) + f64::from(layout.lane) * part;
    let rounds = lane.samples.len().max(2) - 1;
    let colour = SERIES[lane.side % SERIES.len()].light;
    let dots = lane.samples.iter().enumerate().map(|(round, &sample)| {
        let at = down(0.25 + 0.5 * round as f64 / rounds as f64);
        Circle::new((axis.place(sample), at), 5, colour.mix(0.75).filled())
    });
    canvas.plot.draw_series(dots)?;
    let median = axis.place(summary.median);
    canvas.line(
        vec![(median, down(0.08)), (median, down(0.92))],
        INK.light,
        4,
    )?;
    let middle = layout.size.above + top + layout.lane / 2;
    let right = (HPos::Right, VPos::Center);
    let number = (layout.size.width - 2, middle);
    canvas.write(&digits(summary.median), number, INK.light, right)?;
    if let Some(letter) = lane.letter {
        let beside = (layout.size.left - LETTER, middle);
        canvas.write(&letter.to_string(), beside, MUTED.light, right)?;
    }
    Ok(())
}
