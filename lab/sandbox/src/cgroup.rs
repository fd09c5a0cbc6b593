//! Control groups, version 1 (one hierarchy per controller) and version 2 (one for all): make a
//! group, limit it, put processes into it, remove it.
//!
//! The hierarchies' directories are values, so a test uses a temporary directory. Owner of the state
//! is the kernel; nothing is kept here. Needs write access to the hierarchies.

mod files;
mod group;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub use group::Group;

use kernel::{Error, Result};

use crate::mount::MountPoint;

/// A resource that a group can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Bytes of memory, page cache included.
    Memory,
    /// Processor time.
    Cpu,
    /// Number of processes and threads.
    Pids,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// The kernel's name, in mount options and in `cgroup.controllers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }
}

/// What a group may use; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes. A process that needs more is killed by the kernel.
    pub memory: Option<u64>,
    /// Thousandths of a processor: 500 is half of one.
    pub cpu: Option<u32>,
    /// Processes and threads together.
    pub pids: Option<u64>,
}

impl Limits {
    fn controllers(&self) -> impl Iterator<Item = Controller> {
        Controller::ALL
            .into_iter()
            .filter(|controller| match controller {
                Controller::Memory => self.memory.is_some(),
                Controller::Cpu => self.cpu.is_some(),
                Controller::Pids => self.pids.is_some(),
            })
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
        if found.by_controller.is_empty() && found.unified.is_none() {
            let cause = io::Error::new(
                io::ErrorKind::NotFound,
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
                            .any(|option| option == controller.as_str())
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

    /// Version 2 alone, mounted at `root`.
    pub fn version_2(root: impl Into<PathBuf>) -> Self {
        Self {
            by_controller: BTreeMap::new(),
            unified: Some(root.into()),
        }
    }

    /// Version 1 alone: `root/memory`, `root/cpu`, `root/pids`.
    pub fn version_1(root: &Path) -> Self {
        let by_controller = Controller::ALL
            .map(|each| (each, root.join(each.as_str())))
            .into();
        Self {
            by_controller,
            unified: None,
        }
    }

    /// The directory of every hierarchy, each once.
    pub fn roots(&self) -> Vec<&Path> {
        let mut roots: Vec<&Path> = self
            .by_controller
            .values()
            .chain(&self.unified)
            .map(PathBuf::as_path)
            .collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    fn is_version_1(&self, controller: Controller) -> bool {
        self.by_controller.contains_key(&controller)
    }

    /// The group at `path` (relative, as `podwire-lab/a`) in every hierarchy; nothing is made yet.
    pub fn group(&self, path: impl AsRef<Path>) -> Group<'_> {
        Group::new(self, path.as_ref().to_owned())
    }
}

fn unavailable(controller: Controller, place: &str) -> Error {
    let cause = io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "{place} does not offer it; see cgroup.controllers and the parent's cgroup.subtree_control"
        ),
    );
    Error::new("use cgroup controller", controller.as_str(), cause)
}
