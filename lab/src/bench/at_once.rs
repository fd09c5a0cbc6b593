//! Attaching and detaching several pods at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::{
    measure::{self, Table},
    suite::{self, Suite},
};

/// Calls that run at the same time.
const AT_A_TIME: usize = 8;
/// How often all pods are attached and detached.
const ROUNDS: usize = 5;

/// Adds a row for ADD and one for DEL, in milliseconds per pod. `call` runs a command of one suite
/// for the pod of that number; none where there is no such pod.
pub(super) fn measure(
    table: &mut Table,
    suites: [&Suite; 2],
    label: &str,
    call: impl Fn(&Suite, &str, usize) -> Option<Result<Duration>> + Sync,
) -> Result<()> {
    let mut adds = [Vec::new(), Vec::new()];
    let mut dels = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS * 2 {
        let which = (round + round / 2) % 2;
        adds[which].push(all(|number| call(suites[which], "ADD", number))?);
        dels[which].push(all(|number| call(suites[which], "DEL", number))?);
    }
    for (command, times) in [("ADD", adds), ("DEL", dels)] {
        let name = format!("{command} {label}, {AT_A_TIME} at a time, per pod");
        table.row(
            &name,
            times.map(|mut times| Ok(measure::median(&mut times))),
        )?;
    }
    Ok(())
}

/// Runs `call` for every pod; milliseconds per pod.
fn all(call: impl Fn(usize) -> Option<Result<Duration>> + Sync) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(outcome) = call(next.fetch_add(1, Ordering::Relaxed)) {
            outcome?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            let ended = worker.join();
            ended.map_err(|_| anyhow!("a worker of the benchmark panicked"))?
        })
    })?;
    let time = measure::milliseconds(start.elapsed()) / done.into_inner() as f64;
    suite::let_the_kernel_finish();
    Ok(time)
}
