//! `lab explain`: follows one packet from a pod to an address, hop by hop, and names the first hop that
//! breaks. It looks with `ip`, `bridge` and `nft`, sends pings from the pod, and changes nothing that
//! outlives it.

mod hops;
mod place;
mod trace;
mod walk;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};

use crate::cli::ExplainArgs;
use crate::fault;
use crate::kubectl::{PodOrPath, pod_name};
use crate::node::Node;
use crate::output::{Paint, Table};
use crate::pod::Pod;
use crate::program::{self, IP, PING};
use crate::router::Router;
use crate::state::{LabDir, Name};
pub use hops::Hop;
use place::Place;
use walk::Walk;

/// Nodes that can be looked at, and the pods on them.
pub(crate) struct Cluster {
    nodes: Vec<Place>,
    /// Each with the index of its node.
    pods: Vec<(usize, Place)>,
    /// Between the nodes.
    routers: Vec<Place>,
}

/// Where a packet goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An address, whoever has it.
    Address(IpAddr),
    /// The first address of a pod of the lab.
    Pod(Name),
}

impl FromStr for Destination {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => pod_name(text).map(Self::Pod).map_err(|_| {
                anyhow!("{text:?} is neither a pod's name nor an address: give one like web or 10.244.1.2")
            }),
        }
    }
}

impl Destination {
    fn address(&self, dir: &LabDir) -> Result<IpAddr> {
        match self {
            Self::Address(address) => Ok(*address),
            Self::Pod(name) => {
                let pod = Pod::find(dir, name)?;
                let address = pod.reached_at(&Node::find(dir, &pod.node)?)?;
                address.with_context(|| format!("pod {name} has no address yet"))
            }
        }
    }
}

/// What was found of one packet's way.
#[derive(Debug)]
pub struct Explanation {
    /// Where the packet goes.
    pub to: IpAddr,
    /// In the order in which the packet meets them.
    pub hops: Vec<Hop>,
}

impl Explanation {
    /// The hop that breaks.
    pub fn broken(&self) -> Option<&Hop> {
        self.hops.iter().find(|hop| hop.fault.is_some())
    }
}

/// Follows the packet.
///
/// # Errors
/// There is no such pod; a tool is missing or fails.
pub fn explain(dir: &LabDir, args: &ExplainArgs) -> Result<Explanation> {
    program::require(&[IP, PING])?;
    let to = args.to.address(dir)?;
    let (cluster, pod) = match &args.pod {
        PodOrPath::Path(path) => machine(path)?,
        PodOrPath::Pod(name) => lab(dir, name)?,
    };
    let (mut hops, mend) = Walk::from_pod(&cluster, pod, to)?;
    if let Some(mend) = mend {
        let blamed = match &args.pod {
            PodOrPath::Path(_) => String::new(),
            PodOrPath::Pod(_) => blamed_faults(dir, &cluster, (pod, to), &hops)?,
        };
        if let Some(broken) = hops.last_mut() {
            broken.fault = Some(format!("{}. {blamed}{mend}", broken.what));
        }
    }
    Ok(Explanation { to, hops })
}

/// The faults of the lab on the packet's way, which are told before what else would mend it: what the lab does it can
/// end.
fn blamed_faults(
    dir: &LabDir,
    cluster: &Cluster,
    (pod, to): (usize, IpAddr),
    hops: &[Hop],
) -> Result<String> {
    let way = nodes_on_the_way(cluster, pod, to, hops)?;
    let mut faults = fault::in_force(dir)?;
    faults.retain(|fault| {
        let mut places = fault.places().into_iter();
        fault.hinders_packets() && places.all(|place| way.contains(&format!("node {place}")))
    });
    let told = faults
        .iter()
        .map(|fault| format!("{}, which `{}` ends", fault::named(fault), fault.ended_by()));
    Ok(match &told.collect::<Vec<_>>()[..] {
        [] => String::new(),
        told => format!("In force is {}; else ", told.join(", and ")),
    })
}

