//! New connections through a node with many mapped ports.

use anyhow::Result;

use crate::bench::connections::{Rates, rates, steps};
use crate::bench::measure::sides;
use crate::bench::progress::Progress;
use crate::bench::record::{Better, Row};
use crate::bench::suite::Suite;

/// Samples in a round.
const SAMPLES: usize = 5;

/// By turns, with each of these numbers.
///
/// # Errors
/// A plugin or a connection fails.
pub(super) fn measure(
    suites: [&Suite; 2],
    numbers: &[usize],
    repetitions: usize,
) -> Result<Vec<Row>> {
    let samples = repetitions * SAMPLES;
    let mut progress = Progress::start(steps(numbers, samples), "MAPPED PORTS");
    let rates = rates(suites, numbers, samples, |line| progress.tell(line))?;
    let row = |Rates { path, pods, rates }: Rates| Row {
        section: "mapped ports".to_owned(),
        what: format!("connections through {path}"),
        number: Some(pods),
        unit: "/s".to_owned(),
        better: Better::More,
        sides: sides(&rates),
    };
    Ok(rates.into_iter().map(row).collect())
}
