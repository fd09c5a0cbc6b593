//! Pods: run, look at, execute in, remove.
//!
//! A pod is what Kubernetes calls one. Its first process, the [`supervisor`], holds the network, IPC and UTS
//! namespaces that its containers share, and leads its life: it starts init containers, sidecars and
//! containers, restarts, probes and ends them, and writes down how they are doing ([`Status`]). Each container
//! is a program in mount, control group and (unless they are shared) PID namespaces of its own, started through
//! the [`container`] stage.
//!
//! The network namespace is a file on the node, as with any container runtime, so that the network can be
//! detached when the processes are gone. Every step can be undone from `pod.json`, which is written before the
//! first.

mod base;
mod beside;
pub mod carry;
pub mod container;
mod debug;
mod deletion;
mod ephemeral;
mod exec;
pub mod founder;
pub mod groups;
mod images;
pub mod join;
mod launch;
mod logs;
mod one;
mod process;
pub mod reaper;
mod remove;
mod session;
mod state;
mod status;
mod strays;
pub mod supervisor;
mod talk;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use manifest::{Complaint, Container, PodSpec, Workload};
use sandbox::{IdRange, Interrupt, Process};
use serde::{Deserialize, Serialize};

pub use base::Base;
pub use debug::{DebugWish, clear_after, debug};
pub use deletion::Deletion;
pub use ephemeral::Ephemeral;
pub use exec::{Guest, NotStarted, TERMINAL, wait_for};
pub use founder::missing_in_kernel;
pub use groups::{GROUP, PIDS, group_path};
pub use logs::{Entry, Log, LogReader, time_text};
pub use one::OneContainer;
pub use process::NoWorkingDirectory;
pub use remove::{detach, remove};
pub use session::{at_terminal, attached};
pub use state::State;
pub use status::{
    Condition, ConditionType, ContainerState, ContainerStatus, EndReason, Event, Phase, PodIp,
    Running, Severity, Status, Terminated, Timestamp, Waiting,
};

pub use talk::Attach;

use crate::home;
use crate::keeper;
use crate::network::{self, Attached};
use crate::node::{self, Node};
use crate::progress::notice;
use crate::state::{self as files, LabDir, Lock, Name, PodLock};

