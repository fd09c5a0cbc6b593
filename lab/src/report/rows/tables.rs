//! The tables of such a report, whatever it is written as.

use super::{Comparison, Place, Section, Side, Thing};
use crate::report::numbers::{Summary, grouped};
use crate::report::tables::{
    Cell, Table, against, command, middle_and_ends, numbers, optional, text, words,
};

type Fact = (&'static str, fn(&Side<'_>) -> Cell);

/// What is told of a file before its figures.
const FACTS: [Fact; 10] = [
    ("begun", |side| text(&*side.record.started)),
    ("processor", |side| {
        optional(side.record.machine.processor.as_deref())
    }),
    ("processors", |side| {
        text(side.record.machine.processors.to_string())
    }),
    ("kernel", |side| text(&*side.record.machine.kernel)),
    ("command", |side| Cell::Code(command(&side.record.command))),
    ("lab", |side| text(&*side.record.versions.lab)),
    ("netd", |side| {
        optional(side.record.versions.netd.as_deref())
    }),
    ("podwire", |side| {
        optional(side.record.versions.podwire.as_deref())
    }),
    ("reference", |side| {
        optional(side.record.reference.as_deref())
    }),
    ("method", |side| text(&*side.record.method)),
];

/// Machine, kernel, command, versions and method of each file.
pub(super) fn facts(comparison: &Comparison<'_>) -> Table {
    let files: Vec<&Side<'_>> = comparison.first_of_each_file().collect();
    let headings = files
        .iter()
        .map(|side| words(side.file.display().to_string()));
    let row = |(name, of): &Fact| {
        let values = files.iter().map(|side| of(side));
        std::iter::once(text(*name)).chain(values).collect()
    };
    Table {
        headings: std::iter::once(words("")).chain(headings).collect(),
        rows: FACTS.iter().map(row).collect(),
    }
}

/// Which letter is what.
pub(super) fn sides(comparison: &Comparison<'_>) -> Table {
    let row = |side: &Side<'_>| vec![text(side.letter.to_string()), text(side.title())];
    Table {
        headings: vec![words("side"), words("what it is")],
        rows: comparison.sides.iter().map(row).collect(),
    }
}

/// A row for each thing, number and side.
pub(super) fn figures(comparison: &Comparison<'_>, section: &Section) -> Table {
    let compares = comparison.sides.len() > 1;
    let counts = section.things.iter().flat_map(|thing| &thing.places);
    let counts = counts.into_iter().any(|place| place.number.is_some());
    let mut headings = vec![words("what")];
    headings.extend(counts.then(|| numbers("number")));
    headings.extend(compares.then(|| words("side")));
    headings.extend([numbers("median"), words("unit"), numbers("least to most")]);
    headings.extend(compares.then(|| words("against A")));
    headings.push(numbers("samples"));
    let mut rows = Vec::new();
    for thing in &section.things {
        for place in &thing.places {
            for (side, samples) in comparison.sides.iter().zip(&place.sides) {
                let Some(samples) = samples else { continue };
                rows.extend(row(thing, place, side, samples, [counts, compares]));
            }
        }
    }
    Table { headings, rows }
}

fn row(
    thing: &Thing,
    place: &Place,
    side: &Side<'_>,
    samples: &[f64],
    [counts, compares]: [bool; 2],
) -> Option<Vec<Cell>> {
    let all = Summary::of(samples)?;
    let [middle, ends] = middle_and_ends(samples);
    let number = place.number.map(|number| grouped(&number.to_string()));
    let mut row = vec![text(&*thing.what)];
    row.extend(counts.then(|| text(number.unwrap_or_default())));
    row.extend(compares.then(|| text(side.letter.to_string())));
    row.extend([middle, text(&*thing.unit), ends]);
    row.extend(compares.then(|| text(against(place.first(), side.letter, &all))));
    row.push(text(all.count.to_string()));
    Some(row)
}
