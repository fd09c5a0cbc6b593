//! What one TCP stream carries between two nodes: from node to node, which is the limit, and from pod to pod
//! with each backend of netd. One after the other and again, so that what else the machine does meets all.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::measure::median;
use super::netd::{Process, last_lines, wait_for};
use super::world::{self, command_in};
use crate::demo::throughput::received;

const BACKENDS: [&str; 3] = ["host-gw", "vxlan", "udp"];
const NODES: [&str; 2] = ["n1", "n2"];
const STORE: &str = "/run/bench/store";
/// Of each measurement, in seconds.
const SECONDS: &str = "3";

/// Measures and prints a line for each.
#[allow(clippy::print_stdout, reason = "the figures are the command's result")]
pub(super) fn run(bin_dir: &Path, rounds: usize) -> Result<()> {
    make_nodes()?;
    let mut speeds = vec![Vec::new(); 1 + BACKENDS.len()];
    for _ in 0..rounds {
        let (limit, over) = speeds.split_at_mut(1);
        limit[0].push(stream("n1", "n2", "192.168.50.2")?);
        for (backend, speeds) in BACKENDS.iter().zip(over) {
            let running = Running::start(bin_dir, backend)?;
            speeds.push(stream("p-n1", "p-n2", &running.target)?);
            running.end(bin_dir)?;
        }
    }
    println!("\none TCP stream between two nodes, median of {rounds} times {SECONDS} s");
    let medians: Vec<f64> = speeds.iter_mut().map(|speeds| median(speeds)).collect();
    let names = ["node to node"].iter().chain(&BACKENDS);
    for (name, speed) in names.zip(&medians) {
        let part = 100.0 * speed / medians[0];
        println!("{name:12}  {:6.2} Gbit/s  {part:5.0} %", speed / 1e9);
    }
    Ok(())
}

/// Two nodes on one bridge.
fn make_nodes() -> Result<()> {
    ip("link add wire type bridge")?;
    ip("link set wire up")?;
    for (node, n) in NODES.into_iter().zip(1..) {
        world::add_pod(node)?;
        ip(&format!(
            "link add v{n} type veth peer name eth0 netns {node}"
        ))?;
        ip(&format!("link set v{n} master wire up"))?;
        ip(&format!("-n {node} address add 192.168.50.{n}/24 dev eth0"))?;
        ip(&format!("-n {node} link set eth0 up"))?;
        let forward = ["-qw", "net.ipv4.ip_forward=1"];
        said(command_in(Some(node), "sysctl").args(forward))?;
    }
    Ok(())
}

fn ip(line: &str) -> Result<()> {
    world::run("ip", &line.split(' ').collect::<Vec<_>>())
}

