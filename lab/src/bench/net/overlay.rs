//! Pods on two nodes that a netd each connects.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::maker::{Ends, Site, address};
use super::wire::{Wire, said};
use crate::bench::netd::{Process, last_lines, wait_for};
use crate::bench::world::{command_in, server_in};

/// # Errors
/// netd does not become ready, a plugin fails, or the pods do not reach each other.
pub(super) fn make(site: &Site<'_>) -> Result<(Ends, Vec<Process>)> {
    let nodes = [site.name("n1"), site.name("n2")];
    let store = write_config(site)?;
    let mut wire = Wire::new(site.name("wire"))?;
    let mut daemons = Vec::new();
    for node in &nodes {
        wire.add_node(node)?;
        daemons.push(start_netd(site, node, &store)?);
    }
    let mut addresses = Vec::new();
    for node in &nodes {
        wait_until_ready(site.maker.bin_dir, node)?;
        addresses.push(add_pods(site, node)?);
    }
    let ends = Ends {
        client: pod(&nodes[0]),
        server: pod(&nodes[1]),
        address: addresses.pop().context("no pods")?,
    };
    wait_for("the pods to reach each other", || {
        let ping = ["-c1", "-W1", &ends.address];
        Ok(said(command_in(Some(&ends.client), "ping").args(ping)).is_ok())
    })?;
    Ok((ends, daemons))
}

/// Of the network; the directory of the store.
fn write_config(site: &Site<'_>) -> Result<String> {
    let store = format!("/run/bench/{}", site.name("store"));
    fs::create_dir_all(&store)?;
    let backend = site.path.backend().context("no backend")?;
    let backend = site.maker.variant.backend(backend);
    let config = json!({ "Network": "10.100.0.0/16", "Backend": backend });
    fs::write(format!("{store}/config"), config.to_string())?;
    Ok(store)
}

fn file(node: &str, extension: &str) -> String {
    format!("/run/bench/{node}.{extension}")
}

fn pod(node: &str) -> String {
    format!("{node}-pod")
}

fn start_netd(site: &Site<'_>, node: &str, store: &str) -> Result<Process> {
    let log = fs::File::create(file(node, "log"))?;
    let started = server_in(node, site.maker.bin_dir.join("netd"))
        .args(["-iface", "eth0", "-iptables-forward-rules=false"])
        .args(["-store", "dir", "-store-dir", store])
        .args(["-subnet-file", &file(node, "env")])
        .args(["-status-socket", &file(node, "sock")])
        .args(site.maker.variant.netd())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    started.map(Process).context("run netd")
}

fn wait_until_ready(bin_dir: &Path, node: &str) -> Result<()> {
    let what = format!("netd on {node} to be ready");
    let waited = wait_for(&what, || is_ready(bin_dir, node));
    waited.with_context(|| last_lines(file(node, "log")))
}

fn is_ready(bin_dir: &Path, node: &str) -> Result<bool> {
    let socket = file(node, "sock");
    let mut status = command_in(Some(node), bin_dir.join("netd"));
    status.args(["status", "-output", "json", "-status-socket", &socket]);
    let Ok(status) = said(&mut status) else {
        return Ok(false);
    };
    let status: Value = serde_json::from_str(&status).context("read the status")?;
    Ok(status["ready"] == true)
}

/// On a bridge, as netd says in its file; the address of the one that is measured.
fn add_pods(site: &Site<'_>, node: &str) -> Result<String> {
    let env = fs::read_to_string(file(node, "env"))?;
    let value = |key: &str| {
        let found = env.lines().find_map(|line| line.strip_prefix(key));
        found.with_context(|| format!("no {key} in subnet.env"))
    };
    let (gateway, mtu) = (value("FLANNEL_SUBNET=")?, value("FLANNEL_MTU=")?);
    let base = gateway.strip_suffix(".1/24");
    let base = base.with_context(|| format!("{gateway} is no node's subnet"))?;
    let subnet = format!("{base}.0/24");
    let mtu: u32 = mtu.parse().context("FLANNEL_MTU")?;
    let bridge = json!({ "type": "bridge", "bridge": "cni0", "isGateway": true, "mtu": mtu });
    let mut config = site.network_of(bridge, &subnet);
    config["ipam"]["dataDir"] = file(node, "leases").into();
    let result = site.attach(node, &pod(node), &config)?;
    site.attach_others(node, &config)?;
    address(&result)
}
