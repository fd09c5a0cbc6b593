//! Starting a pod's first process, and the words exchanged with it: one JSON document a line.
//!
//! 1. The lab starts `lab sandbox` on the node, in the pod's network namespace and control group.
//! 2. That makes the other namespaces, starts `lab pod-init` as PID 1 in them, and ends.
//! 3. PID 1 says who it is, makes its root, and says so.
//! 4. The lab attaches the network and tells PID 1 what to run.
//!
//! PID 1 ends when the lab is silent for ever, so a lab that is killed half-way leaves no pod.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};
use sandbox::cgroup::Group;
use sandbox::{Namespace, Process, join_at_start};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Pod, Spec};
use crate::keeper::{self, LAB_VARIABLE};
use crate::network::Attached;
use crate::node::Node;
use crate::program::{command, own_executable};
use crate::state::{LabDir, Name};

/// The first thing that the lab tells PID 1.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// The pod's.
    pub hostname: String,
    /// What its root is made over.
    pub lower: PathBuf,
    /// Where its root is made.
    pub scratch: PathBuf,
    /// Whether `lower` is the machine's own root.
    pub machine_root: bool,
    /// Whether it is confined by namespaces alone.
    pub privileged: bool,
    /// Where PID 1 notes how the command ended.
    pub exit: PathBuf,
}

/// The second and last.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// Content of `/etc/hosts`.
    pub hosts: String,
    /// Content of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// What PID 1 answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It lives, in its namespaces.
    Born(Process),
    /// Its root is made.
    Ready,
    /// The command runs.
    Started,
    /// It gives up.
    Failed(String),
}

/// A pod's first process that waits to be told what to run.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// PID 1 of the pod.
    pub init: Process,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Starts the first process of a pod; returns when its root is made.
///
/// # Errors
/// A namespace, a mount or the control group was refused.
pub(super) fn start(dir: &LabDir, node: &Node, spec: &Spec, group: &Group<'_>) -> Result<Sandbox> {
    let log = dir.pod(&spec.name).join("log");
    let log = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut stage = command(own_executable()?);
    stage
        .args(["sandbox", dir.name().as_str(), spec.name.as_str()])
        .env(LAB_VARIABLE, dir.name().as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    join_at_start(&mut stage, group)?;
    let netns = node.path(&Pod::netns(&spec.name).to_string_lossy());
    let namespaces = node
        .namespaces_for_processes(dir)?
        .with(Namespace::Network, netns)?;
    let mut child = namespaces
        .run(|| stage.spawn())?
        .context("start the sandbox")?;
    let mut to = child
        .stdin
        .take()
        .context("the sandbox has no standard input")?;
    let mut from = BufReader::new(child.stdout.take().context("the sandbox has no output")?);
    keeper::remember(child);
    let Answer::Born(init) = answer(&mut from).with_context(|| hint(spec))? else {
        bail!("the sandbox speaks out of turn")
    };
    tell(&mut to, &setup(dir, spec)?)?;
    let Answer::Ready = answer(&mut from).with_context(|| hint(spec))? else {
        bail!("the sandbox speaks out of turn")
    };
    keeper::reap();
    Ok(Sandbox { init, to, from })
}

impl Sandbox {
    /// Starts the pod's command, now that the network is there.
    ///
    /// # Errors
    /// There is no such program in the pod, or it cannot be executed.
    pub(super) fn run_command(&mut self, spec: &Spec, network: &Attached) -> Result<()> {
        let start = Start {
            hosts: hosts(&spec.name, network),
            resolv_conf: network.resolv_conf.clone(),
            command: spec.command.clone(),
        };
        tell(&mut self.to, &start)?;
        match answer(&mut self.from)? {
            Answer::Started => Ok(()),
            _ => bail!("the sandbox speaks out of turn"),
        }
    }
}

/// The kernel ends a process that gets no memory, which cannot say so then.
fn hint(spec: &Spec) -> String {
    match spec.memory {
        Some(bytes) => format!("start the sandbox with --memory of {bytes} bytes"),
        None => "start the sandbox".to_owned(),
    }
}

fn setup(dir: &LabDir, spec: &Spec) -> Result<Setup> {
    let lower = match &spec.rootfs {
        Some(rootfs) => {
            fs::canonicalize(rootfs).with_context(|| format!("--rootfs {}", rootfs.display()))?
        }
        None => PathBuf::from("/"),
    };
    Ok(Setup {
        hostname: spec.name.to_string(),
        machine_root: spec.rootfs.is_none(),
        privileged: spec.privileged,
        lower,
        scratch: scratch(&spec.name),
        exit: dir.pod(&spec.name).join("exit"),
    })
}

/// On the node.
fn scratch(name: &Name) -> PathBuf {
    Path::new("/run/podwire-pods").join(name.as_str())
}

/// Removes the empty directory that a pod's root was mounted on, in its own mount namespace.
///
/// # Errors
/// It is not empty.
pub(super) fn remove_scratch(node: &Node, name: &Name) -> Result<()> {
    let path = node.path(&scratch(name).to_string_lossy());
    match fs::remove_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn hosts(name: &Name, network: &Attached) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    for address in &network.addresses {
        text.push_str(&format!("{} {name}\n", address.ip()));
    }
    text
}

/// Sends one document.
///
/// # Errors
/// The other side has ended.
pub(super) fn tell<T: Serialize>(to: &mut impl Write, what: &T) -> Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)
        .and_then(|()| to.flush())
        .context("the other side has ended")
}

/// Receives one document; `None` when the other side has closed.
///
/// # Errors
/// It is not what was expected.
pub(super) fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<Option<T>> {
    let mut line = String::new();
    if from
        .read_line(&mut line)
        .context("listen to the other side")?
        == 0
    {
        return Ok(None);
    }
    serde_json::from_str(&line)
        .map(Some)
        .with_context(|| format!("understand {line:?}"))
}

fn answer(from: &mut impl BufRead) -> Result<Answer> {
    match hear(from)? {
        Some(Answer::Failed(why)) => bail!("{why}"),
        Some(answer) => Ok(answer),
        None => bail!("the sandbox ended without a word"),
    }
}