/// What a program that succeeds says.
fn said(command: &mut std::process::Command) -> Result<String> {
    let output = command.output().context("run a program on a node")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// netd and a pod on each node.
struct Running {
    daemons: Vec<Process>,
    /// The second node's pod.
    target: String,
}

impl Running {
    fn start(bin_dir: &Path, backend: &str) -> Result<Self> {
        // A first store, or one that is not needed any more.
        let _ = fs::remove_dir_all(STORE);
        fs::create_dir_all(STORE)?;
        let config = json!({ "Network": "10.100.0.0/16", "Backend": { "Type": backend } });
        fs::write(format!("{STORE}/config"), config.to_string())?;
        let daemons = NODES.map(|node| start_netd(bin_dir, node));
        let daemons = daemons.into_iter().collect::<Result<_>>()?;
        for node in NODES {
            wait_for(&format!("netd on {node} to be ready"), || {
                is_ready(bin_dir, node)
            })
            .with_context(|| last_lines(file(node, "log")))?;
        }
        let pods = NODES.map(add_pod).into_iter().collect::<Result<Vec<_>>>()?;
        let target = pods[1].clone();
        wait_for("the pods to reach each other", || {
            let ping = ["-c1", "-W1", &target];
            Ok(said(command_in(Some("p-n1"), "ping").args(ping)).is_ok())
        })?;
        Ok(Self { daemons, target })
    }

    /// netd leaves its datapath in place when it ends.
    fn end(self, bin_dir: &Path) -> Result<()> {
        drop(self.daemons);
        for node in NODES {
            let cleanup = ["cleanup", "-force"];
            said(netd(bin_dir, node).args(cleanup).args(files(node)))?;
            ip(&format!("-n {node} link delete cni0"))?;
            ip(&format!("netns delete p-{node}"))?;
        }
        Ok(())
    }
}

fn file(node: &str, extension: &str) -> String {
    format!("/run/bench/{node}.{extension}")
}

fn files(node: &str) -> [String; 4] {
    let (env, socket) = (file(node, "env"), file(node, "sock"));
    ["-subnet-file".into(), env, "-status-socket".into(), socket]
}

fn netd(bin_dir: &Path, node: &str) -> std::process::Command {
    command_in(Some(node), bin_dir.join("netd"))
}

fn start_netd(bin_dir: &Path, node: &str) -> Result<Process> {
    let log = fs::File::create(file(node, "log"))?;
    let started = netd(bin_dir, node)
        .args(["-iface", "eth0", "-iptables-forward-rules=false"])
        .args(["-store", "dir", "-store-dir", STORE])
        .args(files(node))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    started.map(Process).context("run netd")
}

fn is_ready(bin_dir: &Path, node: &str) -> Result<bool> {
    let socket = file(node, "sock");
    let mut status = netd(bin_dir, node);
    status.args(["status", "-output", "json", "-status-socket", &socket]);
    let Ok(status) = said(&mut status) else {
        return Ok(false);
    };
    let status: Value = serde_json::from_str(&status).context("read the status")?;
    Ok(status["ready"] == true)
}

/// A pod on a bridge, as the plugin bridge makes it; its address.
fn add_pod(node: &str) -> Result<String> {
    let env = fs::read_to_string(file(node, "env"))?;
    let value = |key: &str| {
        let found = env.lines().find_map(|line| line.strip_prefix(key));
        found.with_context(|| format!("no {key} in subnet.env"))
    };
    let (gateway, mtu) = (value("FLANNEL_SUBNET=")?, value("FLANNEL_MTU=")?);
    let base = gateway.strip_suffix(".1/24");
    let base = base.with_context(|| format!("{gateway} is no node's subnet"))?;
    let (gateway, address) = (format!("{base}.1"), format!("{base}.2"));
    let pod = format!("p-{node}");
    world::add_pod(&pod)?;
    for line in [
        format!("-n {node} link add cni0 type bridge"),
        format!("-n {node} address add {gateway}/24 dev cni0"),
        format!("-n {node} link set cni0 up mtu {mtu}"),
        format!("-n {node} link add pod0 type veth peer name eth0 netns {pod}"),
        format!("-n {node} link set pod0 master cni0 up mtu {mtu}"),
        format!("-n {pod} address add {address}/24 dev eth0"),
        format!("-n {pod} link set eth0 up mtu {mtu}"),
        format!("-n {pod} route add default via {gateway}"),
    ] {
        ip(&line)?;
    }
    Ok(address)
}

/// Bits per second, as the receiver counted.
fn stream(from: &str, to: &str, address: &str) -> Result<f64> {
    let server = command_in(Some(to), "iperf3")
        .args(["--server", "--one-off"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let _server = Process(server.context("run iperf3 (package iperf3)")?);
    wait_for("iperf3 to listen", || {
        let listening = ["-ltnH", "sport", "=", ":5201"];
        Ok(!said(command_in(Some(to), "ss").args(listening))?.is_empty())
    })?;
    let client = ["--client", address, "--time", SECONDS, "--json"];
    received(&said(command_in(Some(from), "iperf3").args(client))?)
}
