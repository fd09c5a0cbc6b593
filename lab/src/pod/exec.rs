//! Running a program in a pod.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use sandbox::cgroup::Hierarchies;
use sandbox::{Confinement, Identity, Namespace, Namespaces, join_at_start};

use super::{Pod, State, group, init};
use crate::keeper::LAB_VARIABLE;
use crate::state::LabDir;

/// Runs a program in a pod, with this process's standard input, output and error, to its end.
///
/// # Errors
/// The pod does not run, or the program cannot be started ([`NotStarted`]).
pub fn exec(dir: &LabDir, pod: &Pod, arguments: &[String]) -> Result<ExitStatus> {
    let mut command = command(dir, pod, arguments)?;
    command.stdin(Stdio::inherit());
    start(dir, pod, &mut command)?
        .wait()
        .context("wait for the program")
}

/// A program that could not be started in a pod.
#[derive(Debug, thiserror::Error)]
#[error("start {program:?} in pod {pod}")]
pub struct NotStarted {
    /// As it was given.
    pub program: String,
    /// The pod's name.
    pub pod: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl NotStarted {
    /// As shells have it: 127 when there is no such program, 126 when it cannot be executed.
    pub fn code(&self) -> u8 {
        if self.source.kind() == io::ErrorKind::NotFound {
            127
        } else {
            126
        }
    }
}

/// A command to be started in a pod; its standard streams are the caller's to choose.
///
/// # Errors
/// `arguments` is empty.
#[allow(clippy::disallowed_methods, reason = "the lab starts programs")]
pub fn command(dir: &LabDir, pod: &Pod, arguments: &[String]) -> Result<Command> {
    let (program, arguments) = arguments
        .split_first()
        .context("give a program after `--`")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/");
    init::set_environment(&mut command, pod.spec.name.as_str());
    command.env(LAB_VARIABLE, dir.name().as_str());
    Ok(command)
}

/// Starts a command in the pod's namespaces and control group.
///
/// # Errors
/// As [`exec`].
pub fn start(dir: &LabDir, pod: &Pod, command: &mut Command) -> Result<Child> {
    let name = &pod.spec.name;
    let Some(init) = pod
        .init
        .filter(|_| matches!(pod.state(dir), Ok(State::Running)))
    else {
        bail!("pod {name} does not run: it is {}", pod.state(dir)?);
    };
    let hierarchies = Hierarchies::detect()?;
    join_at_start(command, &group(&hierarchies, dir, name))?;
    let kinds = [
        Namespace::Pid,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Cgroup,
        Namespace::Network,
        Namespace::Mount,
    ];
    let confinement = Confinement::new(init::rights(pod.spec.privileged))?;
    let spawn = || -> Result<io::Result<Child>> {
        confinement.apply(&Identity::default())?;
        Ok(command.spawn())
    };
    Namespaces::of(&init, &kinds)?
        .run(spawn)??
        .map_err(|source| {
            let program = command.get_program().to_string_lossy().into_owned();
            NotStarted {
                program,
                pod: name.to_string(),
                source,
            }
            .into()
        })
}
