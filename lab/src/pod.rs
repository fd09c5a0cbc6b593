//! Pods: run, look at, execute in, remove.
//!
//! A pod is one process, PID 1 of a PID namespace, that holds IPC, UTS, mount and control group
//! namespaces and runs the pod's command. Its network namespace is a file on the node, as with any
//! container runtime, so that the network can be detached when the process is gone. Every step can
//! be undone from `pod.json`, which is written before the first.

mod exec;
pub mod init;
mod setup;
mod state;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use kernel::NetNs;
use sandbox::cgroup::{Group, Hierarchies, Limits};
use sandbox::{Interrupt, Process, Signal};
use serde::{Deserialize, Serialize};

pub use exec::{NotStarted, command, exec, start};
pub use state::State;

use crate::interrupt;
use crate::keeper;
use crate::network::{self, Attached};
use crate::node::Node;
use crate::state::{self as files, LabDir, Name};

/// How long a pod has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long the kernel may take to end a killed pod.
const PATIENCE: Duration = Duration::from_secs(10);

/// A pod as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Its name, which is its host name too.
    pub name: Name,
    /// Where it runs.
    pub node: Name,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub cpu: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// An unpacked image; the machine's root when absent.
    pub rootfs: Option<PathBuf>,
    /// Root on the machine as far as capabilities, system calls and devices go.
    #[serde(default)]
    pub privileged: bool,
    /// Program and arguments.
    pub command: Vec<String>,
}

impl Spec {
    fn limits(&self) -> Limits {
        Limits {
            memory: self.memory,
            cpu: self.cpu,
            pids: self.pids,
            ..Limits::default()
        }
    }
}

/// A pod, as noted in `pod.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// As it was asked for.
    pub spec: Spec,
    /// PID 1 of the pod; absent while the pod is made.
    pub init: Option<Process>,
    /// What the network gave it; absent while the pod is made.
    pub network: Option<Attached>,
}

impl Pod {
    /// The pod's network namespace, as the node sees it.
    pub fn netns(name: &Name) -> PathBuf {
        PathBuf::from(format!("/run/netns/{name}"))
    }

    /// The pod with this name.
    ///
    /// # Errors
    /// There is none: says which there are.
    pub fn find(dir: &LabDir, name: &Name) -> Result<Self> {
        if let Some(pod) = files::read(&dir.pod(name).join("pod.json"))? {
            return Ok(pod);
        }
        dir.lab()?;
        let pods = files::names_in(&dir.path("pods"))?;
        let pods: Vec<&str> = pods.iter().map(Name::as_str).collect();
        let there = if pods.is_empty() {
            "there are none".to_owned()
        } else {
            pods.join(", ")
        };
        bail!(
            "there is no pod {:?} in lab {}: {there}",
            name.as_str(),
            dir.name()
        )
    }

    /// All pods, by name.
    ///
    /// # Errors
    /// A state file cannot be read.
    pub fn all(dir: &LabDir) -> Result<Vec<Self>> {
        let mut pods = Vec::new();
        for name in files::names_in(&dir.path("pods"))? {
            pods.extend(files::read(&dir.pod(&name).join("pod.json"))?);
        }
        Ok(pods)
    }

    /// Its first address.
    pub fn address(&self) -> Option<IpAddr> {
        self.network
            .as_ref()?
            .addresses
            .first()
            .map(|address| address.ip())
    }
}

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

fn group<'a>(hierarchies: &'a Hierarchies, dir: &LabDir, pod: &Name) -> Group<'a> {
    hierarchies.group(group_path(dir, Some(pod)))
}

