//! `lab down`: detach the pods, end the keeper and with it every process, then remove what is left
//! on the machine: control groups and files. Works on a lab in any state, as often as wanted.

use anyhow::Result;
use sandbox::PATIENCE;

use crate::home;
use crate::keeper;
use crate::node::Node;
use crate::pod::{self, Pod};
use crate::state::{LabDir, Lock};

/// Takes a lab down. Returns what went wrong without keeping the lab from going: pods whose network
/// could not be detached.
///
/// # Errors
/// There is no such lab; a process does not end; a control group or file cannot be removed.
pub fn down(dir: &LabDir) -> Result<Vec<String>> {
    let lock = dir.lock()?;
    down_locked(dir, &lock)
}

/// The same, for who holds the lock.
///
/// # Errors
/// As [`down`].
pub fn down_locked(dir: &LabDir, _lock: &Lock) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    // A full disk keeps no lab: who watches it sees pods lost then.
    let _ = dir.note_end();
    if let Some(keeper) = keeper::noted(dir)? {
        if keeper.is_alive() {
            problems = detach_pods(dir);
        }
        keeper::end(&keeper)?;
    }
    let hierarchies = home::control_groups()?;
    hierarchies
        .group(pod::group_path(dir, None))
        .remove(PATIENCE)?;
    hierarchies.group(pod::GROUP).remove_if_empty();
    dir.remove()?;
    Ok(problems)
}

/// The nodes' network goes with the nodes; this runs the plugins' DEL all the same, as a runtime
/// does, and tells of those that fail.
fn detach_pods(dir: &LabDir) -> Vec<String> {
    let pods = match Pod::all(dir) {
        Ok(pods) => pods,
        Err(error) => return vec![format!("{error:#}")],
    };
    let hands = std::thread::available_parallelism().map_or(1, usize::from);
    let share = pods.len().div_ceil(hands).max(1);
    let detach_all = |pods: &[Pod]| -> Vec<String> {
        let detached = pods.iter().map(|pod| {
            let told = |error| format!("pod {}: {error:#}", pod.name);
            detach(dir, pod).map_err(told)
        });
        detached.filter_map(Result::err).collect()
    };
    std::thread::scope(|scope| {
        let tasks: Vec<_> = pods
            .chunks(share)
            .map(|pods| scope.spawn(move || detach_all(pods)))
            .collect();
        let joined = tasks.into_iter().map(|task| task.join());
        joined
            .flat_map(|problems| problems.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn detach(dir: &LabDir, pod: &Pod) -> Result<()> {
    let node = Node::find(dir, &pod.node)?;
    match node.holder.is_alive() {
        true => pod::detach(dir, &node, pod),
        // It took the network of its pods along.
        false => Ok(()),
    }
}
