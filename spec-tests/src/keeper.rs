//! `--keep`: processes that hold the worlds of failed cases when their cases have ended.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};

use crate::bench::command;

/// Ends without the word to stay: a run that is stopped before its report leaves nobody behind
/// whom no report names.
const SCRIPT: &str = "read stay && exec sleep infinity </dev/null";

/// The keepers of one run; they end with it unless they are told to stay.
#[derive(Debug, Default)]
pub(crate) struct Keepers {
    waiting: Mutex<Vec<ChildStdin>>,
}

impl Keepers {
    /// Keeps the namespaces of a world whose `unshare` has this process id: starts a process that
    /// stays in them, and returns its id.
    ///
    /// # Errors
    /// When the world is gone or `nsenter` does not run.
    pub(crate) fn keep(&self, unshare: u32) -> Result<u32> {
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
        let inside = children
            .split_whitespace()
            .next()
            .context("the world is gone")?;
        let mut nsenter: Command = command(Path::new("nsenter"));
        nsenter
            .args(["--target", inside, "--net", "--mount", "sh", "-c", SCRIPT])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut keeper = nsenter
            .spawn()
            .context("run nsenter (package util-linux)")?;
        let stdin = keeper.stdin.take().context("no stdin")?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(stdin);
        is_inside(keeper.id())?;
        Ok(keeper.id())
    }

    /// Tells all keepers to stay until somebody ends them.
    pub(crate) fn stay(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for mut stdin in waiting.drain(..) {
            // Somebody may have ended the keeper already.
            let _ = stdin.write_all(b"stay\n");
        }
    }
}

/// The world may go only when the keeper is in it, that is, when `nsenter` runs the shell.
fn is_inside(keeper: u32) -> Result<()> {
    for _ in 0..6000 {
        if fs::read_to_string(format!("/proc/{keeper}/comm")).is_ok_and(|name| name.trim() == "sh")
        {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    bail!("the process that should keep the world did not start")
}
