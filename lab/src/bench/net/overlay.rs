//! Pods on two nodes that a netd each connects, or routes and a tunnel made by hand.

use std::fs;
use std::net::IpAddr;
use std::path::Path as FilePath;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use super::by_hand;
use super::maker::{Ends, Site, address};
use super::paths::Path;
use super::wire::said;
use crate::bench::netd::{Process, last_lines, wait_for};
use crate::bench::world::{command_in, server_in};
use crate::program::{PING, require};

/// What a node's pods get.
pub(super) struct Pods {
    pub(super) subnet: String,
    pub(super) mtu: u32,
}

/// # Errors
/// netd does not become ready, a plugin fails, or the pods do not reach each other.
pub(super) fn make(site: &Site<'_>) -> Result<(Ends, Vec<Process>)> {
    require(&[PING])?;
    let nodes = [site.name("n1"), site.name("n2")];
    let (pods, daemons) = match site.path {
        Path::VxlanByHand => (by_hand::connect(site, &nodes)?, Vec::new()),
        _ => connect_by_netd(site, &nodes)?,
    };
    let mut addresses = Vec::new();
    for (node, pods) in nodes.iter().zip(&pods) {
        addresses.push(add_pods(site, node, pods)?);
    }
    let ends = Ends {
        client: pod(&nodes[0]),
        server: pod(&nodes[1]),
        address: addresses.pop().context("no pods")?,
    };
    let address = ends.address.to_string();
    wait_for("the pods to reach each other", || {
        let ping = ["-c1", "-W1", &address];
        Ok(said(command_in(&ends.client, "ping").args(ping)).is_ok())
    })?;
    Ok((ends, daemons))
}

fn connect_by_netd(site: &Site<'_>, nodes: &[String; 2]) -> Result<(Vec<Pods>, Vec<Process>)> {
    let store = write_config(site)?;
    let mut wire = site.wire()?;
    let mut daemons = Vec::new();
    for node in nodes {
        wire.add_node(node)?;
        daemons.push(start_netd(site, node, &store)?);
    }
    let mut pods = Vec::new();
    for (node, netd) in nodes.iter().zip(&mut daemons) {
        wait_until_ready(site.maker.bin_dir, node, netd)?;
        pods.push(leased(site, node)?);
    }
    Ok((pods, daemons))
}

/// Of the network; the directory of the store.
fn write_config(site: &Site<'_>) -> Result<String> {
    let store = format!("/run/bench/{}", site.name("store"));
    fs::create_dir_all(&store)?;
    let backend = site.path.backend().context("no backend")?;
    let mut config = site.family.cluster();
    config["Backend"] = site.maker.variant.backend(backend);
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

fn wait_until_ready(bin_dir: &FilePath, node: &str, netd: &mut Process) -> Result<()> {
    let what = format!("netd on {node} to be ready");
    let waited = wait_for(&what, || {
        if let Some(status) = netd.0.try_wait()? {
            bail!("netd on {node} has ended: {status}");
        }
        is_ready(bin_dir, node)
    });
    waited.with_context(|| last_lines(file(node, "log")))
}

fn is_ready(bin_dir: &FilePath, node: &str) -> Result<bool> {
    let socket = file(node, "sock");
    let mut status = command_in(node, bin_dir.join("netd"));
    status.args(["status", "-output", "json", "-status-socket", &socket]);
    let Ok(status) = said(&mut status) else {
        return Ok(false);
    };
    let status: Value = serde_json::from_str(&status).context("read the status")?;
    Ok(status["ready"] == true)
}

/// What netd says in its file.
fn leased(site: &Site<'_>, node: &str) -> Result<Pods> {
    let env = fs::read_to_string(file(node, "env"))?;
    let value = |key: &str| {
        let mut pairs = env.lines().filter_map(|line| line.split_once('='));
        let found = pairs.find(|(name, _)| *name == key);
        let (_, value) = found.with_context(|| format!("no {key} in subnet.env"))?;
        Ok::<_, anyhow::Error>(value)
    };
    let gateway = value(site.family.subnet_key())?;
    let gateway: IpNetwork = gateway.parse().context("the node's subnet")?;
    Ok(Pods {
        subnet: format!("{}/{}", gateway.network(), gateway.prefix()),
        mtu: value("FLANNEL_MTU")?.parse().context("FLANNEL_MTU")?,
    })
}

/// On a bridge; the address of the one that is measured.
fn add_pods(site: &Site<'_>, node: &str, pods: &Pods) -> Result<IpAddr> {
    let bridge = json!({ "type": "bridge", "bridge": "cni0", "isGateway": true, "mtu": pods.mtu });
    let mut config = site.network_of(bridge, &pods.subnet);
    config["ipam"]["dataDir"] = file(node, "leases").into();
    let result = site.attach(node, &pod(node), &config)?;
    site.attach_others(node, &config)?;
    address(&result)
}
