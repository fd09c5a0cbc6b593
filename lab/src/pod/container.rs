//! The stage through which a container's program is started: the hidden subcommand `container`.
//!
//! The supervisor starts it in the container's PID namespace and control group and tells it what to become. It
//! makes the container's root, gives up what the container must not have, and executes the program: what it
//! was has no trace in what it becomes.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use sandbox::mount::Detached;
use sandbox::{
    ContainerRoot, Namespace, Namespaces, Process, leave_terminal, make_directory, unshare,
};
use serde::{Deserialize, Serialize};

use super::process::Program;
use super::session;
use super::talk::{Answer, Attach, Failure, hear, tell};

/// What a container is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// Its root.
    pub root: ContainerRoot,
    /// The file of its time namespace, where it is not the machine's.
    pub time: Option<PathBuf>,
    /// What runs in it.
    pub program: Program,
    /// What somebody has of it from its start on; they have the other end of standard input.
    pub attach: Option<Attach>,
}

/// Becomes the container's program. Returns when that failed; who started this process is told why.
///
/// # Errors
/// Standard output cannot be kept beside the program's.
pub fn container() -> Result<()> {
    leave_terminal();
    // Closed by exec, where the program's standard output takes its place.
    let report = io::stdout().as_fd().try_clone_to_owned();
    let mut report = File::from(report.context("keep standard output")?);
    let Err(failure) = become_program(&mut report);
    tell(&mut report, &Answer::Failed(failure))
}

fn become_program(report: &mut File) -> Result<Infallible, Failure> {
    let failed = |error| Failure::before(&error);
    let output = session::take_output().map_err(failed)?;
    let setup = prepare(report).map_err(failed)?;
    let mut command = command(&setup, output).map_err(failed)?;
    let cause = command.exec();
    Err(not_executed(&setup.program, &cause))
}

/// The program, which this thread has everything for now; what it prints goes to `output` and standard error, or to its
/// terminal.
fn command(
    Setup {
        program, attach, ..
    }: &Setup,
    output: OwnedFd,
) -> Result<Command> {
    program.own([output.as_fd(), io::stderr().as_fd()])?;
    let mut command = program.command()?;
    program.take_on(&mut command)?;
    match attach {
        Some(Attach { terminal: true, .. }) => session::take_terminal_on()?,
        Some(Attach { input: true, .. }) => {
            command.stdin(session::take_input()?).stdout(output);
        }
        _ => {
            command.stdin(Stdio::null()).stdout(output);
        }
    }
    Ok(command)
}

/// Makes the container's namespaces and root.
fn prepare(report: &mut File) -> Result<Setup> {
    // By them one knows what the container starts.
    unshare(&[Namespace::Mount, Namespace::Cgroup])?;
    // While /proc is the machine's.
    tell(report, &Answer::Born(Process::current()?))?;
    let setup: Setup = hear(&mut io::stdin().lock())?.context("the supervisor has ended")?;
    if let Some(path) = &setup.time {
        Namespaces::at(Namespace::Time, path)?.join()?;
    }
    enter(&setup.root, None, &setup.program.working_dir)?;
    Ok(setup)
}

/// Makes the root, in mount and control group namespaces of its own, and becomes its users' root, where it has some.
/// `processes` are shown in it, or those of this process's PID namespace.
///
/// # Errors
/// As [`ContainerRoot::enter`]; the working directory cannot be made.
pub(super) fn enter(
    root: &ContainerRoot,
    processes: Option<&Detached>,
    working_dir: &Path,
) -> Result<()> {
    // While its path means something.
    let users = root.users.as_ref();
    let users = users.map(|users| Namespaces::at(Namespace::User, &users.namespace));
    let users = users.transpose()?;
    fs::create_dir_all(&root.scratch)
        .with_context(|| format!("create {}", root.scratch.display()))?;
    root.enter_among(processes)?;
    if let Some(users) = users {
        users.join()?;
        // What was mounted so far the users cannot undo, whatever they may mount in this one.
        unshare(&[Namespace::Mount])?;
    }
    // As runtimes do: it need not be in the image.
    make_directory(working_dir).context("make the working directory")
}

fn not_executed(program: &Program, cause: &io::Error) -> Failure {
    let name = program.command.first().map_or("", String::as_str);
    Failure {
        code: match cause.kind() {
            ErrorKind::NotFound => 127,
            _ => 126,
        },
        message: format!("start {name}: {cause}"),
    }
}
