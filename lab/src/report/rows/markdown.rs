//! Such a report as Markdown (GitHub's): tables, no plots.

use super::{Comparison, tables, words};
use crate::report::markdown::{escaped, heading, push_paragraph, section};

/// The whole text.
pub(in crate::report) fn text(comparison: &Comparison<'_>) -> String {
    let mut text = format!("# {}\n", escaped(&words::title(comparison)));
    section(
        &mut text,
        words::MEASURED_ON,
        &[],
        &tables::facts(comparison),
    );
    section(&mut text, "Sides", &[], &tables::sides(comparison));
    heading(&mut text, words::NOISE);
    for paragraph in words::noise(comparison) {
        push_paragraph(&mut text, &paragraph);
    }
    for part in &comparison.sections {
        let table = tables::figures(comparison, part);
        section(&mut text, &part.name, &[], &table);
    }
    text
}
