//! What one TCP stream carries between two nodes: from pod to pod, and from node to node, which is
//! the limit.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Demo;
use super::capture::{PATIENCE, Place, run, start};
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
        let found = pods.iter().find(|pod| pod.node == node.name);
        found.with_context(|| format!("there is no pod on {}", node.name))
    };
    let (from, to) = (on(first)?, on(second)?);
    let mut table = Table::new(&["FROM", "TO", "GBIT/S"]);
    let pairs = [
        (Place::Node(first), Place::Node(second), second.address()?),
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
        Place::Pod(pod) => format!("pod {} on {}", pod.name, pod.node),
        Place::Node(node) => format!("node {}", node.name),
    }
}

/// Bits per second, as the receiver counted.
fn measure(demo: &Demo<'_>, client: Place<'_>, server: Place<'_>, address: IpAddr) -> Result<f64> {
    let _server = start(&demo.dir, server, &["iperf3", "--server", "--one-off"])?;
    let address = address.to_string();
    let iperf3 = ["iperf3", "--client", &address, "--time", SECONDS, "--json"];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = run(&demo.dir, client, &iperf3, demo.interrupt);
        let problem = match said.and_then(|said| received(&said)) {
            Ok(stream) => return Ok(stream.bits_per_second),
            Err(problem) => problem,
        };
        // Until the server listens.
        if !format!("{problem:#}").contains("refused") || Instant::now() > deadline {
            return Err(problem);
        }
        pause(demo.interrupt, Duration::from_millis(20))?;
    }
}

/// A stream as its receiver counted it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stream {
    pub(crate) bits_per_second: f64,
    /// How long it was.
    pub(crate) seconds: f64,
}

/// iperf3 reports some failures in its document, with exit status 0.
///
/// # Errors
/// It failed, or said something else.
pub(crate) fn received(said: &str) -> Result<Stream> {
    let report: Value =
        serde_json::from_str(said).with_context(|| format!("understand iperf3: {said:?}"))?;
    if let Some(error) = report["error"].as_str() {
        bail!("iperf3: {error}");
    }
    let sum = &report["end"]["sum_received"];
    let number = |key: &str| {
        let number = sum[key].as_f64();
        number.with_context(|| format!("understand iperf3: {said:?}"))
    };
    Ok(Stream {
        bits_per_second: number("bits_per_second")?,
        seconds: number("seconds")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_what_was_received() {
        let said = r#"{"end": {"sum_sent": {"bits_per_second": 2e9},
                       "sum_received": {"bits_per_second": 1.5e9, "seconds": 3.0}}}"#;
        let stream = Stream {
            bits_per_second: 1.5e9,
            seconds: 3.0,
        };
        assert_eq!(received(said).unwrap(), stream);
        let error = received(r#"{"end": {}, "error": "unable to connect"}"#).unwrap_err();
        assert_eq!(error.to_string(), "iperf3: unable to connect");
        assert!(received("").is_err());
    }
}
