//! The container beside whose own processes a hidden subcommand works, on that one's command line.

use clap::Args;
use sandbox::Process;

use super::Pod;
use crate::state::{LabDir, Name};

/// A container that runs.
#[derive(Debug, Args)]
pub(super) struct Beside {
    /// The lab
    lab: Name,
    /// The pod
    pub pod: Name,
    /// The container
    pub container: String,
    /// The container's first process
    pid: u32,
    /// When that was started
    start_time: u64,
}

impl Beside {
    pub(super) fn new(dir: &LabDir, pod: &Pod, container: &str, first: &Process) -> Self {
        Self {
            lab: dir.name().clone(),
            pod: pod.name.clone(),
            container: container.to_owned(),
            pid: first.pid,
            start_time: first.start_time,
        }
    }

    /// As words of a command line.
    pub(super) fn words(&self) -> [String; 5] {
        [
            self.lab.to_string(),
            self.pod.to_string(),
            self.container.clone(),
            self.pid.to_string(),
            self.start_time.to_string(),
        ]
    }

    pub(super) fn dir(&self) -> LabDir {
        LabDir::of(&self.lab)
    }

    /// The container's first process.
    pub(super) fn first(&self) -> Process {
        Process {
            pid: self.pid,
            start_time: self.start_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Called {
        #[command(flatten)]
        beside: Beside,
    }

    #[test]
    fn what_is_written_is_read_back() {
        let words = ["lab", "l", "web", "debug.7", "12", "345"];
        let called = Called::parse_from(words);
        assert_eq!(called.beside.words(), words[1..]);
        let first = called.beside.first();
        assert_eq!((first.pid, first.start_time), (12, 345));
    }
}
