//! `lab debug`: a container beside those of a pod.
//!
//! Who is killed clears nothing up, so a second process does, which sees the first one's end: the hidden subcommand
//! `debugger`.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use sandbox::{Interrupt, Process};

use super::args::{DebugArgs, DebuggerArgs};
use super::{gets_terminal, operate};
use crate::called::called;
use crate::pod::{self, DebugWish, Pod};
use crate::program;
use crate::state::LabDir;

/// # Errors
/// The second process cannot be started.
#[allow(clippy::disallowed_methods, reason = "the lab starts itself")]
pub(super) fn debug(dir: &LabDir, args: &DebugArgs, interrupt: Interrupt) -> Result<ExitCode> {
    let own = Process::current()?;
    let mut debugger = Command::new("/proc/self/exe");
    debugger.arg0(called());
    debugger.args(["--lab", dir.name().as_str(), "debugger"]);
    debugger.args(words(&own, args));
    let debugger = debugger.spawn().context("start what makes the container")?;
    let number = debugger.id();
    let status = pod::wait_for(debugger, interrupt)?;
    // A pod that has gone took it along.
    if status.signal().is_some()
        && let Ok(pod) = Pod::find(dir, &args.pod)
    {
        pod::clear_after(dir, &pod, number)?;
    }
    Ok(ExitCode::from(program::exit_status(status)))
}

fn words(own: &Process, args: &DebugArgs) -> Vec<String> {
    let mut words = vec![own.pid.to_string(), own.start_time.to_string()];
    words.push(args.pod.to_string());
    words.extend(args.image.iter().map(|image| format!("--image={image}")));
    words.extend(
        args.target
            .iter()
            .map(|target| format!("--target={target}")),
    );
    for (asked_for, word) in [(args.stdin, "--stdin"), (args.tty, "--tty")] {
        words.extend(asked_for.then(|| word.to_owned()));
    }
    words.push("--".to_owned());
    words.extend_from_slice(&args.command);
    words
}

/// Makes the container, runs the program in it, and removes it, also when who started this has ended.
///
/// # Errors
/// As [`pod::debug`].
pub fn debugger(
    dir: &LabDir,
    DebuggerArgs {
        pid,
        start_time,
        args,
    }: &DebuggerArgs,
    interrupt: Interrupt,
) -> Result<ExitCode> {
    let caller = Process {
        pid: *pid,
        start_time: *start_time,
    };
    let pod = Pod::find(dir, &args.pod)?;
    let terminal = gets_terminal(args.tty);
    let wish = DebugWish {
        image: args.image.as_deref(),
        target: args.target.as_deref(),
        terminal,
        command: &args.command,
    };
    let status = pod::debug(dir, &pod, wish, (caller, interrupt), |guest| {
        operate(guest, args.stdin, terminal, interrupt)
    })?;
    Ok(ExitCode::from(program::exit_status(status)))
}
