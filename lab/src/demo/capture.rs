//! Running programs in pods and nodes to their end, unless Ctrl-C comes first.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sandbox::Interrupt;

use crate::interrupt::pause;
use crate::node::Node;
use crate::pod::{Guest, Pod};
use crate::program;
use crate::state::LabDir;

/// How long a program may take to end, or to begin to serve.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a program runs.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// In a pod.
    Pod(&'a Pod),
    /// On a node, in its network.
    Node(&'a Node),
}

/// A program that runs; ended when dropped.
pub(super) struct Started {
    child: Child,
    name: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program; what it prints is kept for [`Started::output`].
pub(super) fn start(dir: &LabDir, place: Place<'_>, arguments: &[&str]) -> Result<Started> {
    let name = arguments.first().copied().unwrap_or_default().to_owned();
    let pipe = |command: &mut Command| {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    };
    let child = match place {
        Place::Pod(pod) => {
            let arguments: Vec<String> = arguments.iter().map(|&each| each.to_owned()).collect();
            let mut guest = Guest::new(dir, pod, None, &arguments)?;
            pipe(&mut guest.command);
            guest.start()?
        }
        Place::Node(node) => {
            let mut command = program::command(&name);
            command.args(&arguments[1..]);
            pipe(&mut command);
            let spawned = node
                .namespaces_for_processes(dir)?
                .run(|| command.spawn())?;
            spawned.with_context(|| format!("start {name} on node {}", node.name))?
        }
    };
    Ok(Started { child, name })
}

impl Started {
    /// Waits for its end; what it printed, if it ended well.
    fn output(mut self, interrupt: Interrupt) -> Result<String> {
        // The programs of the demo print less than a pipe holds, so reading can wait.
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("{} does not end", self.name);
            }
            pause(interrupt, Duration::from_millis(1))?;
        };
        let printed = read(self.child.stdout.take());
        if status.success() {
            return Ok(printed);
        }
        let said = read(self.child.stderr.take()) + &printed;
        bail!("{} ended with {status}: {}", self.name, said.trim())
    }
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read was not said.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a program to its end; what it printed.
pub(super) fn run(
    dir: &LabDir,
    place: Place<'_>,
    arguments: &[&str],
    interrupt: Interrupt,
) -> Result<String> {
    start(dir, place, arguments)?.output(interrupt)
}
