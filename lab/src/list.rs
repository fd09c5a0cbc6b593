//! What runs for a lab: `lab ps`, as a table or as JSON.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use ipnetwork::IpNetwork;
use serde::Serialize;

use crate::keeper;
use crate::netd;
use crate::node::Node;
use crate::output::{Table, or_dash};
use crate::pod::Pod;
use crate::router::Router;
use crate::state::{Backend, Lab, LabDir, Name, Store};
use crate::store::Etcd;

/// A lab, as `lab ps` shows it.
#[derive(Debug, Serialize)]
pub struct LabView {
    lab: Name,
    running: bool,
    backend: Option<Backend>,
    store: Option<Store>,
    processes: Vec<ProcessView>,
}

/// A process of a lab.
#[derive(Debug, Serialize)]
pub struct ProcessView {
    kind: &'static str,
    name: String,
    node: Option<Name>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    addresses: Vec<IpAddr>,
    subnets: Vec<IpNetwork>,
    pid: Option<u32>,
    state: String,
}

/// Everything that runs for a lab.
///
/// # Errors
/// A state file cannot be read.
pub fn processes(name: &Name) -> Result<LabView> {
    let dir = LabDir::of(name);
    // A lab that was cut short has no complete description.
    let lab: Option<Lab> = dir.lab().ok();
    let keeper = keeper::find(&dir)?;
    let mut processes = Vec::new();
    if let Some(keeper) = keeper {
        processes.push(ProcessView::new("keeper", name.as_str(), Some(keeper.pid)));
    }
    if let Some(etcd) = Etcd::find(&dir)? {
        let server = etcd.server.filter(sandbox::Process::is_alive);
        processes.push(ProcessView::new(
            "etcd",
            "etcd",
            server.map(|server| server.pid),
        ));
    }
    for router in Router::all(&dir)? {
        processes.push(of_router(&router));
    }
    for node in Node::all(&dir)? {
        processes.extend(of_node(&dir, &node)?);
    }
    for pod in Pod::all(&dir)? {
        processes.push(of_pod(&dir, &pod)?);
    }
    Ok(LabView {
        lab: name.clone(),
        running: keeper.is_some(),
        backend: lab.as_ref().map(|lab| lab.backend),
        store: lab.as_ref().map(|lab| lab.store),
        processes,
    })
}

fn of_router(router: &Router) -> ProcessView {
    let holder = Some(router.holder).filter(sandbox::Process::is_alive);
    let pid = holder.map(|holder| holder.pid);
    let mut view = ProcessView::new("router", router.name.as_str(), pid);
    view.addresses = router.addresses.iter().map(IpNetwork::ip).collect();
    view
}

fn of_node(dir: &LabDir, node: &Node) -> Result<[ProcessView; 2]> {
    let holder = Some(node.holder).filter(sandbox::Process::is_alive);
    let mut of_node = ProcessView::new("node", node.name.as_str(), holder.map(|holder| holder.pid));
    of_node.labels.clone_from(&node.labels);
    of_node.addresses.clone_from(&node.addresses);
    let netd = netd::running(dir, node)?;
    let mut of_netd = ProcessView::new("netd", "netd", netd.map(|netd| netd.pid));
    of_netd.node = Some(node.name.clone());
    of_netd.subnets = netd::subnets(node);
    Ok([of_node, of_netd])
}

fn of_pod(dir: &LabDir, pod: &Pod) -> Result<ProcessView> {
    let mut view = ProcessView::new(
        "pod",
        pod.name.as_str(),
        pod.supervisor.map(|supervisor| supervisor.pid),
    );
    let state = pod.state(dir)?;
    view.node = Some(pod.node.clone());
    let network = pod.network.as_ref();
    let addresses = network.map_or(&[][..], |network| &network.addresses);
    view.addresses = addresses.iter().map(IpNetwork::ip).collect();
    view.state = state.to_string();
    if !pod.is_supervised() {
        view.pid = None;
    }
    Ok(view)
}

impl ProcessView {
    fn new(kind: &'static str, name: &str, pid: Option<u32>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            node: None,
            labels: BTreeMap::new(),
            addresses: Vec::new(),
            subnets: Vec::new(),
            pid,
            state: if pid.is_some() { "running" } else { "stopped" }.to_owned(),
        }
    }
}

/// The table of `lab ps`.
pub fn process_table(view: &LabView) -> Table {
    let mut table = Table::new(&["KIND", "NAME", "NODE", "ADDRESS", "SUBNET", "PID", "STATE"]);
    for process in &view.processes {
        table.row([
            process.kind.to_owned(),
            process.name.clone(),
            or_dash(process.node.as_ref()),
            all_or_dash(&process.addresses),
            all_or_dash(&process.subnets),
            or_dash(process.pid),
            process.state.clone(),
        ]);
    }
    table
}

fn all_or_dash<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    or_dash(Some(values.join(",")).filter(|all| !all.is_empty()))
}
