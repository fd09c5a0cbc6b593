//! Attaching and detaching several pods at a time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::{
    measure::{self, Table},
    suite::{self, Suite, compare},
};

/// How often all pods are attached and detached.
const ROUNDS: usize = 5;

/// What all pods took.
#[derive(Default)]
struct Times {
    /// Each, in milliseconds.
    each: Vec<f64>,
    /// All of a round, divided by their number.
    per_pod: Vec<f64>,
}

/// Runs a command of one suite for the pod of that number; none where there is no such pod.
pub(super) type OfPod<'a> = &'a (dyn Fn(&Suite, &str, usize) -> Option<Result<Duration>> + Sync);

/// Adds rows for ADD and for DEL, for each of these numbers of calls at the same time.
///
/// # Errors
/// A call fails.
pub(super) fn measure_all(
    table: &mut Table,
    suites: [&Suite; 2],
    label: &str,
    numbers: &[usize],
    call: OfPod<'_>,
) -> Result<()> {
    for &at_once in numbers {
        match at_once {
            1 => one_by_one(table, suites, label, call)?,
            _ => measure(table, suites, label, at_once, call)?,
        }
    }
    Ok(())
}

/// So many rows [`measure_all`] adds for a number of calls at the same time.
pub(super) fn rows(at_once: usize) -> usize {
    if at_once == 1 { 2 } else { 4 }
}

/// The suites by turns with every pod.
fn one_by_one(table: &mut Table, suites: [&Suite; 2], label: &str, call: OfPod<'_>) -> Result<()> {
    for command in ["ADD", "DEL"] {
        let times = compare(suites, |suite, number| call(suite, command, number))?;
        table.quantiles(&format!("{command} {label}"), times);
    }
    Ok(())
}

/// Adds rows for ADD and for DEL with so many calls at the same time, in milliseconds: of the single pod,
/// and of all divided by their number.
fn measure(
    table: &mut Table,
    suites: [&Suite; 2],
    label: &str,
    at_once: usize,
    call: OfPod<'_>,
) -> Result<()> {
    let mut adds: [Times; 2] = Default::default();
    let mut dels: [Times; 2] = Default::default();
    for round in 0..ROUNDS * 2 {
        let which = (round + round / 2) % 2;
        adds[which].round(at_once, |number| call(suites[which], "ADD", number))?;
        dels[which].round(at_once, |number| call(suites[which], "DEL", number))?;
    }
    for (command, times) in [("ADD", adds), ("DEL", dels)] {
        let name = format!("{command} {label}, {at_once} at a time");
        let [reference, ours] = times;
        table.quantiles(&name, [reference.each, ours.each]);
        let per_pod = [reference.per_pod, ours.per_pod];
        table.medians(&format!("{name}, per pod"), per_pod);
    }
    Ok(())
}

impl Times {
    /// Runs `call` for every pod.
    fn round(
        &mut self,
        at_once: usize,
        call: impl Fn(usize) -> Option<Result<Duration>> + Sync,
    ) -> Result<()> {
        let start = Instant::now();
        let each = at_a_time(at_once, call)?;
        let time = measure::milliseconds(start.elapsed());
        self.per_pod.push(time / each.len() as f64);
        self.each.extend(each);
        suite::let_the_kernel_finish();
        Ok(())
    }
}

/// Runs `call` with each number from 0 until there is none for one, so many at the same time; what each took in
/// milliseconds.
///
/// # Errors
/// A call fails.
pub(super) fn at_a_time(
    at_once: usize,
    call: impl Fn(usize) -> Option<Result<Duration>> + Sync,
) -> Result<Vec<f64>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        while let Some(time) = call(next.fetch_add(1, Ordering::Relaxed)) {
            let time = measure::milliseconds(time?);
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(time);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            let ended = worker.join();
            ended.map_err(|_| anyhow!("a worker of the benchmark panicked"))?
        })
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}
