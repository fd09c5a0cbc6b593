//! ADD and DEL of bridge with host-local, without and with masquerading.

use anyhow::Result;

use super::{
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
                suite.time(&Call {
                    plugin: "bridge",
                    command,
                    container: &format!("bench{round}"),
                    netns: &pods[round],
                    config: &suite.bridge_config(masquerade),
                })
            })?;
            table.row(&format!("{command} bridge + host-local{label}"), medians)?;
        }
    }
    Ok(())
}