/// The names of the places of those that the packet has met or is to meet.
fn nodes_on_the_way(
    cluster: &Cluster,
    pod: usize,
    to: IpAddr,
    hops: &[Hop],
) -> Result<BTreeSet<String>> {
    let mut way: BTreeSet<String> = hops.iter().map(|hop| hop.at.clone()).collect();
    way.insert(cluster.nodes[cluster.pods[pod].0].name.clone());
    for (node, place) in &cluster.pods {
        if place.has(to)? {
            way.insert(cluster.nodes[*node].name.clone());
        }
    }
    for node in &cluster.nodes {
        if node.has(to)? {
            way.insert(node.name.clone());
        }
    }
    Ok(way)
}

/// The nodes and pods of a lab, and the index of this pod.
fn lab(dir: &LabDir, pod: &Name) -> Result<(Cluster, usize)> {
    Pod::find(dir, pod)?;
    let mut cluster = Cluster {
        nodes: Vec::new(),
        pods: Vec::new(),
        routers: Vec::new(),
    };
    for router in Router::all(dir)? {
        let name = format!("router {}", router.name);
        cluster.routers.push(Place::of(name, router.namespaces()?));
    }
    let nodes = Node::all(dir)?;
    for node in &nodes {
        let name = format!("node {}", node.name);
        cluster.nodes.push(Place::of(name, node.namespaces()?));
    }
    let pods = Pod::all(dir)?;
    // The others have no network of their own.
    let pods: Vec<Pod> = pods
        .into_iter()
        .filter(|pod| !pod.spec().host_network)
        .collect();
    for pod in &pods {
        let name = &pod.name;
        let at = nodes.iter().position(|node| node.name == pod.node);
        let at = at.with_context(|| format!("pod {name} is on no node"))?;
        let path = nodes[at].path(&Pod::netns(name).to_string_lossy());
        let namespaces = nodes[at].namespaces()?;
        cluster
            .pods
            .push((at, Place::within(format!("pod {name}"), namespaces, path)?));
    }
    let at = pods.iter().position(|each| each.name == *pod);
    let at = at.with_context(|| format!("pod {pod} has gone, or has the network of its node"))?;
    Ok((cluster, at))
}

/// Where named namespaces are.
const NAMED: &str = "/run/netns";

/// This machine alone, and the pods in named namespaces on it, with the one at `path`.
fn machine(path: &Path) -> Result<(Cluster, usize)> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let Ok(named) = std::fs::read_dir(NAMED) {
        paths.extend(named.filter_map(|entry| Some(entry.ok()?.path())));
    }
    if !paths.iter().any(|each| each == path) {
        paths.push(path.to_owned());
    }
    let mut cluster = Cluster {
        nodes: vec![Place::here("this node".to_owned())],
        pods: Vec::new(),
        routers: Vec::new(),
    };
    let mut wanted = None;
    for each in &paths {
        let name = each
            .file_name()
            .map_or_else(|| each.to_string_lossy(), |name| name.to_string_lossy());
        match Place::at(format!("pod {name}"), each) {
            Ok(place) => {
                if each == path {
                    wanted = Some(cluster.pods.len());
                }
                cluster.pods.push((0, place));
            }
            Err(error) if each == path => return Err(error),
            // What is no namespace, or goes just now, is no pod.
            Err(_) => {}
        }
    }
    Ok((
        cluster,
        wanted.with_context(|| format!("{} is no namespace", path.display()))?,
    ))
}

/// For people.
pub fn table(explanation: &Explanation, pod: &str, to: IpAddr, paint: Paint) -> String {
    let mut table = Table::new(&["", "AT", "WHAT"]);
    for (n, hop) in explanation.hops.iter().enumerate() {
        let what = match &hop.fault {
            None => hop.what.clone(),
            Some(_) => paint.bad(&hop.what),
        };
        table.row([(n + 1).to_string(), hop.at.clone(), what]);
    }
    let end = match explanation.broken() {
        None => paint.good(format!("packets from {pod} reach {to} and come back")),
        Some(hop) => {
            let fault = hop.fault.as_deref().unwrap_or_default();
            format!("{} {}: {fault}", paint.bad("it breaks at"), hop.at)
        }
    };
    format!("{table}{end}\n")
}
