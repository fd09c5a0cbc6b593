//! `lab run`: a pod of one container, from its command line.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use manifest::RestartPolicy;
use sandbox::Interrupt;

use super::args::{Restart, RunArgs};
use super::placement::Placement;
use super::print;
use crate::keeper;
use crate::pod::{self, EndReason, OneContainer, Pod};
use crate::state::{LabDir, Name};

/// # Errors
/// As [`super::run()`]; the program could not be started: nothing of the pod is left then.
pub(super) fn run(dir: &LabDir, args: &RunArgs, interrupt: Interrupt) -> Result<()> {
    let workload = asked(args)?.workload()?;
    dir.lab()?;
    keeper::require(dir)?;
    let node = Placement::of(dir)?.place(args.node.as_ref())?;
    let pod = pod::run(dir, &node, &workload, interrupt)?;
    require_start(dir, &pod, interrupt)?;
    print(&format!("pod/{} created{}\n", pod.name, place(&pod)))
}

fn asked(args: &RunArgs) -> Result<OneContainer> {
    let (command, arguments) = match args.command {
        true => (args.words.clone(), Vec::new()),
        false => (Vec::new(), args.words.clone()),
    };
    Ok(OneContainer {
        name: args.name.clone(),
        image: match &args.rootfs {
            Some(rootfs) => Some(absolute(rootfs)?),
            None => args.image.clone(),
        },
        memory: args.memory,
        cpu: args.cpus,
        pids: args.pids,
        io_read: args.io_read,
        io_write: args.io_write,
        processors: args.cpuset.clone(),
        privileged: args.privileged,
        networks: args.network.clone(),
        env: args.env.clone(),
        labels: labels(args),
        restart_policy: args.restart.into(),
        command,
        args: arguments,
    })
}

fn absolute(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).with_context(|| format!("find {}", path.display()))?;
    Ok(path.display().to_string())
}

fn labels(args: &RunArgs) -> BTreeMap<String, String> {
    match args.labels.is_empty() {
        true => BTreeMap::from([("run".to_owned(), args.name.to_string())]),
        false => args.labels.iter().cloned().collect(),
    }
}

impl From<Restart> for RestartPolicy {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::Always => Self::Always,
            Restart::OnFailure => Self::OnFailure,
            Restart::Never => Self::Never,
        }
    }
}

/// A pod whose only container could not be started is no pod.
fn require_start(dir: &LabDir, pod: &Pod, interrupt: Interrupt) -> Result<()> {
    let status = pod.status(dir)?;
    for end in status.containers().filter_map(|each| each.last_end()) {
        if end.reason == EndReason::ContainerCannotRun {
            pod::remove(dir, &pod.name, None, interrupt)?;
            bail!("{}", end.message.as_deref().unwrap_or_default());
        }
    }
    Ok(())
}

/// Where it is, what its networks gave it, and how long they took.
fn place(pod: &Pod) -> String {
    let node: &Name = &pod.node;
    let Some(network) = &pod.network else {
        return format!(" on {node}");
    };
    if network.networks.is_empty() {
        return format!(" on {node}, without a network");
    }
    let networks = network.networks.iter().map(|network| {
        let addresses: Vec<String> = network.ips.iter().map(ToString::to_string).collect();
        addresses.join(", ")
    });
    let networks: Vec<String> = networks.filter(|addresses| !addresses.is_empty()).collect();
    format!(
        " on {node}: {} (attached in {:.1} ms)",
        networks.join("; "),
        network.attach_ms
    )
}
