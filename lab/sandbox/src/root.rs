//! A container's root: a copy-on-write view of layers, entered by `pivot_root`, with its own `/proc`,
//! `/sys`, and a minimal `/dev`, and the volumes that it is given. Unless it is privileged, `/proc` and `/sys`
//! show nothing that matters to the machine and can change nothing, and no device opens but those of `/dev`.

mod devices;
mod resolve;
mod volume;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use kernel::mount::{MountAttributes, Reach, set_attributes};
use kernel::{Error, Result};

pub use volume::Mount;

use crate::{Users, masks, mount};

/// How a container's root is made. Consumed in the container's first process, in a new mount namespace, and in
/// the PID, network and cgroup namespaces that the container is to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRoot {
    /// Read, never written, the lowest first: the layers of an unpacked image, or the machine's root.
    pub lower: Vec<PathBuf>,
    /// An empty directory. A tmpfs is mounted there in this mount namespace and takes the changes,
    /// since the upper layer of an overlay cannot lie on an overlay.
    pub scratch: PathBuf,
    /// Nothing but volumes, `/dev` and terminals can be written.
    pub read_only: bool,
    /// Empty `/run` and `/tmp`: sockets and lock files of the lower's own system are not the container's.
    pub own_runtime_directories: bool,
    /// `/proc` and `/sys` can be written, and device nodes work wherever they are made.
    pub privileged: bool,
    /// Its users are nobody on the machine, to which the layers' files belong all the same: no device opens then but
    /// those of `/dev`, privileged or not. The process enters the namespace afterwards.
    pub users: Option<Users>,
    /// Volumes, and files that the pod's containers share. They are attached in this order. Without one at
    /// `/dev/shm` the container has shared memory of its own.
    pub mounts: Vec<Mount>,
}

/// Where POSIX shared memory lives (shm_overview(7)).
const SHARED_MEMORY: &str = "/dev/shm";
/// What [`ContainerRoot::own_runtime_directories`] means.
const RUNTIME_DIRECTORIES: [(&str, &str); 2] = [("/run", "mode=0755"), ("/tmp", "mode=1777")];

impl ContainerRoot {
    /// Mounts the root and enters it. Afterwards `/` is the container's and the old root is out of reach.
    ///
    /// # Errors
    /// A directory of `lower`, or `scratch`, is missing, or cannot be mounted with other owners; the lower's `/proc`, `/sys` or `/dev` is a symbolic
    /// link or a file; a volume is missing, or its place is of another kind; the kernel refused a mount.
    pub fn enter(&self) -> Result<()> {
        let owners = self.users.as_ref().map(Users::open).transpose()?;
        let owners = owners.as_ref();
        let volumes: Vec<_> = self
            .mounts
            .iter()
            .map(|mount| mount.open(self.opens_devices(), owners))
            .collect::<Result<_>>()?;
        mount::tmpfs_with_devices(&self.scratch, "mode=0755")?;
        let root = self.scratch.join("root");
        mount::make_directory(&root)?;
        let overlay = match owners {
            Some(owners) => mount::Overlay::owned_by(owners, &self.lower, &self.scratch),
            None => mount::Overlay::over(&self.lower, &self.scratch),
        };
        overlay?.mount(&root)?;
        mount::pivot_root(&root)?;
        // Only now: inside, a symbolic link of the lower leads nowhere else.
        self.mount_kernel_file_systems()?;
        for (path, options) in self.runtime_directories() {
            mount_at(path, |path| mount::tmpfs(path, &self.owned(options)))?;
        }
        if !self.opens_devices() {
            devices::allow_no_others()?;
        }
        if !self.privileged {
            masks::cover()?;
        }
        // Held, since a volume may lie on one of them then.
        let own = self.own_mounts()?;
        volumes.iter().try_for_each(volume::Opened::attach)?;
        if self.read_only {
            own.iter().try_for_each(forbid_writing)?;
        }
        Ok(())
    }

    fn mount_kernel_file_systems(&self) -> Result<()> {
        mount_at("/proc", mount::proc)?;
        mount_at(
            "/sys",
            if self.privileged {
                mount::sysfs
            } else {
                mount::sysfs_read_only
            },
        )?;
        mount_at("/dev", |path| {
            mount::tmpfs_with_devices(path, &self.owned("mode=0755"))
        })?;
        mount_at("/dev/pts", mount::devpts)?;
        let shared = Path::new(SHARED_MEMORY);
        if self.mounts.iter().all(|mount| mount.target != shared) {
            mount_at(SHARED_MEMORY, |path| {
                mount::tmpfs(path, &self.owned("mode=1777"))
            })?;
        }
        devices::make()
    }

    fn opens_devices(&self) -> bool {
        self.privileged && self.users.is_none()
    }

    /// Options of a tmpfs that the container's root owns.
    fn owned(&self, options: &str) -> String {
        match &self.users {
            Some(Users { ids, .. }) => format!("{options},uid={0},gid={0}", ids.first),
            None => options.to_owned(),
        }
    }

    fn runtime_directories(&self) -> &[(&str, &str)] {
        if self.own_runtime_directories {
            &RUNTIME_DIRECTORIES
        } else {
            &[]
        }
    }

    fn own_mounts(&self) -> Result<Vec<File>> {
        let directories = self.runtime_directories().iter().map(|(path, _)| *path);
        directories
            .chain(["/"])
            .map(|path| File::open(path).map_err(|cause| Error::new("open", path, cause)))
            .collect()
    }
}

fn forbid_writing(mount: &File) -> Result<()> {
    let read_only = MountAttributes {
        read_only: true,
        ..MountAttributes::default()
    };
    set_attributes(mount, read_only, Reach::Alone)
}

fn mount_at(path: &str, mount: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = Path::new(path);
    mount::make_directory(path)?;
    // Through a link the mount would be somewhere else, and what is done to its files too.
    let found = fs::symlink_metadata(path);
    if found.is_ok_and(|found| found.is_dir()) {
        return mount(path);
    }
    let cause = io::Error::new(io::ErrorKind::NotADirectory, "expected a directory");
    Err(Error::new("mount on", path.display(), cause))
}
