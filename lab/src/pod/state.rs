//! How a pod is doing.

use std::fs;
use std::io;

use anyhow::{Context, Result};
use sandbox::cgroup::Hierarchies;
use serde::Serialize;

use super::{Pod, group};
use crate::state::{LabDir, Name};

/// How a pod is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its making was cut short.
    Incomplete,
    /// Its command runs.
    Running,
    /// Its command ended with this status; 128 and the number for a signal.
    Exited(i32),
    /// The kernel killed its command at the memory limit.
    OutOfMemory,
    /// Its first process was killed.
    Killed,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Incomplete => f.pad("incomplete"),
            Self::Running => f.pad("running"),
            Self::Exited(code) => f.pad(&format!("exited ({code})")),
            Self::OutOfMemory => f.pad("out of memory"),
            Self::Killed => f.pad("killed"),
        }
    }
}

impl Pod {
    /// How it is doing.
    ///
    /// # Errors
    /// Its exit file cannot be read.
    pub fn state(&self, dir: &LabDir) -> Result<State> {
        let Some(init) = self.init else {
            return Ok(State::Incomplete);
        };
        if init.is_alive() {
            return Ok(State::Running);
        }
        let Some(code) = exit_code(dir, &self.spec.name)? else {
            return Ok(State::Killed);
        };
        let hierarchies = Hierarchies::detect()?;
        let kills = group(&hierarchies, dir, &self.spec.name).out_of_memory_kills();
        match code {
            // 128 and SIGKILL: the signal alone does not say whose it was.
            137 if kills.is_ok_and(|kills| kills > 0) => Ok(State::OutOfMemory),
            code => Ok(State::Exited(code)),
        }
    }
}

/// How the command ended, as PID 1 noted it; `None` when it had no chance to.
fn exit_code(dir: &LabDir, pod: &Name) -> Result<Option<i32>> {
    let path = dir.pod(pod).join("exit");
    match fs::read_to_string(&path) {
        Ok(code) => Ok(code.parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}
