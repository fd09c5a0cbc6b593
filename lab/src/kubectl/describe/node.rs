//! A node: where it is, what it has, what is wrong with it, and its pods.

use std::fs;

use anyhow::{Context, Result};
use manifest::Quantity;

use super::lines::{Lines, NONE, pairs};
use crate::fault::{self, InForce};
use crate::kubectl::readiness::Readiness;
use crate::kubectl::{age, word};
use crate::netd;
use crate::node::Node;
use crate::output::{Table, escaped};
use crate::pod::{self, Pod};
use crate::program::Programs;
use crate::state::LabDir;

/// # Errors
/// A state file cannot be read.
pub(super) fn text(dir: &LabDir, node: &Node) -> Result<String> {
    let faults = fault::in_force(dir)?;
    let readiness = Readiness::of(node, &Node::all(dir)?, &faults);
    let mut text = head(node)?.text();
    text.push_str("Conditions:\n");
    text.push_str(&indented(&conditions(&readiness)));
    let of_node = faults
        .iter()
        .filter(|fault| fault.places().contains(&&node.name));
    let of_node: Vec<InForce> = of_node.map(InForce::from).collect();
    text.push_str(&block("Faults", fault_table(&of_node)));
    text.push_str(&block("Problems", problem_table(node, &readiness)));
    text.push_str(&block("Pods", pod_table(dir, node)?));
    Ok(text)
}

fn head(node: &Node) -> Result<Lines> {
    let mut lines = Lines::default();
    lines.add(0, "Name", &node.name);
    lines.add_all(0, "Labels", &pairs(&node.labels, "="));
    let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
    lines.add_all(0, "InternalIP", &addresses);
    let subnets: Vec<String> = netd::subnets(node)
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.add_all(0, "PodCIDR", &subnets);
    lines.add(0, "Process", node.holder.pid);
    lines.add(0, "Capacity", "the machine's, which all nodes share");
    lines.add(
        2,
        "cpu",
        std::thread::available_parallelism().context("count processors")?,
    );
    lines.add(2, "memory", machines_memory()?);
    Ok(lines)
}

/// As Kubernetes has it: `8028340Ki`.
fn machines_memory() -> Result<String> {
    const PATH: &str = "/proc/meminfo";
    let text = fs::read_to_string(PATH).with_context(|| format!("read {PATH}"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|total| total.split_whitespace().next());
    let kibibytes = kibibytes.with_context(|| format!("{PATH} has no MemTotal"))?;
    Ok(format!("{kibibytes}Ki"))
}

fn conditions(readiness: &Readiness) -> Table {
    let mut table = Table::new(&["Type", "Status", "Reason", "Message"]);
    let status = if readiness.is_ready() {
        "True"
    } else {
        "False"
    };
    table.row([
        "Ready".to_owned(),
        status.to_owned(),
        readiness.reason().unwrap_or("NetdRuns").to_owned(),
        readiness
            .message()
            .unwrap_or_else(|| "netd runs".to_owned()),
    ]);
    table
}

fn fault_table(faults: &[InForce]) -> Option<Table> {
    let mut table = Table::new(&["Fault", "Where", "What"]);
    for InForce {
        fault,
        places,
        what,
    } in faults
    {
        table.row([(*fault).to_owned(), places.join(", "), what.clone()]);
    }
    (!faults.is_empty()).then_some(table)
}

/// What its netd says; one that stands still says nothing.
fn problem_table(node: &Node, readiness: &Readiness) -> Option<Table> {
    if !readiness.takes_pods() {
        return None;
    }
    let status = Programs::find(None).and_then(|programs| netd::status(&programs, node));
    let problems = match status {
        Ok(status) => netd::problems(&status),
        Err(error) => vec![(
            "unknown".to_owned(),
            format!("netd does not say: {error:#}"),
        )],
    };
    let mut table = Table::new(&["Severity", "What"]);
    for (severity, what) in &problems {
        table.row([severity.clone(), escaped(what)]);
    }
    (!problems.is_empty()).then_some(table)
}

fn pod_table(dir: &LabDir, node: &Node) -> Result<Option<Table>> {
    let mut table = Table::new(&[
        "Name",
        "Ready",
        "Status",
        "CPU Limit",
        "Memory Limit",
        "Age",
    ]);
    let mut is_empty = true;
    for pod in Pod::all(dir)?.iter().filter(|pod| pod.node == node.name) {
        is_empty = false;
        let word = word::of(pod.spec(), &pod.status(dir)?, pod.deletion(dir)?.is_some());
        let limit = |name| all_limits(pod, name).unwrap_or_else(|| NONE.to_owned());
        table.row([
            pod.name.to_string(),
            word.ready,
            word.status,
            limit("cpu"),
            limit("memory"),
            age::human(pod.created.age()),
        ]);
    }
    Ok((!is_empty).then_some(table))
}

/// Those of its containers, as they are written.
fn all_limits(pod: &pod::Pod, name: &str) -> Option<String> {
    let containers = pod.spec().containers.iter();
    let limits = containers.map(|each| each.resources.limits.get(name));
    let limits: Option<Vec<&Quantity>> = limits.collect();
    let limits = limits?.into_iter().map(ToString::to_string);
    Some(limits.collect::<Vec<_>>().join(" + "))
}

fn block(name: &str, table: Option<Table>) -> String {
    match table {
        None => format!("{name}:  {NONE}\n"),
        Some(table) => format!("{name}:\n{}", indented(&table)),
    }
}

fn indented(table: &Table) -> String {
    let text = table.to_string();
    text.lines().map(|line| format!("  {line}\n")).collect()
}
