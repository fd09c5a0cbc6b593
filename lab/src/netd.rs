//! One netd per node: start it, wait for its lease, stop it.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use kernel::route::RouteFilter;
use kernel::{NetNs, Netlink, Route};
use sandbox::{Interrupt, PATIENCE, Process, Signal};
use serde_json::Value;

use crate::interrupt::pause;
use crate::keeper::LAB_VARIABLE;
use crate::node::Node;
use crate::program::{Programs, command, output};
use crate::state::{self, Backend, Lab, LabDir};
use crate::store;
use crate::topology::INTERFACE;

/// Where netd says which subnet the node leases.
const SUBNET_ENV: &str = "/run/flannel/subnet.env";
/// Where it says how it does: its pages by HTTP.
pub const STATUS_SOCKET: &str = "/run/podwire/netd.sock";

/// Starts netd on a node and notes it in `netd.json`; its log is `netd.log`.
///
/// # Errors
/// It runs already, or cannot be started.
pub fn start(dir: &LabDir, programs: &Programs, lab: &Lab, node: &Node) -> Result<()> {
    if running(dir, node)?.is_some() {
        bail!("netd runs already on node {}", node.name);
    }
    let path = dir.node(&node.name).join("netd.log");
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("open {}", path.display()))?;
    let mut netd = command(&programs.netd);
    netd.args(store::netd_flags(dir, lab)?)
        .arg(format!("-iface={INTERFACE}"))
        // Nothing on a node drops what is forwarded, so nothing has to accept it.
        .arg("-iptables-forward-rules=false")
        .args(
            lab.lease_ttl
                .map(|seconds| format!("-lease-ttl={seconds}s")),
        )
        .args(
            lab.probe_interval_ms
                .map(|milliseconds| format!("-probe-interval={milliseconds}ms")),
        )
        .env(LAB_VARIABLE, dir.name().as_str())
        .stdout(log.try_clone()?)
        .stderr(log);
    let (process, _) = node
        .namespaces_for_processes(dir)?
        .run(|| Process::start_orphan(netd))?
        .with_context(|| format!("start netd on node {}", node.name))?;
    state::write(&dir.node(&node.name).join("netd.json"), &process)
}

/// The node's netd, if it runs.
///
/// # Errors
/// Its state file cannot be read.
pub fn running(dir: &LabDir, node: &Node) -> Result<Option<Process>> {
    let netd: Option<Process> = state::read(&dir.node(&node.name).join("netd.json"))?;
    Ok(netd.filter(Process::is_alive))
}

/// Ends the node's netd, as `kill -9` does: it has no time to say good-bye.
///
/// # Errors
/// It does not run, or does not end.
pub fn kill(dir: &LabDir, node: &Node) -> Result<()> {
    let netd =
        running(dir, node)?.with_context(|| format!("netd does not run on node {}", node.name))?;
    netd.signal(Signal::Kill)?;
    if !netd.wait_gone(PATIENCE) {
        bail!("netd on node {} was killed but does not end", node.name);
    }
    Ok(())
}

/// The subnets that the node leases, one for each family, as netd wrote them for the plugins; none before
/// that.
pub fn subnets(node: &Node) -> Vec<IpNetwork> {
    let text = fs::read_to_string(node.path(SUBNET_ENV)).unwrap_or_default();
    let subnets = ["FLANNEL_SUBNET=", "FLANNEL_IPV6_SUBNET="].map(|key| {
        let bridge = text.lines().find_map(|line| line.strip_prefix(key))?;
        // There it is the address of the node's bridge.
        let bridge: IpNetwork = bridge.parse().ok()?;
        IpNetwork::new(bridge.network(), bridge.prefix()).ok()
    });
    subnets.into_iter().flatten().collect()
}

/// Waits until netd has written the node's subnets, which it does at once.
///
/// # Errors
/// netd ends, or takes too long: the error holds the end of its log. Ctrl-C.
pub fn wait_for_subnets(
    dir: &LabDir,
    node: &Node,
    patience: Duration,
    interrupt: Interrupt,
) -> Result<Vec<IpNetwork>> {
    let deadline = Instant::now() + patience;
    loop {
        let subnets = subnets(node);
        if !subnets.is_empty() {
            return Ok(subnets);
        }
        let trouble = if running(dir, node)?.is_none() {
            "ended"
        } else if Instant::now() > deadline {
            "has no lease yet"
        } else {
            pause(interrupt, Duration::from_millis(2))?;
            continue;
        };
        let log = log_tail(&dir.node(&node.name).join("netd.log"));
        bail!("netd on node {} {trouble}; it said:\n{log}", node.name);
    }
}

