//! The benchmarks of connections and streams work; what they measure on a quiet machine is README's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use kernel::testing::World;

#[test]
fn connections_are_counted_through_both_suites() {
    // Without privileges the benchmark cannot make its namespaces.
    let Some(_world) = World::new() else { return };
    let table = bench(&["connections", "--samples", "1", "--mapped-pods", "2,3"]);
    for row in [
        "through portmap, 2 mapped pods",
        "through portmap, 3 mapped pods",
        "through masquerade, 2 mapped pods",
        "through masquerade, 3 mapped pods",
    ] {
        let line = table.lines().find(|line| line.starts_with(row));
        let words = line.unwrap_or_else(|| panic!("no row {row:?} in {table}"));
        let rates = words[row.len()..].split_whitespace().step_by(2).take(2);
        for rate in rates {
            assert!(rate.parse::<f64>().unwrap() > 0.0, "{words}");
        }
    }
}

#[test]
fn a_stream_is_carried_by_each_backend() {
    let Some(_world) = World::new() else { return };
    let table = bench(&["throughput", "--streams", "1"]);
    for row in ["node to node", "host-gw", "vxlan", "udp"] {
        let line = table.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("no row {row:?} in {table}"));
        let speed = line[row.len()..].split_whitespace().next().unwrap();
        assert!(speed.parse::<f64>().unwrap() > 0.0, "{line}");
    }
}

#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn bench(arguments: &[&str]) -> String {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.args(["bench", "--only"]);
    let output = lab.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}
