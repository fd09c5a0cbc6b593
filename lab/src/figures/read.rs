//! All figures of a lab at one moment.

use std::time::Instant;

use anyhow::Result;
use manifest::{Container, FIRST_INTERFACE, Quantity};
use sandbox::cgroup::{Group, Hierarchies, Usage};

use super::network::{Traffic, links_of};
use crate::node::Node;
use crate::pod::{ContainerStatus, Phase, Pod, Timestamp, groups};
use crate::state::{LabDir, Name};
use crate::topology::INTERFACE;

/// How the names of netd's devices begin, those of type flannel too.
const TUNNEL_PREFIX: &str = "flannel";

/// All figures of a lab at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When they were read.
    pub taken: Instant,
    /// By name.
    pub nodes: Vec<NodeFigures>,
    /// By name.
    pub pods: Vec<PodFigures>,
}

/// What a node's own links carried.
#[derive(Clone, Debug)]
pub struct NodeFigures {
    /// Its name.
    pub name: Name,
    /// Its link to the other nodes; absent when the node has ended.
    pub underlay: Option<Traffic>,
    /// netd's devices, whose packets the underlay carries; none where plain routes lead to the other nodes.
    pub tunnels: Vec<Traffic>,
}

/// What a pod uses.
#[derive(Clone, Debug)]
pub struct PodFigures {
    /// Its name.
    pub name: Name,
    /// Where it runs.
    pub node: Name,
    /// Another one of the same name has another.
    pub uid: String,
    /// How it is doing.
    pub phase: Phase,
    /// All its containers together with its supervisor.
    pub used: Use,
    /// Of `eth0`; absent with `hostNetwork`, and when its supervisor has ended.
    pub network: Option<Traffic>,
    /// Of the interfaces on its further networks.
    pub further_networks: Vec<Traffic>,
    /// Init containers first.
    pub containers: Vec<ContainerFigures>,
}

/// What a container uses.
#[derive(Clone, Debug)]
pub struct ContainerFigures {
    /// Its name.
    pub name: String,
    /// Since its pod was made, whichever start it was.
    pub used: Use,
    /// Its processes.
    pub processes: usize,
    /// When it was started, if it runs.
    pub started: Option<Timestamp>,
    /// How often it was started again.
    pub restarts: u32,
}

/// What a pod or a container uses and has used; of its fields those are absent that the kernel does not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// As the kernel counts it.
    pub usage: Usage,
    /// Bytes; absent without a limit.
    pub memory_limit_bytes: Option<u64>,
}

impl Snapshot {
    /// Reads them. A pod that ends meanwhile lacks some of its figures.
    ///
    /// # Errors
    /// There is no such lab; a state file or a file of the kernel cannot be read.
    pub fn take(dir: &LabDir) -> Result<Self> {
        dir.lab()?;
        let hierarchies = crate::home::control_groups()?;
        let nodes = Node::all(dir)?.into_iter().map(of_node);
        let pods = Pod::all(dir)?.into_iter();
        Ok(Self {
            taken: Instant::now(),
            nodes: nodes.collect::<Result<_>>()?,
            pods: pods
                .map(|pod| of_pod(dir, &hierarchies, pod))
                .collect::<Result<_>>()?,
        })
    }
}

fn of_node(node: Node) -> Result<NodeFigures> {
    let links = links_of(&node.holder)?.into_iter();
    let (underlay, mut tunnels): (Vec<_>, Vec<_>) =
        links.partition(|link| link.interface == INTERFACE);
    tunnels.retain(|link| link.interface.starts_with(TUNNEL_PREFIX));
    Ok(NodeFigures {
        name: node.name,
        underlay: underlay.into_iter().next(),
        tunnels,
    })
}

fn of_pod(dir: &LabDir, hierarchies: &Hierarchies, pod: Pod) -> Result<PodFigures> {
    let status = pod.status(dir)?;
    let figures = |container: &Container| {
        let group = groups::of_container(hierarchies, dir, &pod.name, &container.name);
        of_container(&group, container, status.container(&container.name))
    };
    let containers: Vec<_> = pod.containers().map(figures).collect::<Result<_>>()?;
    let (network, further_networks) = of_networks(&pod)?;
    let group = groups::of_pod(hierarchies, dir, &pod.name);
    Ok(PodFigures {
        phase: status.phase,
        used: together(&group, &pod, &containers)?,
        network,
        further_networks,
        name: pod.name,
        node: pod.node,
        uid: pod.uid,
        containers,
    })
}

/// What the interfaces on a pod's networks carried, its first one's apart from the others.
fn of_networks(pod: &Pod) -> Result<(Option<Traffic>, Vec<Traffic>)> {
    let Some(process) = pod.supervisor.filter(|_| !pod.spec().host_network) else {
        return Ok((None, Vec::new()));
    };
    let networks = pod.network.iter().flat_map(|attached| &attached.networks);
    let names: Vec<&str> = networks.map(|each| each.interface.as_str()).collect();
    let (first, mut further): (Vec<_>, Vec<_>) = links_of(&process)?
        .into_iter()
        .partition(|link| link.interface == FIRST_INTERFACE);
    further.retain(|link| names.contains(&link.interface.as_str()));
    Ok((first.into_iter().next(), further))
}

/// Of a pod's own group the kernel counts neither what the limits of groups below it did.
fn together(group: &Group<'_>, pod: &Pod, containers: &[ContainerFigures]) -> Result<Use> {
    let sum = |of: fn(&Usage) -> Option<u64>| {
        let counts = containers.iter().map(|each| of(&each.used.usage));
        counts.sum::<Option<u64>>()
    };
    Ok(Use {
        usage: Usage {
            cpu_throttled_nanoseconds: sum(|usage| usage.cpu_throttled_nanoseconds),
            out_of_memory_kills: sum(|usage| usage.out_of_memory_kills),
            ..group.usage()?
        },
        memory_limit_bytes: memory_limit(pod),
    })
}

/// What all containers may use together; as much as there is when one has no limit.
fn memory_limit(pod: &Pod) -> Option<u64> {
    let mut containers = pod.spec().containers.iter();
    containers.try_fold(0_u64, |sum, each| {
        let limit = each.resources.limits.get("memory")?;
        Some(sum.saturating_add(limit.whole()))
    })
}

fn of_container(
    group: &Group<'_>,
    container: &Container,
    status: Option<&ContainerStatus>,
) -> Result<ContainerFigures> {
    let limit = container.resources.limits.get("memory");
    let running = status.and_then(|status| status.state.running());
    Ok(ContainerFigures {
        name: container.name.clone(),
        used: Use {
            usage: group.usage()?,
            memory_limit_bytes: limit.map(Quantity::whole),
        },
        processes: group.all_processes()?.len(),
        started: running.map(|running| running.started_at),
        restarts: status.map_or(0, |status| status.restart_count),
    })
}
