//! The files' samples beside each other: by load, path and variant.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use anyhow::{Result, ensure};

use super::numbers::Summary;
use crate::bench::net::family::Family;
use crate::bench::net::loads::{Column, Load};
use crate::bench::net::paths::Path;
use crate::bench::net::report::{LeftOut, Report, Sample};
use crate::bench::net::variants::Variant;

/// As many as can be told apart in a plot.
pub(super) const MOST: usize = super::palette::SERIES.len();

/// All of them.
pub(super) struct Comparison<'a> {
    pub(super) sides: Vec<Side<'a>>,
    /// In the order of the first side that has them.
    pub(super) loads: Vec<Measured>,
}

/// One of those compared: a variant of a file.
pub(super) struct Side<'a> {
    /// `A` is what the others are compared with.
    pub(super) letter: char,
    pub(super) file: &'a FilePath,
    pub(super) report: &'a Report,
    pub(super) variant: &'a Variant,
}

/// A load on every path.
pub(super) struct Measured {
    pub(super) load: Load,
    pub(super) paths: Vec<OnPath>,
}

/// A load on one path; none for a side that lacks it.
pub(super) struct OnPath {
    pub(super) place: Place,
    pub(super) sides: Vec<Option<Series>>,
}

/// A path over a family, with so many other pods on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: Path,
    pub(super) family: Family,
    pub(super) other_pods: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if self.family == Family::Ipv6 {
            f.write_str(" IPv6")?;
        }
        match self.other_pods {
            0 => Ok(()),
            pods => write!(f, " +{pods}"),
        }
    }
}

/// Samples of one thing, by round.
#[derive(Default)]
pub(super) struct Series {
    /// For each of the load's columns, in its unit.
    pub(super) figures: Vec<Vec<f64>>,
    pub(super) cpu: Vec<f64>,
    /// Some of the answers of all rounds (µs), sorted.
    pub(super) latencies: Vec<f64>,
}

impl<'a> Comparison<'a> {
    /// # Errors
    /// More sides than can be told apart.
    pub(super) fn new(reports: &'a [(PathBuf, Report)]) -> Result<Self> {
        let variants = reports.iter().flat_map(|(file, report)| {
            let variants = report.variants.iter();
            variants.map(move |variant| (file, report, variant))
        });
        let sides: Vec<Side<'_>> = ('A'..)
            .zip(variants)
            .map(|(letter, (file, report, variant))| Side {
                letter,
                file,
                report,
                variant,
            })
            .collect();
        ensure!(
            sides.len() <= MOST,
            "the files hold {} variants: give files with {MOST} at most, so that they can be told apart",
            sides.len()
        );
        let loads = in_order(
            sides
                .iter()
                .flat_map(Side::samples)
                .map(|sample| sample.load),
        );
        let loads = loads.into_iter().map(|load| Measured::new(load, &sides));
        Ok(Self {
            loads: loads.collect(),
            sides,
        })
    }

    /// Are there several?
    pub(super) fn compares(&self) -> bool {
        self.sides.len() > 1
    }

    /// One side of each file.
    pub(super) fn first_of_each_file(&self) -> impl Iterator<Item = &Side<'a>> {
        let is_first = |side: &&Side<'a>| {
            side.report
                .variants
                .first()
                .is_some_and(|first| std::ptr::eq(first, side.variant))
        };
        self.sides.iter().filter(is_first)
    }

    /// Are all sides of one file, and so measured by turns?
    pub(super) fn by_turns(&self) -> bool {
        self.first_of_each_file().count() == 1
    }

    /// All places in the order in which they were measured.
    pub(super) fn places(&self) -> Vec<Place> {
        let measured = self.loads.iter().flat_map(|load| &load.paths);
        in_order(measured.map(|on| on.place))
    }

    /// Paths that a side lacks, and why.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (&Side<'a>, &LeftOut)> {
        self.sides.iter().flat_map(|side| {
            let left_out = side.report.left_out.iter();
            let left_out = left_out.filter(|left| left.variant == side.variant.name);
            left_out.map(move |left| (side, left))
        })
    }
}

impl Side<'_> {
    /// Its file, and its variant where the file has several.
    pub(super) fn name(&self) -> String {
        let file = self.file.display();
        match self.report.variants.len() {
            1 => file.to_string(),
            _ => format!("{}, {file}", self.variant.name),
        }
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        let samples = self.report.samples.iter();
        samples.filter(|sample| sample.variant == self.variant.name)
    }
}

impl Measured {
    fn new(load: Load, sides: &[Side<'_>]) -> Self {
        let samples = sides.iter().flat_map(Side::samples);
        let samples = samples.filter(|sample| sample.load == load);
        let places = in_order(samples.map(Place::of));
        let on_path = |place| OnPath {
            place,
            sides: sides
                .iter()
                .map(|side| Series::of(side, load, place))
                .collect(),
        };
        Self {
            load,
            paths: places.into_iter().map(on_path).collect(),
        }
    }

    /// Of all sides on all paths.
    pub(super) fn series(&self) -> impl Iterator<Item = &Series> {
        self.paths.iter().flat_map(|on| on.sides.iter().flatten())
    }
}

impl Place {
    fn of(sample: &Sample) -> Self {
        Self {
            path: sample.path,
            family: sample.family,
            other_pods: sample.other_pods,
        }
    }
}

impl Series {
    fn of(side: &Side<'_>, load: Load, place: Place) -> Option<Self> {
        let mut samples: Vec<_> = side
            .samples()
            .filter(|sample| (sample.load, Place::of(sample)) == (load, place))
            .collect();
        samples.sort_by_key(|sample| sample.round);
        if samples.is_empty() {
            return None;
        }
        let figures = |column: &Column| {
            let figures = samples.iter().filter_map(|s| s.figures.get(column.key));
            figures.map(|figure| figure * column.scale).collect()
        };
        let latencies = samples.iter().flat_map(|s| &s.latencies_microseconds);
        let mut latencies: Vec<f64> = latencies.copied().collect();
        latencies.sort_by(f64::total_cmp);
        Some(Self {
            figures: load.columns().iter().map(figures).collect(),
            cpu: samples
                .iter()
                .filter_map(|sample| sample.cpu_seconds_per_gigabit)
                .collect(),
            latencies,
        })
    }

    /// Of what the load is about.
    pub(super) fn main(&self) -> Option<Summary> {
        self.figures
            .first()
            .and_then(|figures| Summary::of(figures))
    }
}

/// Each once, where it first stands.
pub(super) fn in_order<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut seen, each| {
        if !seen.contains(&each) {
            seen.push(each);
        }
        seen
    })
}
