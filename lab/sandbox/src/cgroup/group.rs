//! One group: its limits, its processes, its end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::Result;

use super::files::{
    make_with_ancestors, open_for_writing, read, remove_tree, unexpected, write, write_if_present,
};
use super::{Controller, Hierarchies, Limits, unavailable};
use crate::Process;

/// The kernel's default period for processor quotas (kernel documentation, scheduler/sched-bwc).
const PERIOD_MICROSECONDS: u64 = 100_000;

/// A group: one directory in each hierarchy.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    hierarchies: &'a Hierarchies,
    path: PathBuf,
}

impl<'a> Group<'a> {
    pub(super) fn new(hierarchies: &'a Hierarchies, path: PathBuf) -> Self {
        Self { hierarchies, path }
    }
}

impl Group<'_> {
    /// Makes the group and its ancestors and writes the limits. A group that exists is limited anew.
    ///
    /// # Errors
    /// A controller that `limits` needs is not there; the kernel refused a limit. What was made
    /// stays: [`Group::remove`] takes it away.
    pub fn create(&self, limits: &Limits) -> Result<()> {
        for directory in self.directories() {
            make_with_ancestors(&directory)?;
        }
        for controller in limits.controllers() {
            self.require(controller)?;
        }
        if let Some(bytes) = limits.memory {
            self.limit_memory(bytes)?;
        }
        if let Some(thousandths) = limits.cpu {
            self.limit_cpu(thousandths)?;
        }
        if let Some(most) = limits.pids {
            let directory = self.directory(Controller::Pids)?;
            write(&directory.join("pids.max"), most)?;
        }
        Ok(())
    }

    /// Moves a process into the group, with the processes it starts from now on.
    ///
    /// # Errors
    /// There is no such process or no such group.
    pub fn add(&self, pid: u32) -> Result<()> {
        self.directories()
            .iter()
            .try_for_each(|each| write(&each.join("cgroup.procs"), pid))
    }

    /// The processes in the group, not those in groups below it; none when there is no such group.
    ///
    /// # Errors
    /// The kernel refused to list them.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let mut found = Vec::new();
        for directory in self.directories() {
            let text = match read(&directory.join("cgroup.procs")) {
                Err(error) if error.is_gone() => continue,
                text => text?,
            };
            // One that has ended since is not in the group any more.
            let pids = text.lines().filter_map(|line| line.parse().ok());
            found.extend(pids.filter_map(|pid| Process::of(pid).ok()));
        }
        found.sort_unstable_by_key(|process| process.pid);
        found.dedup();
        Ok(found)
    }

    /// The files through which a process joins the group: it writes `0` to each. Opened here, so
    /// that a child can do it between fork and exec.
    pub(crate) fn doors(&self) -> Result<Vec<File>> {
        self.directories()
            .iter()
            .map(|each| open_for_writing(&each.join("cgroup.procs")))
            .collect()
    }

    /// Bytes of memory in use.
    ///
    /// # Errors
    /// There is no memory controller, or no such group.
    pub fn memory_used(&self) -> Result<u64> {
        let directory = self.directory(Controller::Memory)?;
        let file = if self.hierarchies.is_version_1(Controller::Memory) {
            "memory.usage_in_bytes"
        } else {
            "memory.current"
        };
        let path = directory.join(file);
        let text = read(&path)?;
        text.trim().parse().map_err(|_| unexpected(&path, &text))
    }

    /// How often the kernel killed a process of the group because it had reached its memory limit.
    ///
    /// # Errors
    /// There is no memory controller, or no such group.
    pub fn out_of_memory_kills(&self) -> Result<u64> {
        let directory = self.directory(Controller::Memory)?;
        let file = if self.hierarchies.is_version_1(Controller::Memory) {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        let path = directory.join(file);
        let text = read(&path)?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count
            .and_then(|count| count.trim().parse().ok())
            .ok_or_else(|| unexpected(&path, &text))
    }

    /// Removes the group and the groups below it from every hierarchy; a missing one is fine. Waits
    /// up to `patience` for processes that are just ending.
    ///
    /// # Errors
    /// A process still runs in it (EBUSY).
    pub fn remove(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        self.directories()
            .iter()
            .try_for_each(|each| remove_tree(each, deadline))
    }

    /// Removes the group where it is empty of groups and processes; leaves it where it is not.
    pub fn remove_if_empty(&self) {
        for directory in self.directories() {
            let _ = std::fs::remove_dir(directory);
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        self.hierarchies
            .roots()
            .iter()
            .map(|root| root.join(&self.path))
            .collect()
    }

    fn directory(&self, controller: Controller) -> Result<PathBuf> {
        let root = self.hierarchies.by_controller.get(&controller);
        let root = root.or(self.hierarchies.unified.as_ref());
        root.map(|root| root.join(&self.path))
            .ok_or_else(|| unavailable(controller, "the machine"))
    }

    /// Version 2 offers a controller in a group once every ancestor passes it down
    /// (kernel documentation, admin-guide/cgroup-v2, "Enabling and Disabling").
    fn require(&self, controller: Controller) -> Result<()> {
        if self.hierarchies.is_version_1(controller) {
            return Ok(());
        }
        let mut directory = self
            .hierarchies
            .unified
            .clone()
            .ok_or_else(|| unavailable(controller, "the machine"))?;
        for part in &self.path {
            pass_down(&directory, controller)?;
            directory.push(part);
        }
        Ok(())
    }

    fn limit_memory(&self, bytes: u64) -> Result<()> {
        let directory = self.directory(Controller::Memory)?;
        if !self.hierarchies.is_version_1(Controller::Memory) {
            return limit_memory_version_2(&directory, bytes);
        }
        // With swap accounted, memory.memsw may never be below memory.limit: raising needs the one
        // order, lowering the other. The limit is first, since a new group starts without any.
        write(&directory.join("memory.limit_in_bytes"), bytes)?;
        write_if_present(&directory.join("memory.memsw.limit_in_bytes"), bytes)
    }

    fn limit_cpu(&self, thousandths: u32) -> Result<()> {
        let directory = self.directory(Controller::Cpu)?;
        let quota = u64::from(thousandths) * PERIOD_MICROSECONDS / 1000;
        if self.hierarchies.is_version_1(Controller::Cpu) {
            write(&directory.join("cpu.cfs_period_us"), PERIOD_MICROSECONDS)?;
            write(&directory.join("cpu.cfs_quota_us"), quota)
        } else {
            write(
                &directory.join("cpu.max"),
                format!("{quota} {PERIOD_MICROSECONDS}"),
            )
        }
    }
}

fn limit_memory_version_2(directory: &Path, bytes: u64) -> Result<()> {
    write(&directory.join("memory.max"), bytes)?;
    // Absent where the kernel has no swap accounting.
    write_if_present(&directory.join("memory.swap.max"), 0)
}

fn pass_down(directory: &Path, controller: Controller) -> Result<()> {
    let listed = |file: &str| -> Result<bool> {
        Ok(read(&directory.join(file))?
            .split_whitespace()
            .any(|name| name == controller.as_str()))
    };
    if listed("cgroup.subtree_control")? {
        return Ok(());
    }
    if !listed("cgroup.controllers")? {
        return Err(unavailable(controller, &directory.display().to_string()));
    }
    write(
        &directory.join("cgroup.subtree_control"),
        format!("+{}", controller.as_str()),
    )
}
