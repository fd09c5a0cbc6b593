//! One netd per node: start it, wait for its lease, stop it.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use kernel::route::RouteFilter;
use kernel::{NetNs, Netlink, Route};
use sandbox::{Interrupt, Process, Signal};

use crate::interrupt::pause;
use crate::keeper::{self, LAB_VARIABLE};
use crate::node::Node;
use crate::program::{Programs, command};
use crate::state::{self, Lab, LabDir};
use crate::store;
use crate::underlay::INTERFACE;

/// Where netd says which subnet the node leases.
const SUBNET_ENV: &str = "/run/flannel/subnet.env";

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
    netd.args(store::netd_flags(dir, lab.store))
        .arg(format!("-iface={INTERFACE}"))
        // Nothing on a node drops what is forwarded, so nothing has to accept it.
        .arg("-iptables-forward-rules=false")
        .args(
            lab.lease_ttl
                .map(|seconds| format!("-lease-ttl={seconds}s")),
        )
        .env(LAB_VARIABLE, dir.name().as_str())
        .stdout(log.try_clone()?)
        .stderr(log);
    let child = node
        .namespaces_for_processes(dir)?
        .run(|| netd.spawn())?
        .with_context(|| format!("start netd on node {}", node.name))?;
    let process = Process::of(child.id());
    keeper::remember(child);
    state::write(&dir.node(&node.name).join("netd.json"), &process?)
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
    let ended = netd.wait_gone(Duration::from_secs(5));
    keeper::reap();
    if !ended {
        bail!("netd on node {} was killed but does not end", node.name);
    }
    Ok(())
}

/// The subnet that the node leases, as netd wrote it for the plugins; `None` before that.
pub fn subnet(node: &Node) -> Option<IpNetwork> {
    let text = fs::read_to_string(node.path(SUBNET_ENV)).ok()?;
    // There it is the address of the node's bridge.
    let bridge = text
        .lines()
        .find_map(|line| line.strip_prefix("FLANNEL_SUBNET="))?;
    let bridge: IpNetwork = bridge.parse().ok()?;
    IpNetwork::new(bridge.network(), bridge.prefix()).ok()
}

/// Waits until netd has written the node's subnet.
///
/// # Errors
/// netd ends, or takes too long: the error holds the end of its log. Ctrl-C.
pub fn wait_for_subnet(
    dir: &LabDir,
    node: &Node,
    patience: Duration,
    interrupt: Interrupt,
) -> Result<IpNetwork> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(subnet) = subnet(node) {
            return Ok(subnet);
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

/// The subnets of other nodes that this node has routes to, made by its netd.
///
/// # Errors
/// The node has ended.
pub fn peers(node: &Node) -> Result<Vec<IpNetwork>> {
    let namespace = NetNs::open(format!("/proc/{}/ns/net", node.holder.pid))?;
    let filter = RouteFilter {
        protocol: Some(Route::PROTOCOL_PODWIRE),
        ..RouteFilter::default()
    };
    let routes = Netlink::open_in(&namespace)?.routes(&filter)?;
    let mut peers: Vec<IpNetwork> = routes.into_iter().map(|route| route.dst).collect();
    peers.sort_unstable();
    peers.dedup();
    Ok(peers)
}

/// Waits until `node` has a route to `subnet`, or has none any more; how long it took.
///
/// # Errors
/// It takes longer than `patience`; Ctrl-C.
pub fn wait_for_peer(
    node: &Node,
    subnet: IpNetwork,
    present: bool,
    patience: Duration,
    interrupt: Interrupt,
) -> Result<Duration> {
    let start = Instant::now();
    while peers(node)?.contains(&subnet) != present {
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
