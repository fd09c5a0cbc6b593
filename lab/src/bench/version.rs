//! VERSION of bridge, which does nothing: what starting a process costs, and the measuring itself.
//! It is part of every other row.

use anyhow::Result;
use serde_json::json;

use super::{
    measure::Table,
    suite::{Call, Suite, compare},
};

/// Adds the row.
pub(super) fn measure(table: &mut Table, suites: [&Suite; 2], rounds: usize) -> Result<()> {
    let config = json!({ "cniVersion": "1.0.0" });
    let times = compare(suites, |suite, round| {
        (round < rounds).then(|| {
            suite.time(&Call {
                plugin: "bridge",
                command: "VERSION",
                container: "",
                netns: "",
                config: &config,
                host: None,
            })
        })
    })?;
    table.quantiles("VERSION bridge", times);
    Ok(())
}
