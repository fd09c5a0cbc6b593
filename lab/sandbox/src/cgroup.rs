//! Control groups, version 1 (one hierarchy per controller) and version 2 (one for all): make a
//! group, limit it, put processes into it, see what it uses, freeze, kill and remove it.
//!
//! The hierarchies' directories are values, so a test uses a temporary directory. Owner of the state
//! is the kernel; nothing is kept here. Needs write access to the hierarchies.

mod files;
mod group;
mod io;
mod limits;
mod usage;

use std::collections::BTreeMap;
use std::io::{Error as Cause, ErrorKind};
use std::path::{Path, PathBuf};

pub use group::Group;
pub use io::Io;
pub use limits::Limits;
pub use usage::Usage;

use kernel::{Error, Result};

use crate::mount::MountPoint;

/// A resource that a group can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Bytes of memory, page cache included.
    Memory,
    /// Processor time.
    Cpu,
    /// Which processors.
    Cpuset,
    /// Number of processes and threads.
    Pids,
    /// What is read from disks and written to them.
    Io,
}

impl Controller {
    const ALL: [Self; 5] = [Self::Memory, Self::Cpu, Self::Cpuset, Self::Pids, Self::Io];

    /// Whether it counts what a group uses.
    fn has_statistics(self) -> bool {
        self != Self::Cpuset
    }

    /// The kernel's name, in `cgroup.controllers` of version 2.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
            Self::Io => "io",
        }
    }

    /// The kernel's name in mount options of version 1.
    fn of_version_1(self) -> &'static str {
        match self {
            Self::Io => "blkio",
            other => other.as_str(),
        }
    }
}

/// Where the machine's hierarchies are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 1, by controller.
    by_controller: BTreeMap<Controller, PathBuf>,
    /// Version 2; on a hybrid machine it is mounted without controllers.
    unified: Option<PathBuf>,
}

impl Hierarchies {
    /// The hierarchies of this machine, from what is mounted.
    ///
    /// # Errors
    /// The mount table cannot be read, or no hierarchy is mounted.
    pub fn detect() -> Result<Self> {
        let found = Self::among(&crate::mount::mount_points()?);
        if found.are_none() {
            let cause = Cause::new(
                ErrorKind::NotFound,
                "no cgroup or cgroup2 file system is mounted; expected one at /sys/fs/cgroup",
            );
            return Err(Error::new("find", "cgroup hierarchies", cause));
        }
        Ok(found)
    }

    /// The same from a mount table. A hierarchy mounted in several places counts once.
    pub fn among(mounts: &[MountPoint]) -> Self {
        let mut found = Self {
            by_controller: BTreeMap::new(),
            unified: None,
        };
        for mount in mounts {
            match mount.file_system.as_str() {
                "cgroup2" => found.unified = found.unified.or_else(|| Some(mount.path.clone())),
                "cgroup" => {
                    for controller in Controller::ALL {
                        if mount
                            .super_options
                            .iter()
                            .any(|option| option == controller.of_version_1())
                        {
                            found
                                .by_controller
                                .entry(controller)
                                .or_insert_with(|| mount.path.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// No hierarchy: who has none makes groups that are nowhere, have no processes and can limit nothing.
    pub fn none() -> Self {
        Self::among(&[])
    }

    /// Whether there is no hierarchy at all.
    pub fn are_none(&self) -> bool {
        self.by_controller.is_empty() && self.unified.is_none()
    }

    /// Version 2 alone, mounted at `root`.
    pub fn version_2(root: impl Into<PathBuf>) -> Self {
        Self {
            by_controller: BTreeMap::new(),
            unified: Some(root.into()),
        }
    }

    /// Version 1 alone: `root/memory`, `root/cpu`, `root/cpuset`, `root/pids`, `root/blkio`.
    pub fn version_1(root: &Path) -> Self {
        let by_controller = Controller::ALL
            .map(|each| (each, root.join(each.of_version_1())))
            .into();
        Self {
            by_controller,
            unified: None,
        }
    }

    /// The directory of every hierarchy, each once.
    pub fn roots(&self) -> Vec<&Path> {
        self.roots_of(|_| true)
    }

    /// The same without those in which only some groups are made: joining a group costs in each.
    fn roots_for(&self, limits: &Limits) -> Vec<&Path> {
        self.roots_of(|each| each != Controller::Cpuset || limits.need(each))
    }

    fn roots_of(&self, wanted: impl Fn(Controller) -> bool) -> Vec<&Path> {
        let version_1 = self.by_controller.iter();
        let mut roots: Vec<&Path> = version_1
            .filter(|(controller, _)| wanted(**controller))
            .map(|(_, root)| root)
            .chain(&self.unified)
            .map(PathBuf::as_path)
            .collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    /// The group at `path` (relative, as `podwire-lab/a`) in every hierarchy; nothing is made yet.
    pub fn group(&self, path: impl AsRef<Path>) -> Group<'_> {
        Group::new(self, path.as_ref().to_owned())
    }
}

fn unavailable(controller: Controller, place: &str) -> Error {
    let cause = Cause::new(
        ErrorKind::NotFound,
        format!(
            "{place} does not offer it; see cgroup.controllers and the parent's cgroup.subtree_control"
        ),
    );
    Error::new("use cgroup controller", controller.as_str(), cause)
}
