//! ADD of host-local in a directory that has many reservations already.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    measure::Table,
    suite::{Call, Suite, compare},
};

const FIRST: u32 = u32::from_be_bytes([10, 0, 0, 2]);

/// How many reservations there are.
pub(super) const TAKEN: [u32; 3] = [10, 10_000, 60_000];

/// Adds rows for each number of addresses taken.
pub(super) fn measure(table: &mut Table, suites: [&Suite; 2], rounds: usize) -> Result<()> {
    for taken in TAKEN {
        let configs = [prepare(suites[0], taken)?, prepare(suites[1], taken)?];
        let times = compare(suites, |suite, round| {
            let config = &configs[usize::from(suite.name != suites[0].name)];
            let container = &format!("bench{round}");
            (round < rounds).then(|| {
                suite.time(&Call {
                    plugin: "host-local",
                    command: "ADD",
                    container,
                    netns: "/none",
                    config,
                    host: None,
                })
            })
        })?;
        table.quantiles(&format!("ADD host-local, {taken} addresses taken"), times);
    }
    Ok(())
}

/// A directory as the reference would have left it after `taken` ADDs.
fn prepare(suite: &Suite, taken: u32) -> Result<Value> {
    let network = format!("taken-{taken}-{}", suite.name);
    let dir = PathBuf::from("/var/lib/cni/networks").join(&network);
    fs::create_dir_all(&dir)?;
    for n in 0..taken {
        fs::write(
            dir.join(Ipv4Addr::from(FIRST + n).to_string()),
            format!("old{n}\r\neth0"),
        )?;
    }
    fs::write(
        dir.join("last_reserved_ip.0"),
        Ipv4Addr::from(FIRST + taken - 1).to_string(),
    )?;
    Ok(json!({
        "cniVersion": "1.0.0", "name": network, "type": "bridge",
        "ipam": { "type": "host-local", "subnet": "10.0.0.0/8" },
    }))
}
