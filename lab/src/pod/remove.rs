//! The end of a pod: politely, then not; and nothing of it is left.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use humantime::format_duration;
use kernel::NetNs;
use sandbox::{Interrupt, PATIENCE, Signal};

use super::{Pod, deletion, group_path, groups, launch};
use crate::home;
use crate::interrupt;
use crate::network;
use crate::node::Node;
use crate::output::complain;
use crate::progress::notice;
use crate::state::{self as files, LabDir, Name, PodLock};

/// What a supervisor has, beside the grace period, to see its containers end and to write that down.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Ends a pod, detaches its network and removes all that was made for it. Its containers have `grace` to end
/// after they were asked to, or the pod's own grace period: nothing is locked as long as that takes. What is gone
/// already is fine, and so is another command that removes the pod too.
///
/// # Errors
/// There is no such pod; the network could not be detached (the rest is removed all the same, and
/// the pod stays listed so that a repeat can finish); Ctrl-C, where that ends the waiting: the pod was asked to end.
pub fn remove(
    dir: &LabDir,
    name: &Name,
    grace: Option<Duration>,
    interrupt: Option<Interrupt>,
) -> Result<()> {
    let mut pod = Pod::find(dir, name)?;
    dir.wait_for_pod(name, interrupt, || {
        ask_to_end(dir, &pod, grace, interrupt)?;
        let _lab = dir.lock_shared()?;
        let lock = dir.try_lock_pod(name)?;
        match files::read::<Pod>(&dir.pod(name).join("pod.json"))? {
            Some(now) if now.uid == pod.uid => {
                let was_asked = now.supervisor == pod.supervisor;
                pod = now;
                match (was_asked, lock) {
                    (true, PodLock::Held(_lock)) => remove_locked(dir, &pod, grace).map(Some),
                    _ => Ok(None),
                }
            }
            _ => Ok(Some(())),
        }
    })
}

/// The same, for who holds the locks of the lab and of the pod.
///
/// # Errors
/// As [`remove`].
pub(super) fn remove_locked(dir: &LabDir, pod: &Pod, grace: Option<Duration>) -> Result<()> {
    ask_to_end(dir, pod, grace, None)?;
    groups::end(dir, pod)?;
    let node = Node::find(dir, &pod.node)?;
    // A node that has ended took the network of its pods along.
    if node.holder.is_alive() {
        detach(dir, &node, pod)?;
        remove_scratch(&node, &pod.name)?;
    }
    let hierarchies = home::control_groups()?;
    hierarchies
        .group(group_path(dir, Some(&pod.name)))
        .remove(PATIENCE)?;
    dir.remove_pod(&pod.name)
}

/// Detaches a pod's network and removes its namespace; what was not attached is fine.
///
/// # Errors
/// A plugin refused.
pub fn detach(dir: &LabDir, node: &Node, pod: &Pod) -> Result<()> {
    if pod.spec().host_network {
        return Ok(());
    }
    network::detach(dir, node, pod)?;
    let remove = || NetNs::remove(Pod::netns(&pod.name));
    Ok(node.namespaces()?.run(remove)??)
}

/// Has a pod's containers end, and waits until they have.
fn ask_to_end(
    dir: &LabDir,
    pod: &Pod,
    grace: Option<Duration>,
    interrupt: Option<Interrupt>,
) -> Result<()> {
    let grace = grace.unwrap_or(pod.grace());
    let Some(supervisor) = pod.supervisor.filter(|each| !each.is_gone()) else {
        return Ok(());
    };
    // Without it the supervisor keeps to the pod's own grace period, and this command to the one it was given.
    if let Err(error) = deletion::write(dir, &pod.name, grace) {
        complain(format_args!("pod {}: {error:#}", pod.name));
    }
    supervisor.signal(Signal::Terminate)?;
    let _notice = notice({
        let grace = format_duration(grace);
        let text = format!("waiting for the end of pod {}, {grace} at most", pod.name);
        move || text
    });
    let begin = Instant::now();
    while !supervisor.is_gone() {
        let waited = begin.elapsed();
        if waited >= grace + LAST_WORDS {
            supervisor.signal(Signal::Kill)?;
            break;
        }
        if let Some(interrupt) = interrupt {
            interrupt::check(interrupt).with_context(|| {
                let (name, grace) = (&pod.name, format_duration(grace));
                format!("pod {name} was asked to end and may take {grace}: `lab delete pod {name}` removes it then")
            })?;
        }
        thread::sleep(sandbox::pause_after(waited));
    }
    Ok(())
}

/// Removes the empty directory on the node that the pod's files were mounted on, in its supervisor's mount
/// namespace.
fn remove_scratch(node: &Node, name: &Name) -> Result<()> {
    let path = node.path(&launch::scratch(name).to_string_lossy());
    match fs::remove_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
