//! The first process of a pod, its supervisor: the hidden subcommand `supervise`.
//!
//! It lives in the lab's PID namespace and in the pod's network namespace, and makes and holds the IPC, UTS and
//! mount namespaces that the containers share or start from. What it knows it writes to `status.json`; it ends
//! when none of the pod's containers runs or will run again.

mod attachment;
mod backlog;
mod backoff;
mod board;
mod counter;
mod ending;
mod files;
mod handler;
mod held;
mod http;
mod life;
mod pod;
mod probes;
mod recording;
mod start;
mod sysctls;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use sandbox::cgroup::Hierarchies;
use sandbox::{Namespace, Namespaces, Process, leave_terminal, set_hostname, set_umask, unshare};

use super::talk::{Answer, Failure, Start, hear, tell};
use super::{Pod, Timestamp, process};
use crate::home;
use crate::node::Node;
use crate::state::{LabDir, Name};
use attachment::Attachment;
use board::Board;
pub(super) use held::Held;

/// Everything that is known when the containers are started.
#[derive(Debug)]
struct Supervisor {
    dir: LabDir,
    pod: Pod,
    board: Board,
    hierarchies: Hierarchies,
    /// Where probes come from.
    node_network: Namespaces,
    /// Where they go to.
    address: Option<std::net::IpAddr>,
    /// PID 1 of the PID namespace that the containers share.
    reaper: Option<Process>,
    /// Namespaces that it is not in itself.
    held: Held,
    /// Who looks at the first start of its first container, until that is started.
    attachment: RefCell<Option<Attachment>>,
    /// Who passes on what is not taken yet of what an attached container printed.
    looker: RefCell<Option<JoinHandle<()>>>,
}

/// The life of that process.
///
/// # Errors
/// The pod could not be made; standard output says so too.
pub fn supervise(dir: &LabDir, name: &Name) -> Result<()> {
    leave_terminal();
    set_umask();
    let pod = Pod::find(dir, name)?;
    let supervisor = begin(dir, pod).inspect_err(|error| {
        // A lab that has ended does not want to know.
        let _ = tell(&mut io::stdout(), &Answer::Failed(Failure::before(error)));
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the event loop")?;
    let tasks = tokio::task::LocalSet::new();
    let supervisor = Rc::new(supervisor);
    let lived = tasks.block_on(&runtime, pod::live(Rc::clone(&supervisor)));
    // As long as who looks is there; a signal is for the pod, whose end is known.
    if let Some(looker) = supervisor.looker.take() {
        let _ = looker.join();
    }
    lived
}

fn begin(dir: &LabDir, pod: Pod) -> Result<Supervisor> {
    let node = Node::find(dir, &pod.node)?;
    let node_network = Namespaces::of(&node.holder, &[Namespace::Network])?;
    let held = Held::of(&pod)?;
    held.check_roots(&pod)?;
    make_namespaces(&pod)?;
    files::make(&pod, &held)?;
    sysctls::set(&pod)?;
    let reaper = match pod.spec().share_process_namespace {
        true => Some(start::reaper(dir, &pod)?),
        false => None,
    };
    let start: Start = hear(&mut io::stdin().lock())?.context("the lab ended")?;
    let attachment = start
        .attach
        .map(Attachment::of_standard_input)
        .transpose()?;
    let pod = Pod {
        network: start.network,
        ..pod
    };
    let own = pod.address();
    let address = match pod.spec().host_network {
        true => Some(node.address()?),
        false => own,
    };
    files::write_network(&pod, &node)?;
    let status = pod.first_status(Timestamp::now());
    let board = Board::new(dir, &pod, status, node.address()?, address);
    Ok(Supervisor {
        dir: dir.clone(),
        hierarchies: home::control_groups()?,
        node_network,
        address,
        reaper,
        held,
        board,
        attachment: RefCell::new(attachment),
        looker: RefCell::default(),
        pod,
    })
}

fn make_namespaces(pod: &Pod) -> Result<()> {
    let spec = pod.spec();
    let mut kinds = vec![Namespace::Mount];
    // Those that the pod's users have rights in are made by the founder.
    let founder = pod.founder.filter(|_| pod.users.is_some());
    if let Some(founder) = founder {
        Namespaces::of(&founder, &[Namespace::Ipc, Namespace::Uts])?.join()?;
    }
    if !spec.host_ipc && founder.is_none() {
        kinds.push(Namespace::Ipc);
    }
    if !spec.host_network && founder.is_none() {
        kinds.push(Namespace::Uts);
    }
    unshare(&kinds)?;
    if !spec.host_network {
        set_hostname(process::hostname(pod))?;
    }
    Ok(())
}
