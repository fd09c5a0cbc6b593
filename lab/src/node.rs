//! Nodes: a network, mount and UTS namespace held by one process, on the underlay.
//!
//! A node sees the machine's files, with a `/run`, `/var/lib/cni`, `/etc/cni` and `/opt/cni` of its
//! own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use kernel::{if_there, sysctl};
use sandbox::mount;
use sandbox::{self, Namespace, Namespaces, Process};
use serde::{Deserialize, Serialize};

use crate::fault;
use crate::home;
use crate::keeper::{self, LAB_VARIABLE};
use crate::netd;
use crate::network::{Network, PLUGIN_DIRS};
use crate::program::{Programs, command};
use crate::state::{self, Lab, LabDir, Name};
use crate::topology::NodePlan;
use crate::underlay;

/// Where the runtime looks for network configurations, on a node.
pub const NET_D: &str = "/etc/cni/net.d";
/// Where it looks for plugins.
pub const CNI_BIN: &str = "/opt/cni/bin";

/// Said of a node whose namespaces have gone.
pub(crate) const ENDED: &str = "has ended, and nothing starts it again: `lab down`, then `lab up`";

/// Where the machine's files are on the node of a lab without root, which can make no overlay of all of them.
const MACHINE: &str = "/run/podwire-machine";

/// Where the machine's files are, on a node.
pub(crate) fn machines_root() -> &'static Path {
    Path::new(if home::is_without_root() {
        MACHINE
    } else {
        "/"
    })
}

/// A node, as noted in `node.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `n1`, `n2`, ...
    pub name: Name,
    /// On its underlay, one for each family.
    pub addresses: Vec<IpAddr>,
    /// For who looks for it.
    pub labels: BTreeMap<String, String>,
    /// Holds the namespaces.
    pub holder: Process,
}

impl Node {
    /// The node with this name.
    ///
    /// # Errors
    /// There is none: says which there are.
    pub fn find(dir: &LabDir, name: &Name) -> Result<Self> {
        if let Some(node) = state::read(&dir.node(name).join("node.json"))? {
            return Ok(node);
        }
        let nodes = state::names_in(&dir.path("nodes"))?;
        let nodes: Vec<&str> = nodes.iter().map(Name::as_str).collect();
        bail!(
            "there is no node {:?} in lab {}; there are: {}",
            name.as_str(),
            dir.name(),
            nodes.join(", ")
        )
    }

    /// The same, of a node that is there still.
    ///
    /// # Errors
    /// As [`Self::find`]; it has ended.
    pub fn find_alive(dir: &LabDir, name: &Name) -> Result<Self> {
        let node = Self::find(dir, name)?;
        node.require_alive()?;
        Ok(node)
    }

    fn require_alive(&self) -> Result<()> {
        match self.holder.is_alive() {
            true => Ok(()),
            false => bail!(self.ended()),
        }
    }

    /// All nodes, in order.
    ///
    /// # Errors
    /// A state file cannot be read.
    pub fn all(dir: &LabDir) -> Result<Vec<Self>> {
        let mut nodes = Vec::new();
        for name in state::names_in(&dir.path("nodes"))? {
            nodes.extend(state::read(&dir.node(&name).join("node.json"))?);
        }
        Ok(nodes)
    }

    /// The first of its addresses.
    ///
    /// # Errors
    /// It has none, as no node has.
    pub fn address(&self) -> Result<IpAddr> {
        let first = self.addresses.first().copied();
        first.with_context(|| format!("node {} has no address", self.name))
    }

    /// Its network and files; processes started there keep their place outside the lab's PID
    /// namespace, so only for what ends at once.
    ///
    /// # Errors
    /// The node has ended.
    pub fn namespaces(&self) -> Result<Namespaces> {
        let kinds = [Namespace::Network, Namespace::Uts, Namespace::Mount];
        Namespaces::of(&self.holder, &kinds).with_context(|| self.ended())
    }

    /// What to tell of a node whose namespaces have gone.
    fn ended(&self) -> String {
        format!("node {} {ENDED}", self.name)
    }

