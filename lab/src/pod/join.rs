//! The stage through which a program is started beside a container's own where that has namespaces which one thread
//! alone can enter, where it gets a terminal, and where the container may debug: the hidden subcommand `join`.
//!
//! It enters them, gives up what the container must not have, and only then starts the program, for whose end it waits:
//! no process that the container sees has more than the container. A debugger there would get at it.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use kernel::process::{end_by, end_with_this_process};
use sandbox::{Ended, Init, Namespace, Namespaces, Process, own_pipes, set_umask};

use super::beside::Beside;
use super::exec::{NotStarted, TERMINAL, Terminal};
use super::{DebugWish, Pod, debug, process, session};
use crate::state::LabDir;

/// `lab join`
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The container
    #[command(flatten)]
    beside: Beside,
    /// With a terminal of its own
    #[arg(long)]
    terminal: bool,
    /// Not in the container, but in one that is made beside those of the pod, of this image
    #[arg(long)]
    image: Option<String>,
    /// The same, of a view of the machine's root
    #[arg(long, conflicts_with = "image")]
    machine: bool,
    /// Among that process's own, where one is made
    #[arg(long)]
    among: bool,
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
        let mut words = vec!["join".to_owned()];
        words.extend(Beside::new(dir, pod, container, first).words());
        if terminal == Terminal::Own {
            words.push("--terminal".to_owned());
        }
        words.push("--".to_owned());
        words.extend_from_slice(command);
        words
    }

    /// The same for a container that is made beside those of the pod, among `first`'s processes or not.
    pub(super) fn words_of_debugger(
        dir: &LabDir,
        pod: &Pod,
        name: &str,
        first: &Process,
        wish: DebugWish<'_>,
        among: bool,
    ) -> Vec<String> {
        let terminal = match wish.terminal {
            true => Terminal::Own,
            false => Terminal::None,
        };
        let mut words = Self::words(dir, pod, name, first, (wish.command, terminal));
        let made_of = match wish.image {
            Some(image) => format!("--image={image}"),
            None => "--machine".to_owned(),
        };
        words.insert(1, made_of);
        if among {
            words.insert(1, "--among".to_owned());
        }
        words
    }
}

/// Starts the program and waits for its end: its exit status. A signal that ended it ends this process, too.
///
/// # Errors
/// The container has ended, or has no such user; the program cannot be started ([`NotStarted`]).
pub fn join(args: &JoinArgs) -> Result<ExitCode> {
    let (dir, first) = (args.beside.dir(), args.beside.first());
    let makes_container = args.machine || args.image.is_some();
    let mut pod = Pod::find(&dir, &args.beside.pod)?;
    if makes_container {
        pod = debug::with_container(pod, &args.beside.container, args.image.as_deref())?;
    }
    let container = pod.container(Some(&args.beside.container))?;
    let program = process::program(&dir, &pod, container)?.with_command(&args.command);
    let mut command = program.command()?;
    if let Some(terminal) = std::env::var_os(TERMINAL) {
        command.env(TERMINAL, terminal);
    }
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let streams = [input.as_fd(), output.as_fd(), error.as_fd()];
    if let Some(users) = pod.users {
        // Whose root can hand them on then.
        own_pipes(streams, users.first, users.first)?;
    }
    match makes_container {
        true => debug::enter(&pod, container, &first, args.among, &program.working_dir)?,
        false => enter(&pod, &first)?,
    }
    program.own(streams)?;
    program.take_on(&mut command)?;
    set_umask();
    if args.terminal {
        session::take_on(&mut command)?;
    }
    end_with_this_process(&mut command).context("bind the program to this process")?;
    let init = Init::new()?;
    let started = init.start(&mut command).map_err(|source| NotStarted {
        program: args.command.first().cloned().unwrap_or_default(),
        pod: pod.name.to_string(),
        source,
    })?;
    let ended = init.wait(started)?;
    // Who waits for this process is to tell a signal from an exit status.
    if let Ended::Killed(signal) = ended {
        end_by(signal);
    }
    Ok(ExitCode::from(u8::try_from(ended.code()).unwrap_or(1)))
}

/// Enters the container but for its processes, among which is only what is started then. No descriptor leads out of it
/// afterwards, but the standard streams.
fn enter(pod: &Pod, first: &Process) -> Result<()> {
    let mut kinds = vec![Namespace::Pid, Namespace::Mount];
    kinds.extend(pod.lone_namespaces());
    Ok(Namespaces::of(first, &kinds)?.join()?)
}
