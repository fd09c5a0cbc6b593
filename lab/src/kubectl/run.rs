//! `lab run`: a pod of one container, from its command line.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use manifest::RestartPolicy;
use sandbox::Interrupt;

use super::args::{Restart, RunArgs};
use super::placement::Placement;
use super::selection::NotACommandLine;
use super::{gets_terminal, print};
use crate::interrupt;
use crate::keeper;
use crate::output::warn;
use crate::pod::{self, Attach, EndReason, OneContainer, Pod, TERMINAL};
use crate::state::{LabDir, Name};

/// The exit status is that of the program, where that is attached to.
///
/// # Errors
/// As [`super::run()`]; the program could not be started: nothing of the pod is left then.
pub(super) fn run(dir: &LabDir, args: &RunArgs, interrupt: Interrupt) -> Result<ExitCode> {
    let attach = attach(args)?;
    let workload = asked(args, attach)?.workload()?;
    dir.lab()?;
    keeper::require(dir)?;
    let node = Placement::of(dir)?.place(args.node.as_ref())?;
    let Some(attach) = attach else {
        let pod = pod::run(dir, &node, &workload, interrupt)?;
        require_start(dir, &pod, interrupt)?;
        print(&format!("pod/{} created{}\n", pod.name, place(&pod)))?;
        return Ok(ExitCode::SUCCESS);
    };
    let (pod, socket) = pod::run_attached(dir, &node, &workload, attach, interrupt)?;
    require_start(dir, &pod, interrupt)?;
    let attached = pod::attached(socket, attach, interrupt);
    let end = attached.and_then(|()| end_of(dir, &pod, interrupt));
    if args.rm {
        // Also where a signal has ended the looking: nobody asks for it again.
        pod::remove(dir, &pod.name, None, None)?;
        warn(format_args!("pod {:?} deleted", pod.name.as_str()));
    }
    end
}

/// What the caller has of the program.
fn attach(args: &RunArgs) -> Result<Option<Attach>> {
    let is_asked_for = args.attach || args.stdin;
    if args.rm && !is_asked_for {
        bail!(NotACommandLine(
            "--rm removes the pod when its program has ended, which is waited for with -i or --attach".to_owned()
        ));
    }
    if is_asked_for && args.restart != Restart::Never {
        bail!(NotACommandLine(
            "a program that is started again is not attached to: give --restart Never, and `lab logs -f` follows one that is"
                .to_owned()
        ));
    }
    Ok(is_asked_for.then(|| Attach {
        input: args.stdin,
        terminal: gets_terminal(args.tty),
    }))
}

/// Waits until the program's end is known.
fn end_of(dir: &LabDir, pod: &Pod, interrupt: Interrupt) -> Result<ExitCode> {
    const PAUSE: Duration = Duration::from_millis(10);
    loop {
        let status = pod.status(dir)?;
        if let Some(end) = status.containers().find_map(|each| each.state.terminated()) {
            return Ok(ExitCode::from(u8::try_from(end.exit_code).unwrap_or(1)));
        }
        interrupt::pause(interrupt, PAUSE)?;
    }
}

fn asked(args: &RunArgs, attach: Option<Attach>) -> Result<OneContainer> {
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
        env: env(args, attach),
        labels: labels(args),
        restart_policy: args.restart.into(),
        command,
        args: arguments,
    })
}

/// With what the caller's terminal can do, where the program has one.
fn env(args: &RunArgs, attach: Option<Attach>) -> Vec<(String, String)> {
    let mut env = args.env.clone();
    if attach.is_some_and(|attach| attach.terminal)
        && !env.iter().any(|(name, _)| name == TERMINAL)
        && let Ok(kind) = std::env::var(TERMINAL)
    {
        env.push((TERMINAL.to_owned(), kind));
    }
    env
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
            pod::remove(dir, &pod.name, None, Some(interrupt))?;
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