    /// The same, for processes that live as long as the lab at most.
    ///
    /// # Errors
    /// The node or the lab has ended.
    pub fn namespaces_for_processes(&self, dir: &LabDir) -> Result<Namespaces> {
        let kinds = [Namespace::Network, Namespace::Uts, Namespace::Mount];
        keeper::require(dir)?;
        keeper::within(dir, &self.holder, &kinds).with_context(|| self.ended())
    }

    /// A path of the node, as seen from the machine.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder.pid))
    }
}

/// Makes the namespaces of a node, starts the process that holds them, and lays the node's cable.
///
/// # Errors
/// The kernel refused; what was made ends with the lab.
pub fn create(
    dir: &LabDir,
    programs: &Programs,
    keeper: &Process,
    lab: &Lab,
    plan: &NodePlan,
) -> Result<Node> {
    let name = &plan.name;
    let cable = lab
        .topology
        .node_cable(name)
        .context("the node is on no underlay")?;
    let node_dir = dir.node(name);
    fs::create_dir_all(&node_dir).with_context(|| format!("create {}", node_dir.display()))?;
    let holder = hold(dir, programs, name, || {
        believe_addresses()?;
        own_files(dir, &lab.network)
    })?;
    let node = Node {
        name: name.clone(),
        addresses: cable.addresses.iter().map(IpNetwork::ip).collect(),
        labels: plan.labels.clone(),
        holder,
    };
    state::write(&node_dir.join("node.json"), &node)?;
    underlay::connect(keeper, &node.holder, &cable)?;
    Ok(node)
}

/// Starts a process that holds new network, mount and UTS namespaces, in the lab's PID namespace.
/// `prepare` runs in them first.
///
/// # Errors
/// The kernel refused, or `prepare` failed.
pub fn hold(
    dir: &LabDir,
    programs: &Programs,
    name: &Name,
    prepare: impl FnOnce() -> Result<()> + Send,
) -> Result<Process> {
    let keeper = keeper::require(dir)?;
    let lab = keeper::within(dir, &keeper, &[])?;
    let held = lab.run(|| -> Result<_> {
        sandbox::unshare(&[Namespace::Network, Namespace::Mount, Namespace::Uts])?;
        sandbox::set_hostname(name.as_str())?;
        prepare()?;
        let mut holder = command(&programs.lab);
        holder
            .args(["hold", dir.name().as_str(), name.as_str()])
            .env(LAB_VARIABLE, dir.name().as_str())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Process::start_orphan(holder).context("start the process that holds the namespaces")
    })?;
    let (holder, _) = held.with_context(|| format!("make node {name}"))?;
    Ok(holder)
}

/// Links to come have their addresses at once, also those that the kernel makes: nobody else has them. A bridge looks
/// for no neighbour over IPv6 as long as its own link-local address may be another's, so that the first packet to a
/// node's first pod waited a second for it.
fn believe_addresses() -> Result<()> {
    // A kernel without IPv6 has no such key.
    if_there(sysctl::set("net/ipv6/conf/default/accept_dad", "0"))?;
    Ok(())
}

/// What a node sees of the machine's files; runs in the node's mount namespace.
fn own_files(dir: &LabDir, network: &Network) -> Result<()> {
    // Held open, since the new directories hide it, and may hide those.
    let lab = File::open(dir.path("")).context("open the lab's directory")?;
    let plugins: Vec<File> = network
        .plugin_dirs
        .iter()
        .map(|path| File::open(path).with_context(|| format!("open {}", path.display())))
        .collect::<Result<_>>()?;
    own_sysfs()?;
    mount::tmpfs(Path::new("/run"), "mode=0755")?;
    if home::is_without_root() {
        // While they are the machine's.
        mount::show_root_in_pieces(Path::new(MACHINE))?;
    }
    namespaces_by_name()?;
    bind_open(&lab, &dir.path(""))?;
    for (parent, name) in [("/var/lib", "cni"), ("/etc", "cni"), ("/opt", "cni")] {
        own_directory(parent, name)?;
    }
    bind_inside(dir, "net.d", NET_D)?;
    bind_inside(dir, "bin", CNI_BIN)?;
    for (number, directory) in plugins.iter().enumerate() {
        bind_open(directory, &Path::new(PLUGIN_DIRS).join(number.to_string()))?;
    }
    Ok(())
}

