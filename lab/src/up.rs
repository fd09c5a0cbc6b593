//! `lab up`: the underlay, the store, the nodes, and netd on each.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use sandbox::{Interrupt, require_root};

use crate::down;
use crate::impairment;
use crate::interrupt::check;
use crate::keeper::{self, Keeper, LAB_VARIABLE};
use crate::netd::{self, Peers};
use crate::network;
use crate::node::{self, Node};
use crate::program::{self, Programs, command, output};
use crate::state::{self, Lab, LabDir, Lock, Name, Store};
use crate::{router, store, underlay};

/// How long a netd may take to get its lease.
pub const LEASE_PATIENCE: Duration = Duration::from_secs(60);

/// A lab that runs, still tied to this process: it ends when this value is dropped, unless it is
/// released.
#[derive(Debug)]
pub struct Running {
    /// Its directory.
    pub dir: LabDir,
    /// Ends the lab when dropped.
    pub keeper: Keeper,
}

/// What happens while a lab is built; said as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The bridges that join the nodes are there, and the routers between them.
    Underlays,
    /// The store is there.
    Store,
    /// A node is there, and its netd has these subnets.
    Node {
        /// Its name.
        node: Name,
        /// Its lease, one for each family.
        subnets: Vec<IpNetwork>,
    },
    /// Every node has a route to every other.
    Joined,
}

/// Builds a lab. When that fails, or Ctrl-C comes, what was built is taken down again.
///
/// # Errors
/// Not root, a program is missing, a lab of this name exists, the kernel refused, netd gets no
/// lease; Ctrl-C.
pub fn up(
    lab: &Lab,
    programs: &Programs,
    interrupt: Interrupt,
    tell: &mut dyn FnMut(Event),
) -> Result<Running> {
    check_request(lab)?;
    let dir = LabDir::of(&lab.name);
    let lock = dir.create()?;
    match build(&dir, lab, programs, interrupt, tell) {
        Ok(keeper) => Ok(Running { dir, keeper }),
        Err(error) => {
            take_down(&dir, lock).map_err(|second| {
                anyhow::anyhow!("{error:#}; what was built could not be taken down: {second:#}")
            })?;
            Err(error)
        }
    }
}

fn take_down(dir: &LabDir, lock: Lock) -> Result<()> {
    let problems = down::down_locked(dir, &lock)?;
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}", problems.join("; "))
}

fn check_request(lab: &Lab) -> Result<()> {
    require_root().context("a lab needs root: it makes namespaces, mounts and control groups")?;
    if lab.store == Store::Etcd {
        program::require(&[program::ETCD, program::CURL])?;
    }
    impairment::require_support(&lab.topology)
}

fn build(
    dir: &LabDir,
    lab: &Lab,
    programs: &Programs,
    interrupt: Interrupt,
    tell: &mut dyn FnMut(Event),
) -> Result<Keeper> {
    state::write(&dir.path("lab.json"), lab)?;
    for inside in ["bin", "net.d", "nodes", "pods", "routers", "store"] {
        let path = dir.path(inside);
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
    }
    let keeper = Keeper::start(dir, programs)?;
    check(interrupt)?;
    install_plugins(dir, programs, &keeper)?;
    lab.network.link_plugins(dir)?;
    network::configure(dir, lab)?;
    make_underlays(dir, lab, programs, &keeper)?;
    tell(Event::Underlays);
    store::create(dir, programs, &keeper.process, lab, interrupt)?;
    tell(Event::Store);
    let nodes = start_nodes(dir, lab, programs, &keeper, interrupt)?;
    let peers = Peers {
        programs,
        backend: lab.backend,
    };
    join(dir, peers, &nodes, interrupt, tell)?;
    Ok(keeper)
}

fn make_underlays(dir: &LabDir, lab: &Lab, programs: &Programs, keeper: &Keeper) -> Result<()> {
    for underlay in &lab.topology.underlays {
        underlay::create(&keeper.process, underlay)?;
    }
    for plan in &lab.topology.routers {
        router::create(dir, programs, &keeper.process, lab, plan)?;
    }
    Ok(())
}

/// In the lab's PID namespace, so that a killed `lab up` has no installer at work behind it.
fn install_plugins(dir: &LabDir, programs: &Programs, keeper: &Keeper) -> Result<()> {
    let mut install = command(&programs.podwire);
    install.args(["install", "--bin-dir"]).arg(dir.path("bin"));
    install.env(LAB_VARIABLE, dir.name().as_str());
    let inside = keeper::within(dir, &keeper.process, &[])?;
    inside
        .run(|| output(&mut install))?
        .map(drop)
        .context("install the plugins into the lab")
}

fn start_nodes(
    dir: &LabDir,
    lab: &Lab,
    programs: &Programs,
    keeper: &Keeper,
    interrupt: Interrupt,
) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for plan in &lab.topology.nodes {
        check(interrupt)?;
        let node = node::create(dir, programs, &keeper.process, lab, plan)?;
        netd::start(dir, programs, lab, &node)?;
        nodes.push(node);
    }
    Ok(nodes)
}

/// Waits until every netd has its lease, and every node a way to every other's subnet.
fn join(
    dir: &LabDir,
    peers: Peers<'_>,
    nodes: &[Node],
    interrupt: Interrupt,
    tell: &mut dyn FnMut(Event),
) -> Result<()> {
    let mut subnets = Vec::new();
    for node in nodes {
        let own = netd::wait_for_subnets(dir, node, LEASE_PATIENCE, interrupt)?;
        tell(Event::Node {
            node: node.name.clone(),
            subnets: own.clone(),
        });
        subnets.extend(own.into_iter().map(|subnet| (&node.name, subnet)));
    }
    for node in nodes {
        for (_, subnet) in subnets.iter().filter(|(name, _)| **name != node.name) {
            peers.wait(node, *subnet, true, LEASE_PATIENCE, interrupt)?;
        }
    }
    tell(Event::Joined);
    Ok(())
}
