//! How a pod is doing, in one word of the lab's.

use anyhow::Result;

use super::{EndReason, Phase, Pod, Status};
use crate::state::LabDir;

/// How a pod is doing: what `lab ps` says. [`Status`] says more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its making was cut short.
    Incomplete,
    /// Not all of its containers have been started.
    Pending,
    /// It runs.
    Running,
    /// It has ended with this status, which is that of the first container that failed; 128 and the number for
    /// a signal.
    Exited(i32),
    /// The kernel killed a container at its memory limit.
    OutOfMemory,
    /// Its supervisor was killed.
    Killed,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Incomplete => f.pad("incomplete"),
            Self::Pending => f.pad("pending"),
            Self::Running => f.pad("running"),
            Self::Exited(code) => f.pad(&format!("exited ({code})")),
            Self::OutOfMemory => f.pad("out of memory"),
            Self::Killed => f.pad("killed"),
        }
    }
}

impl Pod {
    /// How it is doing, in one word.
    ///
    /// # Errors
    /// Its status file cannot be read.
    pub fn state(&self, dir: &LabDir) -> Result<State> {
        let status = self.status(dir)?;
        Ok(match status.phase {
            _ if status.is_cut_short() => State::Incomplete,
            _ if status.is_lost() => State::Killed,
            Phase::Pending => State::Pending,
            Phase::Running => State::Running,
            Phase::Succeeded | Phase::Failed => end_of(&status),
        })
    }
}

fn end_of(status: &Status) -> State {
    let mut ends = status.containers().filter_map(|each| each.last_end());
    match ends.find(|end| end.exit_code != 0) {
        Some(end) if end.reason == EndReason::OomKilled => State::OutOfMemory,
        Some(end) => State::Exited(end.exit_code),
        None => State::Exited(0),
    }
}
