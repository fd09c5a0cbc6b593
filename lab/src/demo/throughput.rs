//! What one TCP stream carries between two nodes: from pod to pod, and from node to node, which is
//! the limit.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Demo;
use super::capture::{Place, run, start};
use super::matrix::address;
use crate::interrupt::pause;
use crate::node::Node;
use crate::output::Table;
use crate::pod::Pod;

/// Of each measurement, in seconds.
const SECONDS: &str = "3";

pub(super) fn show(demo: &mut Demo<'_>, pods: &[Pod]) -> Result<()> {
    demo.screen.step(format_args!(
        "throughput of one TCP stream between two nodes, {SECONDS} s each"
    ));
    let nodes = Node::all(&demo.dir)?;
    let [first, second, ..] = nodes.as_slice() else {
        return Ok(());
    };
    let on = |node: &Node| {
        let found = pods.iter().find(|pod| pod.spec.node == node.name);
        found.with_context(|| format!("there is no pod on {}", node.name))
    };
    let (from, to) = (on(first)?, on(second)?);
    let mut table = Table::new(&["FROM", "TO", "GBIT/S"]);
    let pairs = [
        (
            Place::Node(first),
            Place::Node(second),
            IpAddr::V4(second.address),
        ),
        (Place::Pod(from), Place::Pod(to), address(to)?),
    ];
    for (client, server, address) in pairs {
        let (client_name, server_name) = (name(client), name(server));
        demo.screen
            .live(format_args!("{client_name} to {server_name}"));
        let speed = measure(demo, client, server, address)?;
        table.row([client_name, server_name, format!("{:.1}", speed / 1e9)]);
    }
    demo.screen.table(&table);
    demo.screen.done();
    Ok(())
}

fn name(place: Place<'_>) -> String {
    match place {
        Place::Pod(pod) => format!("pod {} on {}", pod.spec.name, pod.spec.node),
        Place::Node(node) => format!("node {}", node.name),
    }
}

/// Bits per second, as the receiver counted.
fn measure(demo: &Demo<'_>, client: Place<'_>, server: Place<'_>, address: IpAddr) -> Result<f64> {
    let _server = start(&demo.dir, server, &["iperf3", "--server", "--one-off"])?;
    let address = address.to_string();
    let iperf3 = ["iperf3", "--client", &address, "--time", SECONDS, "--json"];
    let deadline = Instant::now() + Duration::from_secs(5);
    let said = loop {
        let patience = Duration::from_secs(30);
        match run(&demo.dir, client, &iperf3, demo.interrupt, patience) {
            // The server does not listen yet.
            Err(error) if format!("{error:#}").contains("refused") && Instant::now() < deadline => {
                pause(demo.interrupt, Duration::from_millis(20))?;
            }
            outcome => break outcome?,
        }
    };
    received(&said).context("understand iperf3")
}

fn received(said: &str) -> Option<f64> {
    let report: Value = serde_json::from_str(said).ok()?;
    report["end"]["sum_received"]["bits_per_second"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_what_was_received() {
        let said = r#"{"end": {"sum_sent": {"bits_per_second": 2e9},
                       "sum_received": {"bits_per_second": 1.5e9}}}"#;
        assert_eq!(received(said), Some(1.5e9));
        assert_eq!(received(r#"{"error": "unable to connect"}"#), None);
        assert_eq!(received(""), None);
    }
}
