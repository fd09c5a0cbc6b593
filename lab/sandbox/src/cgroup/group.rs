//! One group: its processes, and its end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use kernel::{Error, Result};

use super::files::{
    inherit_if_empty, make_with_ancestors, open_for_writing, read, remove_tree, subdirectories,
    write,
};
use super::usage::{self, Usage};
use super::{Controller, Hierarchies, Limits, unavailable};
use crate::{PATIENCE, Process, Signal};

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

    /// That of all processes.
    pub(super) fn root(&self) -> Self {
        Self::new(self.hierarchies, PathBuf::new())
    }

    /// The group of this name below it; nothing is made yet. With version 2, a group that others are below has no
    /// processes of its own.
    pub fn below(&self, name: &str) -> Self {
        Self::new(self.hierarchies, self.path.join(name))
    }
}

impl Group<'_> {
    /// Makes the group and its ancestors and writes the limits. A group that exists is limited anew.
    ///
    /// # Errors
    /// A controller that `limits` needs is not there; the kernel refused a limit; an ancestor has processes of its
    /// own (version 2, EBUSY). What was made stays: [`Group::remove`] takes it away.
    pub fn create(&self, limits: &Limits) -> Result<()> {
        for root in self.hierarchies.roots_for(limits) {
            make_with_ancestors(&root.join(&self.path))?;
        }
        self.inherit_cpusets()?;
        for controller in Controller::ALL {
            if limits.need(controller) {
                self.require(controller)?;
            } else if controller.has_statistics() {
                // Which say what they lack.
                let _ = self.require(controller);
            }
        }
        limits.apply(self)
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

    /// The processes in the group, not those in groups below it; none when there is no such group. Those outside of the
    /// caller's PID namespace and of all below it are left out.
    ///
    /// # Errors
    /// The kernel refused to list them.
    pub fn processes(&self) -> Result<Vec<Process>> {
        listed_in(self.directories())
    }

    /// The processes in the group and in all groups below it; none when there is no such group.
    ///
    /// # Errors
    /// As [`Group::processes`].
    pub fn all_processes(&self) -> Result<Vec<Process>> {
        let mut directories = self.directories();
        let mut looked_at = 0;
        while let Some(directory) = directories.get(looked_at) {
            directories.extend(subdirectories(directory)?);
            looked_at += 1;
        }
        listed_in(directories)
    }

    /// The files through which a process joins the group: it writes `0` to each. Opened here, so
    /// that a child can do it between fork and exec.
    pub(crate) fn doors(&self) -> Result<Vec<File>> {
        self.directories()
            .iter()
            .map(|each| open_for_writing(&each.join("cgroup.procs")))
            .collect()
    }

    /// Kills every process in the group and in all groups below it, whatever they start meanwhile. They end soon
    /// after; none is waited for. Without a hierarchy of version 2, those that [`Group::processes`] leaves out are
    /// spared.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn kill(&self) -> Result<()> {
        // Linux 5.14.
        if let Some(file) = self.unified_file("cgroup.kill") {
            return write(&file, 1).or_else(fine_if_gone);
        }
        self.signal_all(Signal::Kill)
    }

    /// Stops every process in the group and in all groups below it, or lets them go on. Where no hierarchy of
    /// version 2 is mounted, also beside version 1, it is done by signals: a shell then sees that its child
    /// stopped, and those that [`Group::processes`] leaves out are spared.
    ///
    /// # Errors
    /// The kernel refused, or a process does not stop for a minute.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        // Linux 5.2.
        let Some(file) = self.unified_file("cgroup.freeze") else {
            let signal = if frozen {
                Signal::Stop
            } else {
                Signal::Continue
            };
            return self.signal_all(signal);
        };
        write(&file, u8::from(frozen))?;
        let events = file.with_file_name("cgroup.events");
        let wanted = format!("frozen {}", u8::from(frozen));
        let deadline = Instant::now() + PATIENCE;
        while !read(&events)?.lines().any(|line| line == wanted) {
            if Instant::now() > deadline {
                let cause = std::io::Error::from(std::io::ErrorKind::TimedOut);
                return Err(Error::new("freeze cgroup", self.path.display(), cause));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Sends a signal to all, until there is none that has not had it.
    fn signal_all(&self, signal: Signal) -> Result<()> {
        let mut reached: Vec<Process> = Vec::new();
        loop {
            let mut left = self.all_processes()?;
            left.retain(|process| !reached.contains(process));
            if left.is_empty() {
                return Ok(());
            }
            left.iter().try_for_each(|process| process.signal(signal))?;
            reached.extend(left);
        }
    }

    /// What it uses.
    ///
    /// # Errors
    /// A file of the kernel has an unexpected content, or cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self)
    }

    /// Bytes of memory in use.
    ///
    /// # Errors
    /// There is no memory controller, or no such group.
    pub fn memory_used(&self) -> Result<u64> {
        usage::memory_used(self)
    }

    /// How often the kernel killed a process of the group because it had reached its memory limit.
    ///
    /// # Errors
    /// There is no memory controller, or no such group.
    pub fn out_of_memory_kills(&self) -> Result<u64> {
        usage::out_of_memory_kills(self)
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

    /// One in each hierarchy in which groups are made for every limit, and in the others where it was made.
    fn directories(&self) -> Vec<PathBuf> {
        let everywhere = self.hierarchies.roots_for(&Limits::default());
        self.hierarchies
            .roots()
            .iter()
            .map(|root| (root, root.join(&self.path)))
            .filter(|(root, directory)| everywhere.contains(root) || directory.exists())
            .map(|(_, directory)| directory)
            .collect()
    }

    /// A file of a controller, by its names in both versions.
    pub(super) fn file(
        &self,
        controller: Controller,
        version_1: &str,
        version_2: &str,
    ) -> Result<PathBuf> {
        if let Some(root) = self.hierarchies.by_controller.get(&controller) {
            return Ok(root.join(&self.path).join(version_1));
        }
        self.unified()
            .map(|directory| directory.join(version_2))
            .ok_or_else(|| unavailable(controller, "the machine"))
    }

    pub(super) fn is_version_1(&self, controller: Controller) -> bool {
        self.hierarchies.by_controller.contains_key(&controller)
    }

    /// Its directory in the hierarchy of version 2.
    pub(super) fn unified(&self) -> Option<PathBuf> {
        let root = self.hierarchies.unified.as_ref()?;
        Some(root.join(&self.path))
    }

    /// A file there that not every kernel has.
    fn unified_file(&self, name: &str) -> Option<PathBuf> {
        let file = self.unified()?.join(name);
        file.exists().then_some(file)
    }

    /// Version 2 offers a controller in a group once every ancestor passes it down
    /// (kernel documentation, admin-guide/cgroup-v2, "Enabling and Disabling").
    fn require(&self, controller: Controller) -> Result<()> {
        if self.is_version_1(controller) {
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

    /// A new group of version 1 has no processors and no memory nodes, and no process can join it
    /// (kernel documentation, admin-guide/cgroup-v1/cpusets).
    fn inherit_cpusets(&self) -> Result<()> {
        let Some(root) = self.hierarchies.by_controller.get(&Controller::Cpuset) else {
            return Ok(());
        };
        if !root.join(&self.path).exists() {
            return Ok(());
        }
        let mut directory = root.clone();
        for part in &self.path {
            let parent = directory.clone();
            directory.push(part);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                inherit_if_empty(&parent.join(file), &directory.join(file))?;
            }
        }
        Ok(())
    }
}

fn listed_in(directories: Vec<PathBuf>) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for directory in directories {
        let text = match read(&directory.join("cgroup.procs")) {
            Err(error) if error.is_gone() => continue,
            text => text?,
        };
        for number in text.lines().filter_map(|line| line.parse().ok()) {
            // They are numbers of the reader's PID namespace, and 0 outside of it.
            let Some(number) = Pid::from_raw(number) else {
                continue;
            };
            let process = Process::of_own_namespace(number);
            let failed = |cause| Error::new("find processes of cgroup", directory.display(), cause);
            // One that has ended since is not in the group any more.
            found.extend(process.map_err(failed)?);
        }
    }
    found.sort_unstable_by_key(|process| process.pid);
    found.dedup();
    Ok(found)
}

fn fine_if_gone(error: Error) -> Result<()> {
    if error.is_gone() { Ok(()) } else { Err(error) }
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
