//! The control groups of a pod, below `podwire-lab/LAB/POD`: `infra` with its supervisor, `c-NAME` for each
//! container. No process is in a group that has groups below it, which version 2 forbids.
//!
//! Limits are the containers'. The pod's own group has its share of processor time among the node's pods.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use manifest::{Annotations, Container, Quantity};
use sandbox::cgroup::{Group, Hierarchies, Limits};
use sandbox::{PATIENCE, Signal, join_at_start};

use super::founder::annotations;
use super::{Pod, strays};
use crate::home;
use crate::state::{LabDir, Name};

/// The control group of all labs.
pub const GROUP: &str = "podwire-lab";

/// The control group of a lab, or below it of a pod.
pub fn group_path(dir: &LabDir, pod: Option<&Name>) -> PathBuf {
    let lab = PathBuf::from(GROUP).join(dir.name().as_str());
    match pod {
        Some(pod) => lab.join(pod.as_str()),
        None => lab,
    }
}

/// The group of a pod, which all its others are below.
pub fn of_pod<'a>(hierarchies: &'a Hierarchies, dir: &LabDir, pod: &Name) -> Group<'a> {
    hierarchies.group(group_path(dir, Some(pod)))
}

/// The group of a pod's supervisor, and of what belongs to no container.
pub(super) fn infra<'a>(hierarchies: &'a Hierarchies, dir: &LabDir, pod: &Name) -> Group<'a> {
    of_pod(hierarchies, dir, pod).below("infra")
}

/// The group of a container, through all its starts.
pub fn of_container<'a>(
    hierarchies: &'a Hierarchies,
    dir: &LabDir,
    pod: &Name,
    container: &str,
) -> Group<'a> {
    of_pod(hierarchies, dir, pod).below(&format!("c-{container}"))
}

/// Has `command` start in the group of a container.
///
/// # Errors
/// The group does not exist.
pub(super) fn join_container_at_start(
    command: &mut Command,
    dir: &LabDir,
    pod: &Name,
    container: &str,
) -> Result<()> {
    let hierarchies = home::control_groups()?;
    let group = of_container(&hierarchies, dir, pod, container);
    Ok(join_at_start(command, &group)?)
}

/// Makes all groups of a pod.
///
/// # Errors
/// The kernel refused a limit, or lacks the controller for it.
pub(super) fn create(hierarchies: &Hierarchies, dir: &LabDir, pod: &Pod) -> Result<()> {
    let asked = annotations(&pod.workload.pod);
    let all: Vec<Limits> = pod
        .containers()
        .map(|container| limits(container, &asked))
        .collect();
    of_pod(hierarchies, dir, &pod.name).create(&claims(&all))?;
    infra(hierarchies, dir, &pod.name).create(&Limits::default())?;
    for (container, limits) in pod.containers().zip(&all) {
        of_container(hierarchies, dir, &pod.name, &container.name).create(limits)?;
    }
    Ok(())
}

/// What a container may use, and what it claims. Who says a limit alone claims as much (core/v1, "requests").
fn limits(container: &Container, asked: &Annotations) -> Limits {
    let resources = &container.resources;
    let limit = |name: &str| resources.limits.get(name);
    let request = |name: &str| resources.requests.get(name).or(limit(name));
    let processor = |cpu: &Quantity| u32::try_from(cpu.thousandths()).unwrap_or(u32::MAX);
    Limits {
        memory: limit("memory").map(Quantity::whole),
        memory_request: request("memory").map(Quantity::whole),
        killed_as_one: limit("memory").is_some(),
        cpu: limit("cpu").map(processor),
        cpu_request: request("cpu").map(processor),
        pids: limit(PIDS).map(Quantity::whole),
        cpuset: asked
            .processors
            .as_ref()
            .map(|all| all.numbers().to_owned()),
        io_read: asked.io_read,
        io_write: asked.io_write,
    }
}

/// What the containers claim is claimed by the pod among the node's other pods.
fn claims(containers: &[Limits]) -> Limits {
    let memory = containers.iter().filter_map(|each| each.memory_request);
    let memory = memory.fold(0, u64::saturating_add);
    let cpu = containers.iter().filter_map(|each| each.cpu_request);
    let cpu = cpu.fold(0, u32::saturating_add);
    Limits {
        memory_request: (memory > 0).then_some(memory),
        cpu_request: (cpu > 0).then_some(cpu),
        ..Limits::default()
    }
}

/// The name of `lab run --pids` among a container's limits; manifests do not have it.
pub const PIDS: &str = "pids";

/// Ends every process of a group and removes it; a missing one is fine.
///
/// # Errors
/// They do not end.
pub(super) fn clear(group: &Group<'_>) -> Result<()> {
    group.kill()?;
    Ok(group.remove(PATIENCE)?)
}

/// Ends every process of a pod that is left, and waits until they are gone.
///
/// # Errors
/// They do not end.
pub(super) fn end(dir: &LabDir, pod: &Pod) -> Result<()> {
    let hierarchies = home::control_groups()?;
    let group = of_pod(&hierarchies, dir, &pod.name);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = match hierarchies.are_none() {
            true => strays::of_pod(dir, pod)?,
            false => group.all_processes()?,
        };
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "processes {left:?} of pod {} were killed but do not end",
                pod.name
            );
        }
        match hierarchies.are_none() {
            true => left.iter().try_for_each(|each| each.signal(Signal::Kill))?,
            false => group.kill()?,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
