//! Plots as SVG, to stand within HTML.
//!
//! They are drawn in units of which two are a pixel on a phone, since plotters places whole units.

mod axis;
mod canvas;
mod dots;
mod growth;
mod tail;

pub(super) use axis::Scale;
pub(super) use dots::{Group, Lane, dots};
pub(super) use growth::{Growth, growth};
pub(super) use tail::{Curve, tail};
