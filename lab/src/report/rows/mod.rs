//! The report of what `lab bench attach` and `lab bench scale` wrote: rows, and the samples of each side.

mod html;
mod markdown;
mod tables;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

pub(super) use html::page;
pub(super) use markdown::text;

use super::comparison::{MOST, in_order};
use super::numbers::Summary;
use crate::bench::record::{Benchmark, Record, Row};

/// The files' rows beside each other.
pub(super) struct Comparison<'a> {
    benchmark: Benchmark,
    sides: Vec<Side<'a>>,
    sections: Vec<Section>,
}

/// One of those compared: a suite of a file.
struct Side<'a> {
    /// `A` is what the others are compared with.
    letter: char,
    file: &'a Path,
    record: &'a Record,
    name: &'a str,
}

/// Rows below one heading.
struct Section {
    name: String,
    things: Vec<Thing>,
}

/// What was measured, for each number.
struct Thing {
    what: String,
    unit: String,
    places: Vec<Place>,
}

/// Of so many; none for a side that lacks it.
struct Place {
    number: Option<usize>,
    sides: Vec<Option<Vec<f64>>>,
}

impl<'a> Comparison<'a> {
    /// # Errors
    /// The files are of several benchmarks, or have more sides than can be told apart.
    pub(super) fn new(files: &'a [(PathBuf, Record)], benchmark: Benchmark) -> Result<Self> {
        for (file, record) in files {
            ensure!(
                record.benchmark == benchmark,
                "{} is of lab bench {}, and the first file of lab bench {benchmark}: give files of one benchmark",
                file.display(),
                record.benchmark
            );
        }
        let names = files.iter().flat_map(|(file, record)| {
            let names = record.rows.iter().flat_map(|row| &row.sides);
            let names = in_order(names.map(|side| side.side.as_str()));
            names.into_iter().map(move |name| (file, record, name))
        });
        let sides: Vec<Side<'a>> = ('A'..)
            .zip(names)
            .map(|(letter, (file, record, name))| Side {
                letter,
                file,
                record,
                name,
            })
            .collect();
        ensure!(
            sides.len() <= MOST,
            "the files hold {} sides: give files with {MOST} at most, so that they can be told apart",
            sides.len()
        );
        let rows = || files.iter().flat_map(|(_, record)| &record.rows);
        let sections = in_order(rows().map(|row| row.section.as_str()));
        let sections = sections
            .into_iter()
            .map(|name| Section::new(name, &rows().collect::<Vec<_>>(), &sides));
        Ok(Self {
            benchmark,
            sections: sections.collect(),
            sides,
        })
    }

    /// Is there one file?
    fn by_turns(&self) -> bool {
        self.sides
            .windows(2)
            .all(|two| std::ptr::eq(two[0].record, two[1].record))
    }

    /// The first side of each file.
    fn first_of_each_file(&self) -> impl Iterator<Item = &Side<'a>> {
        let is_first = |(at, side): &(usize, &Side<'a>)| {
            *at == 0 || !std::ptr::eq(self.sides[at - 1].record, side.record)
        };
        self.sides
            .iter()
            .enumerate()
            .filter(is_first)
            .map(|(_, side)| side)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let things = self.sections.iter().flat_map(|section| &section.things);
        things.flat_map(|thing| &thing.places)
    }
}

impl Side<'_> {
    fn title(&self) -> String {
        format!("{}, {}", self.name, self.file.display())
    }

    fn samples(&self, like: &Row, number: Option<usize>) -> Option<Vec<f64>> {
        let mut rows = self.record.rows.iter();
        let row = rows.find(|row| key(row) == key(like) && row.number == number)?;
        let side = row.sides.iter().find(|side| side.side == self.name)?;
        Some(side.samples.clone())
    }
}

/// What rows of one thing have in common.
fn key(row: &Row) -> (&str, &str, &str) {
    (&row.section, &row.what, &row.unit)
}

impl Section {
    fn new(name: &str, rows: &[&Row], sides: &[Side<'_>]) -> Self {
        let of_section = rows.iter().filter(|row| row.section == name);
        let keys = in_order(of_section.map(|row| key(row)));
        let things = keys.into_iter().filter_map(|wanted| {
            let rows: Vec<&Row> = rows
                .iter()
                .copied()
                .filter(|row| key(row) == wanted)
                .collect();
            Thing::new(&rows, sides)
        });
        Self {
            name: name.to_owned(),
            things: things.collect(),
        }
    }
}

impl Thing {
    /// None of no rows.
    fn new(rows: &[&Row], sides: &[Side<'_>]) -> Option<Self> {
        let first = rows.first()?;
        let mut numbers = in_order(rows.iter().map(|row| row.number));
        numbers.sort_unstable();
        let place = |number| Place {
            number,
            sides: sides
                .iter()
                .map(|side| side.samples(first, number))
                .collect(),
        };
        Some(Self {
            what: first.what.clone(),
            unit: first.unit.clone(),
            places: numbers.into_iter().map(place).collect(),
        })
    }

    /// Is its cost one of a number?
    fn grows(&self) -> bool {
        self.places
            .iter()
            .filter(|place| place.number.is_some())
            .count()
            > 1
    }
}

impl Place {
    fn summaries(&self) -> impl Iterator<Item = Option<Summary>> {
        let sides = self.sides.iter();
        sides.map(|samples| Summary::of(samples.as_deref()?))
    }

    fn first(&self) -> Option<Summary> {
        self.summaries().next().flatten()
    }
}
