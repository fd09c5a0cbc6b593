//! Colours of plots and page, on light ground and on dark.
//!
//! A plot is drawn with the light ones. The style sheet replaces each by its dark one where the reader's
//! screen is dark: a rule of a style sheet outdoes an attribute of SVG.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// One colour, as a plot draws it and as a dark page shows it.
#[derive(Clone, Copy)]
pub(super) struct Colour {
    pub(super) light: RGBColor,
    dark: RGBColor,
}

const fn colour(light: [u8; 3], dark: [u8; 3]) -> Colour {
    Colour {
        light: RGBColor(light[0], light[1], light[2]),
        dark: RGBColor(dark[0], dark[1], dark[2]),
    }
}

/// Text and medians.
pub(super) const INK: Colour = colour([0x1b, 0x1b, 0x1a], [0xf2, 0xf2, 0xef]);
/// Text that matters less.
pub(super) const MUTED: Colour = colour([0x5c, 0x5b, 0x57], [0xb5, 0xb4, 0xac]);
/// The lines of a grid.
pub(super) const GRID: Colour = colour([0xdf, 0xde, 0xd8], [0x3a, 0x3a, 0x37]);
/// What the others are seen against.
pub(super) const CONTEXT: Colour = colour([0x8f, 0x8e, 0x88], [0x83, 0x82, 0x7b]);

/// Of what is compared. Neighbours stay apart for the colour-blind, too; letters name them all the same.
pub(super) const SERIES: [Colour; 8] = [
    colour([0x2a, 0x78, 0xd6], [0x39, 0x87, 0xe5]),
    colour([0xeb, 0x68, 0x34], [0xd9, 0x59, 0x26]),
    colour([0x1b, 0xaf, 0x7a], [0x19, 0x9e, 0x70]),
    colour([0xed, 0xa1, 0x00], [0xc9, 0x85, 0x00]),
    colour([0xe8, 0x7b, 0xa4], [0xd5, 0x51, 0x81]),
    colour([0x00, 0x83, 0x00], [0x2c, 0xa0, 0x2c]),
    colour([0x4a, 0x3a, 0xa7], [0x90, 0x85, 0xe9]),
    colour([0xe3, 0x49, 0x48], [0xe6, 0x67, 0x67]),
];

/// As plotters and style sheets write it.
pub(super) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// The rules that make a plot dark, and the colours of the legend.
pub(super) fn style() -> String {
    let mut dark = String::new();
    for colour in [INK, MUTED, GRID, CONTEXT].into_iter().chain(SERIES) {
        let (from, to) = (hex(colour.light), hex(colour.dark));
        for attribute in ["fill", "stroke"] {
            let _infallible = write!(dark, "svg [{attribute}=\"{from}\"]{{{attribute}:{to}}}");
        }
    }
    let mut light = String::new();
    for (at, colour) in SERIES.iter().enumerate() {
        let [day, night] = [colour.light, colour.dark].map(hex);
        let _infallible = write!(light, ".side-{at}{{background:{day}}}");
        let _infallible = write!(dark, ".side-{at}{{background:{night}}}");
    }
    format!("{light}@media screen and (prefers-color-scheme:dark){{{dark}}}")
}