/// `/run/netns` as ip-netns(8) wants it. Where it is no shared mount, `ip netns add` mounts it over itself with all
/// that is in it, and the namespaces of pods that are there can be removed no more: each is mounted twice then.
fn namespaces_by_name() -> Result<()> {
    let path = Path::new("/run/netns");
    mount::make_directory(path)?;
    mount::bind(path, path)?;
    Ok(mount::make_shared(path)?)
}

/// The node's own links, and the machine's control groups: pods' supervisors put containers into them.
fn own_sysfs() -> Result<()> {
    const GROUPS: &str = "/sys/fs/cgroup";
    // Held open, since the new /sys hides them.
    let groups = File::open(GROUPS).with_context(|| format!("open {GROUPS}"))?;
    mount::sysfs_read_only(Path::new("/sys"))?;
    let source = format!("/proc/self/fd/{}", groups.as_raw_fd());
    Ok(mount::bind_with_all_below(
        Path::new(&source),
        Path::new(GROUPS),
    )?)
}

/// An empty directory `parent/name` of the node's own. It is made in an overlay over `parent`: what
/// happens on the machine to a directory of that name then happens elsewhere, and where the machine
/// has none, it gets none. Only over a mount, which is nobody else's, no overlay is needed.
fn own_directory(parent: &str, name: &str) -> Result<()> {
    let path = Path::new(parent).join(name);
    if !mount::mount_points()?
        .iter()
        .any(|mount| mount.path == path)
    {
        if mount::has_to_be_in_pieces(Path::new(parent))? {
            mount::replace_with_pieces(Path::new(parent))?;
        } else {
            let scratch = Path::new("/run/podwire-node").join(parent.trim_start_matches('/'));
            mount::Overlay::over(&[parent], &scratch)?.mount(Path::new(parent))?;
        }
        mount::make_directory(&path)?;
    }
    Ok(mount::tmpfs(&path, "mode=0755")?)
}

fn bind_inside(dir: &LabDir, inside: &str, target: &str) -> Result<()> {
    mount::make_directory(Path::new(target))?;
    Ok(mount::bind(&dir.path(inside), Path::new(target))?)
}

fn bind_open(directory: &File, target: &Path) -> Result<()> {
    mount::make_directory(target)?;
    let source = format!("/proc/self/fd/{}", directory.as_raw_fd());
    Ok(mount::bind(Path::new(&source), target)?)
}

/// # Errors
/// The node takes no pods: its netd was stopped, or all that it has stands still; says what to do.
pub fn require_ready(dir: &LabDir, node: &Node) -> Result<()> {
    let name = &node.name;
    node.require_alive()?;
    if netd::running(dir, node)?.is_none() {
        bail!(
            "node {name} takes no pods, its netd does not run: `lab node start {name}`, or choose another node"
        );
    }
    if fault::is_paused(dir, name)? {
        bail!(
            "node {name} takes no pods, it is paused: `lab fault resume-node {name}`, or choose another node"
        );
    }
    Ok(())
}

/// Stops a node as a power cut does: its netd is killed and its cable pulled. Its pods go on, cut
/// off, and its lease runs out.
///
/// # Errors
/// It has ended; its netd does not run; the kernel refused.
pub fn stop(dir: &LabDir, node: &Node) -> Result<()> {
    let keeper = keeper::require(dir)?;
    node.require_alive()?;
    netd::kill(dir, node)?;
    underlay::set_cable(&keeper, node.name.as_str(), false)
}

/// Starts a stopped node again.
///
/// # Errors
/// It has ended; its netd runs; the kernel refused.
pub fn start(dir: &LabDir, programs: &Programs, lab: &Lab, node: &Node) -> Result<()> {
    let keeper = keeper::require(dir)?;
    node.require_alive()?;
    underlay::set_cable(&keeper, node.name.as_str(), true)?;
    netd::start(dir, programs, lab, node)
}
