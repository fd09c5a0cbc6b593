//! What plots are drawn on.

use anyhow::Result;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingArea;
use plotters::element::{PathElement, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor};

use super::axis::Axis;
use crate::report::palette::{GRID, MUTED};

/// Height of letters.
const LETTERS: f64 = 21.0;
/// About the width of one.
pub(super) const LETTER: i32 = 14;
/// What stands below the plot: the axis' numbers.
const BELOW: i32 = 40;

/// A picture's sizes.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// Of the whole.
    pub(super) width: i32,
    /// Of the plot itself.
    pub(super) height: i32,
    /// What is left free beside it.
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) above: i32,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A plot, and the picture around it.
pub(super) struct Canvas<'a, 'b> {
    picture: &'a Area<'b>,
    pub(super) plot: Chart<'a, 'b>,
}

/// Draws a picture; its SVG.
///
/// # Errors
/// Those of `draw`; none of drawing itself is known, as it is done in memory.
pub(super) fn draw(
    size: Size,
    axis: &Axis,
    down: std::ops::Range<f64>,
    draw: impl FnOnce(&mut Canvas<'_, '_>) -> Result<()>,
) -> Result<String> {
    let whole = (size.width, size.above + size.height + BELOW);
    let mut svg = String::new();
    {
        let backend =
            SVGBackend::with_string(&mut svg, (whole.0.unsigned_abs(), whole.1.unsigned_abs()));
        let picture = Area::from(backend);
        let plot = ChartBuilder::on(&picture)
            .margin_top(size.above)
            .margin_bottom(BELOW)
            .margin_left(size.left)
            .margin_right(size.right)
            .build_cartesian_2d(axis.from..axis.to, down)?;
        let mut canvas = Canvas {
            picture: &picture,
            plot,
        };
        canvas.upright_lines(axis)?;
        draw(&mut canvas)?;
        picture.present()?;
    }
    Ok(svg)
}

impl Canvas<'_, '_> {
    fn upright_lines(&mut self, axis: &Axis) -> Result<()> {
        let ends = self.plot.y_range();
        for (value, number) in axis.ticks() {
            let x = axis.place(value);
            let line = [(x, ends.start), (x, ends.end)];
            self.line(line.to_vec(), GRID.light, 2)?;
            let (x, foot) = self.plot.backend_coord(&line[0]);
            let head = self.plot.backend_coord(&line[1]).1;
            let below = (x, foot.max(head) + 10);
            self.write(&number, below, MUTED.light, (HPos::Center, VPos::Top))?;
        }
        Ok(())
    }

    /// Through these points of the plot.
    pub(super) fn line(
        &mut self,
        points: Vec<(f64, f64)>,
        colour: RGBColor,
        width: u32,
    ) -> Result<()> {
        let line = PathElement::new(points, colour.stroke_width(width));
        self.plot.draw_series([line])?;
        Ok(())
    }

    /// At a place of the whole picture.
    pub(super) fn write(
        &self,
        text: &str,
        at: (i32, i32),
        colour: RGBColor,
        (across, down): (HPos, VPos),
    ) -> Result<()> {
        // plotters writes 1/1.24 of the size that it is given.
        let font = ("sans-serif", LETTERS * 1.24).into_font();
        let style = font.color(&colour).pos(Pos::new(across, down));
        self.picture.draw(&Text::new(text.to_owned(), at, style))?;
        Ok(())
    }
}
