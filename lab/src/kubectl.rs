//! The commands that are kubectl's: pods from manifests, with the words and columns that hands know.
//!
//! They stand on [`crate::pod`]. What they print is what kubectl prints, for what a lab has: pods and nodes.

mod age;
mod apply;
pub mod args;
mod delete;
mod describe;
mod events;
mod files;
mod get;
mod logs;
mod object;
mod placement;
mod rules;
mod run;
mod selection;
mod wait;
pub(crate) mod word;

use std::process::{ExitCode, Stdio};

use anyhow::{Result, bail};
use sandbox::Interrupt;

use crate::output::{ReaderGone, print};
use crate::pod::{self, Guest, Pod};
use crate::program;
use crate::state::LabDir;
use args::{ExecArgs, KubectlCommand};

pub use logs::print_log;
pub use selection::NotACommandLine;

/// Carries out a command.
///
/// # Errors
/// There is no such lab, file, pod or node; the manifests are refused ([`manifest::Refused`]); what was asked of
/// one of several pods failed. The text says which and why.
pub fn run(dir: &LabDir, command: &KubectlCommand) -> Result<ExitCode> {
    match command {
        KubectlCommand::Run(args) => run::run(dir, args, Interrupt::install()?)?,
        KubectlCommand::Apply(args) => apply::apply(dir, args, Interrupt::install()?)?,
        KubectlCommand::Get(args) => get::get(dir, args)?,
        KubectlCommand::Describe(args) => describe::describe(dir, args)?,
        KubectlCommand::Events(args) => events::events(dir, args, Interrupt::install()?)?,
        KubectlCommand::Logs(args) => logs::logs(dir, args, Interrupt::install()?)?,
        KubectlCommand::Exec(args) => return exec(dir, args, Interrupt::install()?),
        KubectlCommand::Delete(args) => delete::delete(dir, args, Interrupt::install()?)?,
        KubectlCommand::Wait(args) => wait::wait(dir, args, Interrupt::install()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The program ends as the caller asks it to: signals are its own matter.
fn exec(dir: &LabDir, args: &ExecArgs, interrupt: Interrupt) -> Result<ExitCode> {
    let pod = Pod::find(dir, &args.pod)?;
    say_which_container(&pod, args.container.as_deref());
    let mut guest = Guest::new(dir, &pod, args.container.as_deref(), &args.command)?;
    guest.command.stdin(match args.stdin {
        true => Stdio::inherit(),
        false => Stdio::null(),
    });
    if let Some(terminal) = std::env::var_os("TERM").filter(|_| args.tty) {
        guest.command.env("TERM", terminal);
    }
    let status = pod::wait_for(guest.start()?, interrupt)?;
    Ok(ExitCode::from(program::exit_status(status)))
}

/// Who names no container of several is told which one it is.
fn say_which_container(pod: &Pod, named: Option<&str>) {
    let containers = &pod.spec().containers;
    if let (None, [first, _, ..]) = (named, &containers[..]) {
        let all: Vec<&str> = pod.containers().map(|each| each.name.as_str()).collect();
        eprintln!(
            "Defaulted container {:?} out of: {}",
            first.name,
            all.join(", ")
        );
    }
}

/// # Errors
/// There are failures: each on a line.
fn all_or_failures(failures: &[anyhow::Error]) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    if failures.iter().all(|each| each.is::<ReaderGone>()) {
        bail!(ReaderGone);
    }
    let lines: Vec<String> = failures.iter().map(|each| format!("{each:#}")).collect();
    bail!("{}", lines.join("\n"))
}
