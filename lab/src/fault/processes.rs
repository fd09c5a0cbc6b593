//! The processes of a node, all at once: they are those in its network namespace and in those of its
//! pods, however they came there; but for the holder, which is the node itself.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kernel::NetNsId;
use sandbox::{PATIENCE, Process, Signal};

use crate::node::Node;

/// Where pods' network namespaces are, on a node.
const NETNS: &str = "/run/netns";

/// Has every process stand still; how many there are.
///
/// # Errors
/// A process cannot be signalled.
pub(super) fn pause(node: &Node) -> Result<usize> {
    let namespaces = namespaces(node)?;
    let mut stopped = BTreeSet::new();
    // One that was not there yet may have been started by one that did not stand still yet.
    loop {
        let mut found = processes(node, &namespaces)?;
        found.retain(|process| stopped.insert((process.pid, process.start_time)));
        if found.is_empty() {
            return Ok(stopped.len());
        }
        for process in found {
            process.signal(Signal::Stop)?;
        }
    }
}

/// Has every process go on.
///
/// # Errors
/// A process cannot be signalled.
pub(super) fn resume(node: &Node) -> Result<()> {
    for process in processes(node, &namespaces(node)?)? {
        process.signal(Signal::Continue)?;
    }
    Ok(())
}

/// Kills every process; how many there were. They stand still first, so that none sees another's end.
///
/// # Errors
/// A process does not end.
pub(super) fn kill(node: &Node) -> Result<usize> {
    pause(node)?;
    let namespaces = namespaces(node)?;
    let deadline = Instant::now() + PATIENCE;
    let mut killed = Vec::new();
    loop {
        for process in processes(node, &namespaces)? {
            process.signal(Signal::Kill)?;
            if !killed.contains(&process) {
                killed.push(process);
            }
        }
        // Those that are ending have left their namespaces already.
        if killed.iter().all(Process::is_gone) && processes(node, &namespaces)?.is_empty() {
            return Ok(killed.len());
        }
        if Instant::now() > deadline {
            bail!(
                "not all of the processes {killed:?} of node {} end, though they were killed",
                node.name
            );
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn processes(node: &Node, namespaces: &[NetNsId]) -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").context("list processes")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let in_them = pids.filter_map(|pid| {
        // Identified first: one that ends meanwhile is then not taken for a later one.
        let process = Process::of(pid).ok()?;
        // The kernel's own processes, and those that have ended, show none.
        let namespace = NetNsId::at(format!("/proc/{pid}/ns/net")).ok()?;
        namespaces.contains(&namespace).then_some(process)
    });
    Ok(in_them.filter(|process| *process != node.holder).collect())
}

/// The node's own and its pods'.
fn namespaces(node: &Node) -> Result<Vec<NetNsId>> {
    let own = NetNsId::at(format!("/proc/{}/ns/net", node.holder.pid))?;
    let mut all = vec![own];
    // There is no directory before the first pod.
    for entry in fs::read_dir(node.path(NETNS))
        .into_iter()
        .flatten()
        .flatten()
    {
        all.extend(NetNsId::at(entry.path()).ok());
    }
    Ok(all)
}