/// Starts a pod and attaches its network.
///
/// # Errors
/// A pod of this name exists, the node does not, a limit cannot be set, the network cannot be
/// attached, or the command cannot be started; Ctrl-C. Nothing of the pod is left then.
pub fn run(dir: &LabDir, spec: &Spec, interrupt: Interrupt) -> Result<Pod> {
    let _lock = dir.lock_shared()?;
    dir.lab()?;
    keeper::require(dir)?;
    let node = Node::find(dir, &spec.node)?;
    check(spec)?;
    let pod_dir = dir.pod(&spec.name);
    match fs::create_dir(&pod_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => bail!(
            "pod {name:?} exists already: remove it with `lab pod rm {name}`",
            name = spec.name.as_str()
        ),
        made => made.with_context(|| format!("create {}", pod_dir.display()))?,
    }
    let mut pod = Pod {
        spec: spec.clone(),
        init: None,
        network: None,
    };
    build(dir, &node, &mut pod, interrupt).map_err(|error| match remove_locked(dir, &pod) {
        Ok(()) => error,
        Err(second) => anyhow!("{error:#}; and what was made could not be removed: {second:#}"),
    })?;
    Ok(pod)
}

fn check(spec: &Spec) -> Result<()> {
    if spec.command.is_empty() {
        bail!("pod {} has no command: give one after `--`", spec.name);
    }
    if let Some(rootfs) = &spec.rootfs
        && !rootfs.is_dir()
    {
        bail!("--rootfs {}: not a directory", rootfs.display());
    }
    Ok(())
}

fn build(dir: &LabDir, node: &Node, pod: &mut Pod, interrupt: Interrupt) -> Result<()> {
    let name = &pod.spec.name;
    let file = dir.pod(name).join("pod.json");
    files::write(&file, pod)?;
    node.namespaces()?
        .run(|| NetNs::create(Pod::netns(name)))??;
    let hierarchies = Hierarchies::detect()?;
    let group = group(&hierarchies, dir, name);
    group.create(&pod.spec.limits())?;
    let mut sandbox = setup::start(dir, node, &pod.spec, &group)?;
    pod.init = Some(sandbox.init);
    files::write(&file, pod)?;
    interrupt::check(interrupt)?;
    let attached = network::attach(dir, node, name)?;
    sandbox.run_command(&pod.spec, &attached)?;
    pod.network = Some(attached);
    files::write(&file, pod)
}

/// Ends a pod, detaches its network and removes all that was made for it. What is gone already is
/// fine.
///
/// # Errors
/// There is no such pod; the network could not be detached (the rest is removed all the same, and
/// the pod stays listed so that a repeat can finish).
pub fn remove(dir: &LabDir, name: &Name) -> Result<()> {
    let _lock = dir.lock_shared()?;
    let pod = Pod::find(dir, name)?;
    remove_locked(dir, &pod)
}

/// The same, for who holds the lock.
///
/// # Errors
/// As [`remove`].
pub fn remove_locked(dir: &LabDir, pod: &Pod) -> Result<()> {
    let name = &pod.spec.name;
    stop(dir, pod)?;
    let node = Node::find(dir, &pod.spec.node)?;
    // A node that has ended took the network of its pods along.
    if node.holder.is_alive() {
        network::detach(dir, &node, name)?;
        node.namespaces()?
            .run(|| NetNs::remove(Pod::netns(name)))??;
        setup::remove_scratch(&node, name)?;
    }
    let hierarchies = Hierarchies::detect()?;
    group(&hierarchies, dir, name).remove(PATIENCE)?;
    let path = dir.pod(name);
    fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))
}

/// Ends the processes of a pod: politely, then not.
fn stop(dir: &LabDir, pod: &Pod) -> Result<()> {
    let name = &pod.spec.name;
    if let Some(init) = pod.init {
        init.signal(Signal::Terminate)?;
        if !init.wait_gone(GRACE) {
            init.signal(Signal::Kill)?;
        }
        keeper::reap();
    }
    // Whoever is left: of a pod that was not complete, or put there by `lab pod exec`.
    let hierarchies = Hierarchies::detect()?;
    let group = group(&hierarchies, dir, name);
    let deadline = Instant::now() + PATIENCE;
    loop {
        keeper::reap();
        let left = group.processes()?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("processes {left:?} of pod {name} were killed but do not end");
        }
        for process in left {
            process.signal(Signal::Kill)?;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