/// Who knows how to ask the nodes of a lab for their peers.
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a> {
    /// Its netd is asked where the kernel does not know.
    pub programs: &'a Programs,
    /// How packets travel.
    pub backend: Backend,
}

impl Peers<'_> {
    /// Whether the node's packets find the way to that subnet of another node.
    fn has(self, node: &Node, subnet: IpNetwork) -> Result<bool> {
        match self.backend {
            Backend::Vxlan | Backend::HostGw => Ok(routes(node)?.contains(&subnet)),
            Backend::Udp => Ok(carries(&status(self.programs, node)?, subnet)),
        }
    }

    /// Waits until `node` has a way to `subnet`, or has none any more; how long it took.
    ///
    /// # Errors
    /// It takes longer than `patience`; Ctrl-C.
    pub fn wait(
        self,
        node: &Node,
        subnet: IpNetwork,
        present: bool,
        patience: Duration,
        interrupt: Interrupt,
    ) -> Result<Duration> {
        let start = Instant::now();
        while self.has(node, subnet)? != present {
            if start.elapsed() > patience {
                let still = if present { "no route" } else { "still a route" };
                bail!(
                    "node {} has {still} to {subnet} after {patience:?}",
                    node.name
                );
            }
            pause(interrupt, Duration::from_millis(5))?;
        }
        Ok(start.elapsed())
    }
}

/// The subnets of other nodes that this node has routes to, made by its netd.
fn routes(node: &Node) -> Result<Vec<IpNetwork>> {
    let namespace = NetNs::open(format!("/proc/{}/ns/net", node.holder.pid))?;
    let filter = RouteFilter {
        protocol: Some(Route::PROTOCOL_PODWIRE),
        ..RouteFilter::default()
    };
    let routes = Netlink::open_in(&namespace)?.routes(&filter)?;
    Ok(routes.into_iter().map(|route| route.dst).collect())
}

/// What netd says of itself (`docs/netd.md`, "The status as JSON").
///
/// # Errors
/// It does not answer within netd's own patience, which is some seconds.
pub fn status(programs: &Programs, node: &Node) -> Result<Value> {
    let mut asked = command(&programs.netd);
    asked
        .args(["status", "-output", "json", "-status-socket"])
        .arg(node.path(STATUS_SOCKET));
    let said = output(&mut asked).with_context(|| format!("ask netd on node {}", node.name))?;
    Ok(serde_json::from_str(&said)?)
}

/// Whether its process has been told of that subnet.
fn carries(status: &Value, subnet: IpNetwork) -> bool {
    let subnet = subnet.to_string();
    let nodes = status["peers"]["nodes"].as_array().into_iter().flatten();
    let mut programmed = nodes.filter(|node| node["state"] == "programmed");
    let has = |node: &Value| {
        let mut subnets = node["subnets"].as_array().into_iter().flatten();
        subnets.any(|each| *each == subnet)
    };
    status["forwarder"]["running"] == true && programmed.any(has)
}

/// The last lines of a log, for an error.
pub fn log_tail(path: &Path) -> String {
    const LINES: usize = 12;
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    if tail.is_empty() {
        "(nothing)".to_owned()
    } else {
        tail.join("\n")
    }
}

/// What a netd says is wrong, as its status has it: how bad, and what.
pub fn problems(status: &Value) -> Vec<(String, String)> {
    let found = status["problems"].as_array().into_iter().flatten();
    let problem = |each: &Value| {
        let word = |field: &str| each[field].as_str().unwrap_or_default().to_owned();
        let what = match word("object") {
            object if object.is_empty() => word("what"),
            object => format!("{object}: {}", word("what")),
        };
        (word("severity"), what)
    };
    found.map(problem).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_process_carries_what_is_programmed_while_it_runs() {
        let subnet: IpNetwork = "10.100.7.0/24".parse().unwrap();
        let status = |running, state, subnet: &str| {
            json!({
                "forwarder": { "running": running },
                "peers": { "nodes": [{ "state": state, "subnets": [subnet] }] },
            })
        };
        assert!(carries(
            &status(true, "programmed", "10.100.7.0/24"),
            subnet
        ));
        for other in [
            status(false, "programmed", "10.100.7.0/24"),
            status(true, "unserved", "10.100.7.0/24"),
            status(true, "programmed", "10.100.8.0/24"),
            Value::Null,
        ] {
            assert!(!carries(&other, subnet), "{other}");
        }
    }
}
