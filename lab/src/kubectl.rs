//! The commands that are kubectl's: pods from manifests, with the words and columns that hands know.
//!
//! They stand on [`crate::pod`]. What they print is what kubectl prints, for what a lab has: pods and nodes.

mod age;
mod apply;
pub mod args;
mod cp;
mod debug;
mod delete;
mod describe;
mod events;
mod files;
mod get;
mod jsonpath;
mod labels;
mod logs;
mod object;
mod placement;
mod port_forward;
mod readiness;
mod rules;
mod run;
mod selection;
mod streams;
mod wait;
pub(crate) mod word;

use std::process::{ExitCode, ExitStatus};

use anyhow::Result;
use kernel::process::leave_session_at_start;
use sandbox::{Interrupt, has_terminal};

use crate::output::{print, warn};
use crate::pod::{self, Guest, Pod};
use crate::program;
use crate::state::LabDir;
use args::{ExecArgs, KubectlCommand};
use streams::Streams;

pub use debug::debugger;
pub use selection::NotACommandLine;
pub(crate) use selection::{Kind, PodOrPath, pod_name};

/// Carries out a command.
///
/// # Errors
/// There is no such lab, file, pod or node; the manifests are refused ([`manifest::Refused`]); what was asked of
/// one of several pods failed. The text says which and why.
pub fn run(dir: &LabDir, command: &KubectlCommand) -> Result<ExitCode> {
    match command {
        KubectlCommand::Run(args) => return run::run(dir, args, Interrupt::install()?),
        KubectlCommand::Apply(args) => apply::apply(dir, args, Interrupt::install()?)?,
        KubectlCommand::Get(args) => get::get(dir, args, Interrupt::install()?)?,
        KubectlCommand::Describe(args) => describe::describe(dir, args)?,
        KubectlCommand::Events(args) => events::events(dir, args, Interrupt::install()?)?,
        KubectlCommand::Logs(args) => logs::logs(dir, args, Interrupt::install()?)?,
        KubectlCommand::Exec(args) => return exec(dir, args, Interrupt::install()?),
        KubectlCommand::Debug(args) => return debug::debug(dir, args, Interrupt::install()?),
        KubectlCommand::PortForward(args) => port_forward::port_forward(dir, args)?,
        KubectlCommand::Cp(args) => cp::cp(dir, args, Interrupt::install()?)?,
        KubectlCommand::Delete(args) => delete::delete(dir, args, Interrupt::install()?)?,
        KubectlCommand::Wait(args) => wait::wait(dir, args, Interrupt::install()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The program ends as the caller asks it to: signals are its own matter.
fn exec(dir: &LabDir, args: &ExecArgs, interrupt: Interrupt) -> Result<ExitCode> {
    let pod = Pod::find(dir, &args.pod)?;
    let container = args.container.as_deref();
    say_which_container(&pod, container);
    let terminal = gets_terminal(args.tty);
    let guest = match terminal {
        true => Guest::with_terminal(dir, &pod, container, &args.command)?,
        false => Guest::new(dir, &pod, container, &args.command)?,
    };
    let status = operate(guest, args.stdin, terminal, interrupt)?;
    Ok(ExitCode::from(program::exit_status(status)))
}

/// Runs a program until it ends, with what it says and hears passed on, or at a terminal of its own.
fn operate(
    mut guest: Guest,
    input: bool,
    terminal: bool,
    interrupt: Interrupt,
) -> Result<ExitStatus> {
    if terminal {
        return pod::at_terminal(guest, interrupt);
    }
    // Its terminal is open by /dev/tty as well.
    leave_session_at_start(&mut guest.command);
    let streams = Streams::begin(&mut guest, input)?;
    let status = pod::wait_for(guest.start()?, interrupt)?;
    streams.end(interrupt)?;
    Ok(status)
}

/// Whether the program gets a terminal: it is operated from the user's.
fn gets_terminal(asked_for: bool) -> bool {
    let is_there = has_terminal();
    if asked_for && !is_there {
        warn("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    asked_for && is_there
}

/// Who names no container of several is told which one it is.
fn say_which_container(pod: &Pod, named: Option<&str>) {
    let containers = &pod.spec().containers;
    if let (None, [first, _, ..]) = (named, &containers[..]) {
        let all: Vec<&str> = pod.containers().map(|each| each.name.as_str()).collect();
        warn(format_args!(
            "Defaulted container {:?} out of: {}",
            first.name,
            all.join(", ")
        ));
    }
}