/// A pod, as noted in `pod.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// Its name.
    pub name: Name,
    /// Of this pod and no other, also of none that had its name before; as the API's `metadata.uid`.
    pub uid: String,
    /// Where it runs.
    pub node: Name,
    /// As it was asked for.
    pub workload: Workload,
    /// What the roots of its containers are made of, by container.
    pub bases: BTreeMap<String, Base>,
    /// When it was asked for.
    pub created: Timestamp,
    /// Who its users are on the machine, where they are nobody there: `hostUsers: false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<IdRange>,
    /// The command that makes it, or made it; unknown of pods of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<Process>,
    /// What made its users' and clocks' namespaces; it has ended once the supervisor has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founder: Option<Process>,
    /// Its first process; absent while the pod is made.
    pub supervisor: Option<Process>,
    /// What its networks gave it; absent while the pod is made, and with `hostNetwork`.
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
        let pods = Self::all(dir)?;
        let pods: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
        let there = if pods.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are: {}", pods.join(", "))
        };
        bail!(
            "there is no pod {:?} in lab {}; {there}",
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

    /// The users of all pods of a lab, which may be of another version: nothing else is read.
    ///
    /// # Errors
    /// A state file cannot be read.
    fn users_of_all(dir: &LabDir) -> Result<Vec<IdRange>> {
        #[derive(Deserialize)]
        struct Noted {
            users: Option<IdRange>,
        }
        let mut all = Vec::new();
        for name in files::names_in(&dir.path("pods"))? {
            let noted: Option<Noted> = files::read(&dir.pod(&name).join("pod.json"))?;
            all.extend(noted.and_then(|noted| noted.users));
        }
        Ok(all)
    }

    /// Writes it down.
    fn note(&self, dir: &LabDir) -> Result<()> {
        files::write(&dir.pod(&self.name).join("pod.json"), self)
    }

    /// Its first address.
    pub fn address(&self) -> Option<IpAddr> {
        self.network
            .as_ref()?
            .addresses
            .first()
            .map(|address| address.ip())
    }

    /// Where others reach it: its first address, or that of its node, whose network it has.
    ///
    /// # Errors
    /// As [`Node::address`].
    pub fn reached_at(&self, node: &Node) -> Result<Option<IpAddr>> {
        match self.spec().host_network {
            true => node.address().map(Some),
            false => Ok(self.address()),
        }
    }

    /// What it is to be.
    pub fn spec(&self) -> &PodSpec {
        &self.workload.pod.spec
    }

    /// All its containers: init containers first.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        containers(self.spec())
    }

    /// A container by its name; the first of the containers without one.
    ///
    /// # Errors
    /// There is none: says which there are.
    pub fn container(&self, name: Option<&str>) -> Result<&Container> {
        let found = match name {
            Some(name) => self.containers().find(|each| each.name == name),
            None => self.spec().containers.first(),
        };
        found.with_context(|| {
            let names: Vec<&str> = self.containers().map(|each| each.name.as_str()).collect();
            format!(
                "there is no container {:?} in pod {}: {}",
                name.unwrap_or_default(),
                self.name,
                names.join(", ")
            )
        })
    }

    /// How it is doing.
    ///
    /// # Errors
    /// Its status file cannot be read.
    pub fn status(&self, dir: &LabDir) -> Result<Status> {
        let alive = self.is_supervised();
        let is_being_made = self.maker.is_some_and(|maker| maker.is_alive());
        // Read after that: what a supervisor writes last is there when it has ended, and its first when its maker has.
        let file = dir.pod(&self.name).join("status.json");
        let Some(written) = files::read::<Status>(&file)? else {
            let first = self.first_status(self.created);
            return Ok(if is_being_made {
                first
            } else {
                first.cut_short()
            });
        };
        let status = written.with_ephemeral(self.ephemeral(dir)?);
        match alive || status.has_ended() {
            true => Ok(status),
            false => {
                Ok(status.lost(files::written_at(&file)?.map_or(self.created, Timestamp::from)))
            }
        }
    }

    /// Whether its supervisor lives.
    pub fn is_supervised(&self) -> bool {
        self.supervisor.is_some_and(|each| each.is_alive())
    }

    /// Whether its life has not begun: the command that makes it holds the pod's lock, or was killed. A supervisor may
    /// be there for a while then, which waits to be told to begin.
    ///
    /// # Errors
    /// Its status file cannot be read.
    pub fn is_unbegun(&self, dir: &LabDir) -> Result<bool> {
        let written: Option<Status> = files::read(&dir.pod(&self.name).join("status.json"))?;
        Ok(written.is_none())
    }

    fn first_status(&self, at: Timestamp) -> Status {
        Status::new(self.spec(), at, |container| {
            let base = self.bases.get(&container.name);
            base.map(|base| base.id.clone()).unwrap_or_default()
        })
    }
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().chain(&spec.containers)
}

/// A pod of this name exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pod {name:?} exists already: remove it with `lab delete pod {name}`", name = .0.as_str())]
pub struct Exists(pub Name);

/// What containers have to end when the start of their pod is given up.
const GRACE_OF_UNDOING: Duration = Duration::from_secs(2);

/// Starts a pod on a node: attaches its network and starts its supervisor. Returns when its containers have been
/// started, or the first of its init containers, or one whose `postStart` goes on; [`Pod::status`] tells of those
/// that could not be. Of a pod whose making was cut short, what is left is removed first.
///
/// # Errors
/// A pod of this name exists ([`Exists`]), the node does not; an image is missing; a limit, a volume or a namespace
/// was refused; the network cannot be attached; Ctrl-C. Nothing of the pod is left then.
pub fn run(dir: &LabDir, node: &Name, workload: &Workload, interrupt: Interrupt) -> Result<Pod> {
    start(dir, node, workload, None, interrupt).map(|(pod, _)| pod)
}

/// The same of a pod whose first container is looked at from its first start on, by [`attached`].
///
/// # Errors
/// As [`run`].
pub fn run_attached(
    dir: &LabDir,
    node: &Name,
    workload: &Workload,
    attach: Attach,
    interrupt: Interrupt,
) -> Result<(Pod, UnixStream)> {
    start(dir, node, workload, Some(attach), interrupt)
}

