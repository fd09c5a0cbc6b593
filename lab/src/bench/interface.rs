//! ADD and DEL of bridge with host-local, without and with masquerading, one pod after another and
//! several at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::{
    measure::Table,
    suite::{Call, Suite, compare},
    world,
};

/// Calls that run at the same time in the rows that say so.
const AT_A_TIME: usize = 8;
/// How often all pods are attached and detached in those rows.
const ROUNDS: usize = 5;

/// Adds the rows; every pod is attached before the first is detached, as on a full node.
pub(super) fn measure(table: &mut Table, suites: [&Suite; 2], pods: usize) -> Result<()> {
    let pods: Vec<String> = (0..pods)
        .map(|n| world::add_pod(&format!("pod{n}")))
        .collect::<Result<_>>()?;
    for (masquerade, label) in [(false, ""), (true, " with ipMasq")] {
        for command in ["ADD", "DEL"] {
            let medians = compare(suites, pods.len(), |suite, round| {
                attach_or_detach(suite, command, masquerade, &pods, round)
            })?;
            table.row(&format!("{command} bridge + host-local{label}"), medians)?;
        }
    }
    for (masquerade, label) in [(false, ""), (true, " with ipMasq")] {
        let mut adds = [Vec::new(), Vec::new()];
        let mut dels = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS * 2 {
            let which = (round + round / 2) % 2;
            let suite = suites[which];
            adds[which].push(at_once(suite, "ADD", masquerade, &pods)?);
            dels[which].push(at_once(suite, "DEL", masquerade, &pods)?);
        }
        for (command, times) in [("ADD", adds), ("DEL", dels)] {
            let name = format!("{command}{label}, {AT_A_TIME} at a time, per pod");
            table.row(
                &name,
                times.map(|mut times| Ok(super::measure::median(&mut times))),
            )?;
        }
    }
    Ok(())
}

fn attach_or_detach(
    suite: &Suite,
    command: &str,
    masquerade: bool,
    pods: &[String],
    number: usize,
) -> Result<Duration> {
    suite.time(&Call {
        plugin: "bridge",
        command,
        container: &format!("bench{number}"),
        netns: &pods[number],
        config: &suite.bridge_config(masquerade),
    })
}

/// Attaches or detaches all pods, several at a time; milliseconds per pod.
fn at_once(suite: &Suite, command: &str, masquerade: bool, pods: &[String]) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= pods.len() {
                return Ok(());
            }
            attach_or_detach(suite, command, masquerade, pods, number)?;
        }
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            let ended = worker.join();
            ended.map_err(|_| anyhow!("a worker of the benchmark panicked"))?
        })
    })?;
    let time = super::measure::milliseconds(start.elapsed()) / pods.len() as f64;
    super::suite::let_the_kernel_finish();
    Ok(time)
}
