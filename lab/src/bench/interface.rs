//! ADD and DEL of bridge with host-local, without and with masquerading, one pod after another and
//! several at a time.

use std::time::Duration;

use anyhow::Result;

use super::{
    at_once,
    measure::Table,
    suite::{Call, Suite, compare},
    world,
};

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
    for (masquerade, label) in [(false, "bridge"), (true, "bridge with ipMasq")] {
        at_once::measure(table, suites, label, |suite, command, number| {
            (number < pods.len())
                .then(|| attach_or_detach(suite, command, masquerade, &pods, number))
        })?;
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
        host: None,
    })
}
