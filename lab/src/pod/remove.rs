//! The end of a pod: politely, then not; and nothing of it is left.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use kernel::NetNs;
use sandbox::cgroup::Hierarchies;
use sandbox::{Process, Signal};

use super::{Pod, deletion, group_path, groups, launch};
use crate::keeper;
use crate::network;
use crate::node::Node;
use crate::state::{LabDir, Name};

/// How long the kernel may take to let go of a control group.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a supervisor has, beside the grace period, to see its containers end and to write that down.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Ends a pod, detaches its network and removes all that was made for it. Its containers have `grace` to end
/// after they were asked to, or the pod's own grace period. What is gone already is fine.
///
/// # Errors
/// There is no such pod; the network could not be detached (the rest is removed all the same, and
/// the pod stays listed so that a repeat can finish).
pub fn remove(dir: &LabDir, name: &Name, grace: Option<Duration>) -> Result<()> {
    let _lock = dir.lock_shared()?;
    let pod = Pod::find(dir, name)?;
    remove_locked(dir, &pod, grace)
}

/// The same, for who holds the lock.
///
/// # Errors
/// As [`remove`].
pub fn remove_locked(dir: &LabDir, pod: &Pod, grace: Option<Duration>) -> Result<()> {
    if let Some(supervisor) = &pod.supervisor {
        ask_to_end(dir, pod, supervisor, grace.unwrap_or(pod.grace()))?;
    }
    groups::end(dir, pod)?;
    let node = Node::find(dir, &pod.node)?;
    // A node that has ended took the network of its pods along.
    if node.holder.is_alive() {
        detach(dir, &node, pod)?;
        remove_scratch(&node, &pod.name)?;
    }
    let hierarchies = Hierarchies::detect()?;
    hierarchies
        .group(group_path(dir, Some(&pod.name)))
        .remove(PATIENCE)?;
    let path = dir.pod(&pod.name);
    fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))
}

/// Detaches a pod's network and removes its namespace; what was not attached is fine.
///
/// # Errors
/// A plugin refused.
pub fn detach(dir: &LabDir, node: &Node, pod: &Pod) -> Result<()> {
    if pod.spec().host_network {
        return Ok(());
    }
    network::detach(dir, node, &pod.name)?;
    let remove = || NetNs::remove(Pod::netns(&pod.name));
    Ok(node.namespaces()?.run(remove)??)
}

fn ask_to_end(dir: &LabDir, pod: &Pod, supervisor: &Process, grace: Duration) -> Result<()> {
    deletion::write(dir, &pod.name, grace)?;
    supervisor.signal(Signal::Terminate)?;
    if !supervisor.wait_gone(grace + LAST_WORDS) {
        supervisor.signal(Signal::Kill)?;
    }
    keeper::reap();
    Ok(())
}

/// Removes the empty directory on the node that the pod's files were mounted on, in its supervisor's mount
/// namespace.
fn remove_scratch(node: &Node, name: &Name) -> Result<()> {
    let path = node.path(&launch::scratch(name).to_string_lossy());
    match fs::remove_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
