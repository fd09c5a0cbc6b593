//! A netd that starts with many leases.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::connections::round;
use crate::bench::measure::milliseconds;
use crate::bench::netd::changes::{PER_SECOND, Pace};
use crate::bench::netd::{self, Backend, Figures};
use crate::bench::progress::Progress;
use crate::bench::record::{Better, Measured, Row};
use crate::bench::suite::PODWIRE;
use crate::report::numbers::digits;

/// That which programs most for a lease: a route, a neighbour and an FDB entry.
const BACKEND: Backend = Backend::Vxlan;

/// What is told of a netd, and its unit.
const WHAT: [(&str, &str); 5] = [
    ("netd: all programmed after its start", "ms"),
    ("netd: resident memory", "MB"),
    ("netd: most memory", "MB"),
    ("netd: share of a core at 100 changes a second", "%"),
    ("netd: from etcd's answer to the kernel's change", "ms"),
];

/// All numbers by turns, each time with a new etcd.
///
/// # Errors
/// A program fails.
pub(super) fn measure(
    bin_dir: &Path,
    numbers: &[u32],
    repetitions: usize,
    change_time: Duration,
) -> Result<Vec<Row>> {
    netd::make_underlay()?;
    let pace = Pace {
        change_time,
        changes_per_second: PER_SECOND,
    };
    let mut progress = Progress::start(numbers.len() * repetitions, "LEASES");
    let mut rows = empty(numbers);
    for repetition in 1..=repetitions {
        for (&number, rows) in numbers.iter().zip(&mut rows) {
            let figures = netd::measure(bin_dir, BACKEND, number, pace)
                .with_context(|| format!("{number} leases"))?;
            let figures = told(&figures);
            progress.tell(&line(number, repetition, &figures));
            for (row, figure) in rows.iter_mut().zip(figures) {
                let samples = row.sides.iter_mut().map(|side| &mut side.samples);
                samples.for_each(|samples| samples.extend(figure));
            }
        }
    }
    Ok(by_what(rows))
}

/// In the order of [`WHAT`]; none of changes where there were none.
fn told(figures: &Figures) -> [Option<f64>; WHAT.len()] {
    let changes = figures.changes.as_ref();
    let most = changes.map_or(figures.peak, |(_, peak)| *peak);
    [
        Some(milliseconds(figures.programmed)),
        Some(figures.resident),
        Some(most),
        changes.map(|(cost, _)| cost.processor),
        changes.and_then(|(cost, _)| Some(cost.lag.as_ref()?.median)),
    ]
}

fn line(number: u32, repetition: usize, figures: &[Option<f64>; WHAT.len()]) -> String {
    let figures = figures.iter().zip(WHAT).filter_map(|(figure, (_, unit))| {
        let figure = digits((*figure)?);
        Some(format!(" {figure} {unit}"))
    });
    let figures: String = figures.collect();
    format!("{number}, {}:{figures}", round(repetition))
}

/// For each number a row of each figure.
fn empty(numbers: &[u32]) -> Vec<Vec<Row>> {
    let rows = |&number: &u32| {
        let row = |(what, unit): (&str, &str)| Row {
            section: "leases".to_owned(),
            what: what.to_owned(),
            number: usize::try_from(number).ok(),
            unit: unit.to_owned(),
            better: Better::Less,
            sides: vec![Measured {
                side: PODWIRE.to_owned(),
                samples: Vec::new(),
            }],
        };
        WHAT.into_iter().map(row).collect()
    };
    numbers.iter().map(rows).collect()
}

/// Those of one figure below each other, without those that were not measured.
fn by_what(rows: Vec<Vec<Row>>) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.into_iter().flatten().collect();
    rows.retain(|row| row.sides.iter().any(|side| !side.samples.is_empty()));
    let place = |row: &Row| WHAT.iter().position(|(what, _)| *what == row.what);
    rows.sort_by_key(place);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::netd::changes::{Cost, Lag, Spent};

    fn figures(changes: bool) -> Figures {
        let cost = Cost {
            processor: 5.0,
            lag: Some(Lag {
                median: 18.0,
                worst: 30.0,
            }),
        };
        Figures {
            programmed: Duration::from_millis(380),
            spent: Spent {
                user: Duration::from_millis(50),
                system: Duration::from_millis(300),
            },
            resident: 12.0,
            peak: 13.0,
            changes: changes.then_some((cost, 14.0)),
        }
    }

    #[test]
    fn without_changes_there_is_no_figure_of_them() {
        let quiet = told(&figures(false));
        assert_eq!(quiet, [Some(380.0), Some(12.0), Some(13.0), None, None]);
        let all = told(&figures(true));
        let expected = [380.0, 12.0, 14.0, 5.0, 18.0].map(Some);
        assert_eq!(all, expected);
        assert_eq!(
            line(100, 2, &all),
            "100, round 2: 380 ms 12.0 MB 14.0 MB 5.00 % 18.0 ms"
        );
    }

    #[test]
    fn rows_of_a_figure_are_below_each_other_and_empty_ones_go() {
        let mut rows = empty(&[100, 1000]);
        for row in rows.iter_mut().flat_map(|rows| &mut rows[..2]) {
            row.sides[0].samples.push(1.0);
        }
        let rows = by_what(rows);
        let found: Vec<_> = rows.iter().map(|row| (&*row.what, row.number)).collect();
        let numbers = |what: (&'static str, _)| [100, 1000].map(|n| (what.0, Some(n)));
        assert_eq!(found, [numbers(WHAT[0]), numbers(WHAT[1])].concat());
    }
}
