//! The processes of a pod where no control group has them: those in its namespaces.

use anyhow::Result;
use sandbox::{HeldNamespace, Namespace, Process};

use super::{Pod, Status};
use crate::node::Node;
use crate::state::{self as files, LabDir};

/// Those in its network namespace, however they came there; of a pod that has the node's, the first processes of its
/// containers, with which all that is in their PID namespaces ends.
///
/// # Errors
/// A state file cannot be read.
pub(super) fn of_pod(dir: &LabDir, pod: &Pod) -> Result<Vec<Process>> {
    if pod.spec().host_network {
        return first_processes(dir, pod);
    }
    let node = Node::find(dir, &pod.node)?;
    let path = node.path(&Pod::netns(&pod.name).to_string_lossy());
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(HeldNamespace::at(Namespace::Network, &path)?.processes()?)
}

fn first_processes(dir: &LabDir, pod: &Pod) -> Result<Vec<Process>> {
    let written: Option<Status> = files::read(&dir.pod(&pod.name).join("status.json"))?;
    let running = written.iter().flat_map(Status::containers);
    let first = running.filter_map(|each| Some(each.state.running()?.process));
    Ok(first.filter(|process| !process.is_gone()).collect())
}
