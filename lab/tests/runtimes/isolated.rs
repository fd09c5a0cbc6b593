//! Programs as processes of a PID namespace of their own: the end of its first process takes along
//! everything that any of them started.

use std::process::{Child, Command};

use sandbox::{Namespace, Namespaces, Process, run_in_new};

use crate::{command::program, groups};

/// The namespace, by its first process, and a control group's name for all in it.
pub(crate) struct Isolated {
    first: Child,
    /// Below the root of each hierarchy; removed at the end.
    pub(crate) group: String,
}

impl Isolated {
    /// Starts the first process: `script`, which sees itself as the only one. It has `arguments`
    /// as `$1` and so on.
    pub(crate) fn start(script: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut first = program("sh");
        // Container runtimes look for their children in /proc by the numbers of their namespace.
        first.args([
            "-c",
            &format!("mount -t proc proc /proc || exit; {script}"),
            "sh",
        ]);
        prepare(&mut first);
        let first = run_in_new(&[Namespace::Pid, Namespace::Mount], || first.spawn());
        Self {
            first: first.unwrap().unwrap(),
            group: groups::name(),
        }
    }

    /// Starts a program beside it: `/proc/PID/ns/net` means the same to both.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let first = Process::of(self.first.id()).unwrap();
        let inside = format!("/proc/{}/ns/pid_for_children", self.first.id());
        let namespaces = Namespaces::of(&first, &[Namespace::Mount, Namespace::Network]).unwrap();
        let namespaces = namespaces.with(Namespace::Pid, inside).unwrap();
        namespaces.run(|| command.spawn()).unwrap().unwrap()
    }

    /// Ends all; `started` are those that this process has to wait for.
    pub(crate) fn end(&mut self, started: &mut [Child]) {
        let _ = self.first.kill();
        // The kernel keeps PID 1 until all others of its namespace are waited for.
        for child in started {
            let _ = child.wait();
        }
        let _ = self.first.wait();
        groups::remove(&self.group);
    }
}
