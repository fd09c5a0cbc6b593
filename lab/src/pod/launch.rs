//! Making a pod: its network namespace, its control groups, its supervisor, its network.
//!
//! Of a pod with users or clocks of its own, [`founder`] makes the namespaces that these are in, and its network.
//!
//! 1. The lab starts `lab supervise` on the node, in the lab's PID namespace and in the pod's network namespace
//!    and control group, and notes who it is.
//! 2. While that makes the other namespaces and the pod's files, the lab attaches the network.
//! 3. The lab tells the supervisor, which starts containers and says so.
//!
//! The supervisor ends when the lab is silent for ever, so a lab that is killed half-way leaves no pod.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kernel::NetNs;
use sandbox::cgroup::Hierarchies;
use sandbox::{Interrupt, Namespace, Process, join_at_start};

use super::talk::{Answer, Attach, Start, hear, tell};
use super::{Pod, founder, groups, images};
use crate::home;
use crate::interrupt;
use crate::keeper::LAB_VARIABLE;
use crate::network;
use crate::node::Node;
use crate::program::{command, own_executable};
use crate::state::{LabDir, Name};

/// Makes a pod whose directory there is. What was made stays when that fails. Returns the socket to its supervisor, by
/// which who attaches looks at the container.
///
/// # Errors
/// As [`super::run`].
pub(super) fn launch(
    dir: &LabDir,
    node: &Node,
    pod: &mut Pod,
    attach: Option<Attach>,
    interrupt: Interrupt,
) -> Result<UnixStream> {
    pod.note(dir)?;
    founder::allot_users(dir, pod)?;
    let hierarchies = home::control_groups()?;
    groups::create(&hierarchies, dir, pod)?;
    // It lives until the supervisor has what it made.
    let founder = founder::start(&hierarchies, dir, node, pod)?;
    pod.founder = founder.as_ref().map(|founder| founder.process);
    pod.note(dir)?;
    let shares_network = pod.spec().host_network;
    if !shares_network {
        node.namespaces()?.run(|| make_network(pod))??;
    }
    images::share(&node.holder, pod)?;
    let supervisor = start_supervisor(&hierarchies, dir, node, pod)?;
    pod.supervisor = Some(supervisor.process);
    pod.note(dir)?;
    interrupt::check(interrupt)?;
    if !shares_network {
        pod.network = Some(network::attach(dir, node, pod)?);
        pod.note(dir)?;
    }
    start_containers(dir, supervisor, pod, attach, interrupt)
}

/// Binds the pod's network namespace to its file: a new one, or that which belongs to the pod's users.
fn make_network(pod: &Pod) -> kernel::Result<NetNs> {
    let path = Pod::netns(&pod.name);
    match pod.founder.filter(|_| pod.users.is_some()) {
        Some(founder) => {
            let made = format!("/proc/{}/ns/net", founder.pid);
            NetNs::attach(path, Path::new(&made))
        }
        None => NetNs::create(path),
    }
}

/// A supervisor that waits to be told that the network is there.
struct Waiting {
    process: Process,
    to: UnixStream,
    from: BufReader<ChildStdout>,
}

fn start_supervisor(
    hierarchies: &Hierarchies,
    dir: &LabDir,
    node: &Node,
    pod: &Pod,
) -> Result<Waiting> {
    let log = dir.pod(&pod.name).join("supervisor.log");
    let log = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let (to, other) = UnixStream::pair().context("make a socket")?;
    let mut supervisor = command(own_executable()?);
    supervisor
        .args(["supervise", dir.name().as_str(), pod.name.as_str()])
        .env(LAB_VARIABLE, dir.name().as_str())
        .stdin(OwnedFd::from(other))
        .stdout(Stdio::piped())
        .stderr(log);
    join_at_start(&mut supervisor, &groups::infra(hierarchies, dir, &pod.name))?;
    let mut namespaces = node.namespaces_for_processes(dir)?;
    if !pod.spec().host_network {
        let netns = node.path(&Pod::netns(&pod.name).to_string_lossy());
        namespaces = namespaces.with(Namespace::Network, netns)?;
    }
    // The other end is the supervisor's alone: its end is seen, since the command goes with its start.
    let started = namespaces.run(|| Process::start_orphan(supervisor))?;
    let (process, (_, from)) = started.context("start the pod's supervisor")?;
    let from = from.context("the supervisor has no standard output")?;
    Ok(Waiting {
        process,
        to,
        from: BufReader::new(from),
    })
}

fn start_containers(
    dir: &LabDir,
    mut supervisor: Waiting,
    pod: &Pod,
    attach: Option<Attach>,
    interrupt: Interrupt,
) -> Result<UnixStream> {
    let start = Start {
        network: pod.network.clone(),
        attach,
    };
    // One that could not make the pod's files has ended, and said why.
    let told = tell(&mut supervisor.to, &start);
    match listen(supervisor.from, interrupt)? {
        Some(Answer::Started) => told.map(|()| supervisor.to),
        Some(Answer::Failed(why)) => bail!(why),
        Some(Answer::Born(_)) => bail!("the supervisor speaks out of turn"),
        None if pod.deletion(dir)?.is_some() => bail!("it was deleted meanwhile"),
        None => bail!("the supervisor ended without a word"),
    }
}

/// What the supervisor says; it may take as long as a hook of a container does.
fn listen(mut from: BufReader<ChildStdout>, interrupt: Interrupt) -> Result<Option<Answer>> {
    const PAUSE: Duration = Duration::from_millis(50);
    let (sender, receiver) = mpsc::channel();
    // After Ctrl-C it ends with the supervisor.
    std::thread::spawn(move || sender.send(hear(&mut from)));
    loop {
        match receiver.recv_timeout(PAUSE) {
            Ok(heard) => return heard,
            Err(RecvTimeoutError::Timeout) => interrupt::check(interrupt)?,
            Err(RecvTimeoutError::Disconnected) => bail!("the ear for the supervisor panicked"),
        }
    }
}

/// Where a pod's files are, as its supervisor and containers see it; on the node, an empty directory.
pub(super) fn scratch(name: &Name) -> PathBuf {
    Path::new("/run/podwire-pods").join(name.as_str())
}
