//! The stage through which a program is started beside a container's own where that has namespaces which one thread
//! alone can enter, or where it gets a terminal: the hidden subcommand `join`. It enters them, gives up what the container
//! must not have, and executes the program.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;

use anyhow::Result;
use clap::Args;
use sandbox::{Namespace, Namespaces, Process, set_umask};

use super::exec::{NotStarted, TERMINAL, Terminal};
use super::{Pod, process, session};
use crate::state::{LabDir, Name};

/// `lab join`
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The lab
    lab: Name,
    /// The pod
    pod: Name,
    /// The container
    container: String,
    /// The container's first process
    pid: u32,
    /// When that was started
    start_time: u64,
    /// With a terminal of its own
    #[arg(long)]
    terminal: bool,
    /// Program and arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

impl JoinArgs {
    /// As words of a command line.
    pub(super) fn words(
        dir: &LabDir,
        pod: &Pod,
        container: &str,
        first: &Process,
        (command, terminal): (&[String], Terminal),
    ) -> Vec<String> {
        let mut words = vec![
            "join".to_owned(),
            dir.name().to_string(),
            pod.name.to_string(),
            container.to_owned(),
            first.pid.to_string(),
            first.start_time.to_string(),
        ];
        if terminal == Terminal::Own {
            words.push("--terminal".to_owned());
        }
        words.push("--".to_owned());
        words.extend_from_slice(command);
        words
    }
}

/// Becomes the program.
///
/// # Errors
/// The container has ended, or has no such user; the program cannot be started ([`NotStarted`]).
pub fn join(args: &JoinArgs) -> Result<Infallible> {
    let dir = LabDir::of(&args.lab);
    let pod = Pod::find(&dir, &args.pod)?;
    let container = pod.container(Some(&args.container))?;
    let first = Process {
        pid: args.pid,
        start_time: args.start_time,
    };
    let program = process::program(&dir, &pod, container)?.with_command(&args.command);
    let mut command = program.command()?;
    if let Some(terminal) = std::env::var_os(TERMINAL) {
        command.env(TERMINAL, terminal);
    }
    let mut kinds = vec![Namespace::Mount];
    kinds.extend(pod.lone_namespaces());
    Namespaces::of(&first, &kinds)?.join()?;
    program.take_on(&mut command)?;
    set_umask();
    if args.terminal {
        session::take_on()?;
    }
    let source = command.exec();
    Err(NotStarted {
        program: args.command.first().cloned().unwrap_or_default(),
        pod: pod.name.to_string(),
        source,
    }
    .into())
}
