//! A container's root: a copy-on-write view of layers, entered by `pivot_root`, with its own `/proc`,
//! `/sys`, and a minimal `/dev`, and the volumes that it is given. Unless it is privileged, `/proc` and `/sys`
//! show nothing that matters to the machine and can change nothing, and no device opens but those of `/dev`.

mod devices;
mod directory;
mod resolve;
mod volume;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use kernel::mount::{MountAttributes, Reach, set_attributes};
use kernel::{Error, Result};

pub use directory::{enter_directory, make_directory};
pub use volume::Mount;

use crate::users::Owners;
use crate::{Users, masks, mount};
use devices::Devices;

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
    /// A directory of `lower`, or `scratch`, is missing, or cannot be mounted with other owners; the lower's `/proc`,
    /// `/sys` or `/dev` is a symbolic link or a file; a volume is missing, or its place is of another kind; the kernel
    /// refused a mount.
    pub fn enter(&self) -> Result<()> {
        self.enter_among(None)
    }

    /// The same with a copy of another container's `/proc`: of the processes in a PID namespace that the calling
    /// process is not in itself.
    ///
    /// # Errors
    /// As [`ContainerRoot::enter`].
    pub fn enter_among(&self, processes: Option<&mount::Detached>) -> Result<()> {
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
        let devices = Devices::to_have()?;
        let pieces = self.mount_layers(&root, owners)?;
        self.mount_views_of_the_kernel(&root, processes)?;
        mount::pivot_root(&root)?;
        // Only now: inside, a symbolic link of the lower leads nowhere else.
        self.mount_devices(&devices)?;
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
        let own = self.own_mounts(&pieces)?;
        volumes.iter().try_for_each(volume::Opened::attach)?;
        if self.read_only {
            own.iter().try_for_each(forbid_writing)?;
        }
        Ok(())
    }

    /// The paths in it, relative ones, that are mounts of their own.
    fn mount_layers(&self, root: &Path, owners: Option<&Owners>) -> Result<Vec<PathBuf>> {
        match &*self.lower {
            [only] if mount::has_to_be_in_pieces(only)? => {
                let places = self.mounts.iter().map(|mount| mount.target.as_path());
                let places: Vec<_> = places.collect();
                mount::overlay_in_pieces(only, &self.scratch, root, &places)
            }
            layers => {
                let overlay = match owners {
                    Some(owners) => mount::Overlay::owned_by(owners, layers, &self.scratch),
                    None => mount::Overlay::over(layers, &self.scratch),
                };
                overlay?.mount(root)?;
                Ok(Vec::new())
            }
        }
    }

    /// While others of their kind are in sight: else they show no more than these, and the kernel refuses them to who
    /// is not the machine's root (mount_namespaces(7)).
    fn mount_views_of_the_kernel(
        &self,
        root: &Path,
        processes: Option<&mount::Detached>,
    ) -> Result<()> {
        mount_below(root, "/proc", |path| match processes {
            Some(processes) => processes.attach(path),
            None => mount::proc(path),
        })?;
        mount_below(
            root,
            "/sys",
            if self.privileged {
                mount::sysfs
            } else {
                mount::sysfs_read_only
            },
        )
    }

    fn mount_devices(&self, devices: &Devices) -> Result<()> {
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
        devices.make()
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

    fn own_mounts(&self, pieces: &[PathBuf]) -> Result<Vec<OwnedFd>> {
        let directories = self.runtime_directories().iter();
        let directories = directories.map(|(path, _)| PathBuf::from(path));
        let pieces = pieces.iter().map(|name| Path::new("/").join(name));
        directories
            .chain(pieces)
            .chain([PathBuf::from("/")])
            .map(|path| {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                openat(CWD, &path, flags, Mode::empty())
                    .map_err(|errno| Error::new("open", path.display(), errno.into()))
            })
            .collect()
    }
}

fn forbid_writing(mount: &OwnedFd) -> Result<()> {
    let read_only = MountAttributes {
        read_only: true,
        ..MountAttributes::default()
    };
    set_attributes(mount, read_only, Reach::Alone)
}

fn mount_at(path: &str, mount: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    mount_below(Path::new("/"), path, mount)
}

/// At a path of a root that need not be this thread's yet; one directory deep then.
fn mount_below(root: &Path, path: &str, mount: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let place = root.join(path.trim_start_matches('/'));
    mount::make_directory(&place)?;
    // Through a link the mount would be somewhere else, and what is done to its files too.
    let found = fs::symlink_metadata(&place);
    if found.is_ok_and(|found| found.is_dir()) {
        return mount(&place);
    }
    let cause = io::Error::new(io::ErrorKind::NotADirectory, "expected a directory");
    Err(Error::new("mount on", path, cause))
}
