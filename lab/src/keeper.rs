//! The keeper: PID 1 of a PID namespace in which all processes of a lab live. When it ends, for
//! whatever reason, the kernel ends them all, and with them their namespaces, links and mounts.
//! Those that outlive who started them are its children, so that nobody else has to wait for them
//! before the namespace can end: where the first process of a container adopts what loses its parent,
//! it may be one that waits for nobody.
//!
//! Until `lab up` has built everything the keeper lives only as long as that command: it waits for
//! one byte on its standard input, and ends when the other side is closed without it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use sandbox::{Init, Namespace, Namespaces, PATIENCE, Process, Signal, leave_terminal, run_in_new};

use crate::called::{as_called, called};
use crate::output::warn;
use crate::program::{Programs, command};
use crate::state::{self, LabDir};

/// The environment variable that every process of a lab carries.
pub const LAB_VARIABLE: &str = "PODWIRE_LAB";

/// A started keeper, still tied to this process.
#[derive(Debug)]
pub struct Keeper {
    /// The process.
    pub process: Process,
    life: ChildStdin,
}

impl Keeper {
    /// Starts the keeper in new PID and network namespaces, and notes it in the lab's directory.
    ///
    /// # Errors
    /// The kernel refused the namespaces.
    pub fn start(dir: &LabDir, programs: &Programs) -> Result<Self> {
        let log = File::create(dir.path("keeper.log")).context("create the keeper's log")?;
        let mut keeper = command(&programs.lab);
        keeper
            .args(["keeper", dir.name().as_str()])
            .env(LAB_VARIABLE, dir.name().as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = run_in_new(&[Namespace::Pid, Namespace::Network], || keeper.spawn())?
            .context("start the keeper")?;
        let life = child
            .stdin
            .take()
            .context("the keeper has no standard input")?;
        let process = Process::of(child.id());
        start_to_wait_for(child);
        let process = process?;
        state::write(&dir.path("keeper.json"), &process)?;
        Ok(Self { process, life })
    }

    /// Lets the lab outlive this process.
    ///
    /// # Errors
    /// The keeper has ended.
    pub fn release(mut self) -> Result<()> {
        self.life.write_all(b"k").context("the keeper has ended")
    }
}

/// The keeper's own life: the hidden subcommand `keeper`.
///
/// # Errors
/// The starter closed the pipe without a word.
pub fn keep() -> Result<()> {
    leave_terminal();
    let init = Init::new()?;
    let read = std::io::stdin()
        .read(&mut [0; 1])
        .context("wait for the end of `lab up`")?;
    if read == 0 {
        bail!("`lab up` ended before the lab was complete");
    }
    match init.reap()? {}
}

/// The keeper of a lab, if it runs.
///
/// # Errors
/// Its state file cannot be read.
pub fn find(dir: &LabDir) -> Result<Option<Process>> {
    Ok(noted(dir)?.filter(Process::is_alive))
}

/// The keeper that was started for a lab, whether it runs, is ending, or is gone.
///
/// # Errors
/// Its state file cannot be read.
pub fn noted(dir: &LabDir) -> Result<Option<Process>> {
    state::read(&dir.path("keeper.json"))
}

/// The keeper of a lab, which runs.
///
/// # Errors
/// It does not: says what to do.
pub fn require(dir: &LabDir) -> Result<Process> {
    find(dir)?.with_context(|| stopped(dir))
}

/// What to tell of a lab whose keeper does not run.
pub fn stopped(dir: &LabDir) -> String {
    format!(
        "lab {name:?} has stopped: its first process, the keeper, has ended, and all that ran in the \
         lab with it; take down what is left with `lab down --lab {name}`",
        name = dir.name().as_str()
    )
}

/// Tells, on standard error, of a lab whose keeper does not run: what is left of it looks like what failed to start.
///
/// # Errors
/// The keeper's state file cannot be read.
pub fn warn_if_stopped(dir: &LabDir) -> Result<()> {
    if find(dir)?.is_none() {
        warn(format_args!("{}: {}", called(), as_called(&stopped(dir))));
    }
    Ok(())
}

/// The PID namespace of a lab, and other namespaces of one of its processes.
///
/// # Errors
/// The lab does not run.
pub fn within(dir: &LabDir, process: &Process, kinds: &[Namespace]) -> Result<Namespaces> {
    let keeper = require(dir)?;
    let path = format!("/proc/{}/ns/pid", keeper.pid);
    Ok(Namespaces::of(process, kinds)?.with(Namespace::Pid, path)?)
}

/// Ends the keeper and everything in its PID namespace, and waits until they are gone; what is gone
/// already is fine.
///
/// # Errors
/// They are not gone after a long time.
pub fn end(keeper: &Process) -> Result<()> {
    keeper.signal(Signal::Kill)?;
    if !keeper.wait_gone(PATIENCE) {
        bail!("process {} was killed but does not end", keeper.pid);
    }
    reap();
    Ok(())
}

/// Keepers that this process started.
static STARTED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

fn start_to_wait_for(keeper: Child) {
    if let Ok(mut children) = STARTED.lock() {
        children.push(keeper);
    }
}

/// Takes note of the keepers that have ended, so that none is left as a zombie.
fn reap() {
    if let Ok(mut children) = STARTED.lock() {
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}