fn start(
    dir: &LabDir,
    node: &Name,
    workload: &Workload,
    attach: Option<Attach>,
    interrupt: Interrupt,
) -> Result<(Pod, UnixStream)> {
    let _lock = dir.lock_shared()?;
    dir.lab()?;
    keeper::require(dir)?;
    let node = Node::find(dir, node)?;
    node::require_ready(dir, &node)?;
    let mut pod = ask_for(dir, &node.name, workload)?;
    let _notice = notice({
        let text = format!("starting pod {} on {}", pod.name, node.name);
        move || text
    });
    let _pod_lock = claim(dir, &pod.name, interrupt)?;
    let socket = launch::launch(dir, &node, &mut pod, attach, interrupt).map_err(|error| {
        match remove::remove_locked(dir, &pod, Some(pod.grace().min(GRACE_OF_UNDOING))) {
            Ok(()) => error,
            Err(second) => anyhow!("{error:#}; and what was made could not be removed: {second:#}"),
        }
    })?;
    Ok((pod, socket))
}

/// Makes a pod's directory, and locks it. Waits for a command that makes or removes a pod of this name.
fn claim(dir: &LabDir, name: &Name, interrupt: Interrupt) -> Result<Lock> {
    let path = dir.pod(name);
    dir.wait_for_pod(name, Some(interrupt), || {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.with_context(|| format!("create {}", path.display()))?,
        }
        let PodLock::Held(lock) = dir.try_lock_pod(name)? else {
            return Ok(None);
        };
        match files::read::<Pod>(&path.join("pod.json"))? {
            // Nothing is made before this file.
            None if is_empty(&path)? => return Ok(Some(lock)),
            None => dir.remove_pod(name)?,
            // Its lock is held here: nobody makes it.
            Some(there) if there.is_unbegun(dir)? => {
                remove::remove_locked(dir, &there, Some(GRACE_OF_UNDOING))?;
            }
            Some(_) => bail!(Exists(name.clone())),
        }
        Ok(None)
    })
}

fn is_empty(directory: &Path) -> Result<bool> {
    let entries = fs::read_dir(directory);
    let mut entries = entries.with_context(|| format!("read {}", directory.display()))?;
    Ok(entries.next().is_none())
}

/// What of a container cannot be carried out on this machine, if anything: its field, and why.
pub fn wrong_with(container: &Container) -> Option<(&'static str, anyhow::Error)> {
    match Base::find(container.image.as_deref()) {
        Ok(base) => {
            let refused = process::command_line(container, &base).err();
            refused.map(|error| ("command", error))
        }
        Err(error) => Some(("image", error)),
    }
}

/// A random UUID (RFC 9562, version 4).
fn uid() -> Result<String> {
    let [high, low] = [kernel::random::token()?, kernel::random::token()?];
    Ok(format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    ))
}

/// Everything that can be wrong without the kernel is, before anything is made.
fn ask_for(dir: &LabDir, node: &Name, workload: &Workload) -> Result<Pod> {
    let spec = &workload.pod.spec;
    let name: Name = workload.pod.metadata.name.parse()?;
    if spec.containers.is_empty() {
        bail!("pod {name} has no containers: give one at least");
    }
    home::refuse(&workload.pod).with_context(|| format!("pod {name}"))?;
    network::check(dir, &workload.pod).with_context(|| format!("networks of pod {name}"))?;
    let mut bases = BTreeMap::new();
    for container in containers(spec) {
        let what = || format!("container {} of pod {name}", container.name);
        let base = Base::find(container.image.as_deref()).with_context(what)?;
        process::command_line(container, &base).with_context(what)?;
        bases.insert(container.name.clone(), base);
    }
    if let Some(Complaint { field, message }) = missing_in_kernel(&workload.pod) {
        bail!("pod {name}: {field}: {message}");
    }
    Ok(Pod {
        name,
        uid: uid()?,
        node: node.clone(),
        workload: workload.clone(),
        bases,
        created: Timestamp::now(),
        users: None,
        maker: Some(Process::current()?),
        founder: None,
        supervisor: None,
        network: None,
    })
}
