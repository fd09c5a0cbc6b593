//! Files and directories of the node in a container: opened while the node's paths mean something, attached
//! when the container's root is entered.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use serde::{Deserialize, Serialize};

use kernel::mount::{MountAttributes, Reach, set_attributes};
use kernel::{Error, Result};

use super::resolve::{Beyond, Made, Missing, resolve};
use crate::users::Owners;

/// A file or directory of the node that a container sees, with all that is mounted below it: a volume, or a
/// file that the pod's containers share, as `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// A path of the mount namespace in which the container's root is made.
    pub source: PathBuf,
    /// Where the container sees it: absolute, but not `/`. What is missing is made, a file for a file and
    /// directories for a directory. Symbolic links of the image count, and lead nowhere out of it.
    pub target: PathBuf,
    /// Neither it nor what is mounted below it can be written.
    pub read_only: bool,
    /// What is shown instead of all of `source`: relative. It is made as a directory when missing, with the mode
    /// of `source`. A symbolic link that leads out of `source` is refused.
    pub sub_path: Option<PathBuf>,
    /// Its files have users of the machine, and not those of the container's user namespace, which sees them as its
    /// own.
    pub of_machine: bool,
}

/// A mount that is attached nowhere yet.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    mount: &'a Mount,
    tree: OwnedFd,
    kind: Missing,
    owner: Option<u32>,
}

impl Mount {
    /// Copies the mount out of the calling thread's mount namespace.
    ///
    /// # Errors
    /// There is nothing at `source`; `sub_path` leads out of it; it cannot be mounted with other owners.
    pub(super) fn open(&self, opens_devices: bool, owners: Option<&Owners>) -> Result<Opened<'_>> {
        let owner = owners.map(|owners| owners.ids.first);
        let shown = self.shown(owner).map_err(|cause| self.failed(cause))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = rustix::mount::open_tree(&shown, c"", flags)
            .map_err(|errno| self.failed(errno.into()))?;
        let attributes = MountAttributes {
            read_only: self.read_only,
            no_devices: !opens_devices,
            no_set_user_id: !opens_devices,
        };
        set_attributes(&tree, attributes, Reach::Below)?;
        if let (true, Some(owners)) = (self.of_machine, owners) {
            owners.show(&self.source, &tree, Reach::Below)?;
        }
        Ok(Opened {
            kind: kind_of(&tree).map_err(|cause| self.failed(cause))?,
            mount: self,
            tree,
            owner,
        })
    }

    fn shown(&self, owner: Option<u32>) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let source = rustix::fs::openat(CWD, &self.source, flags, Mode::empty())?;
        let Some(path) = &self.sub_path else {
            return Ok(source);
        };
        let made = Made {
            mode: Mode::from_raw_mode(rustix::fs::fstat(&source)?.st_mode),
            owner: owner.filter(|_| !self.of_machine),
        };
        resolve(&source, path, Beyond::Refused, Missing::Directory, made)
    }

    fn failed(&self, cause: io::Error) -> Error {
        let path = self.sub_path.as_deref().unwrap_or(Path::new(""));
        Error::new("open volume", self.source.join(path).display(), cause)
    }
}

impl Opened<'_> {
    /// Shows it in the calling thread's root.
    ///
    /// # Errors
    /// The target is the root itself, or of another kind than the source.
    pub(super) fn attach(&self) -> Result<()> {
        let target = &self.mount.target;
        let failed = |cause| Error::new("mount volume on", target.display(), cause);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, c"/", flags, Mode::empty())
            .map_err(|errno| failed(errno.into()))?;
        let made = Made {
            mode: Mode::from_raw_mode(0o755),
            owner: self.owner,
        };
        let place = resolve(&root, target, Beyond::Root, self.kind, made).map_err(failed)?;
        if same(&root, &place).map_err(failed)? {
            let text = "it is the container's root: give a path below it";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&self.tree, c"", &place, c"", flags)
            .map_err(|errno| failed(errno.into()))
    }
}

fn kind_of(file: &OwnedFd) -> io::Result<Missing> {
    let found = FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    Ok(match found {
        FileType::Directory => Missing::Directory,
        _ => Missing::File,
    })
}

fn same(one: &OwnedFd, other: &OwnedFd) -> io::Result<bool> {
    let [one, other] = [rustix::fs::fstat(one)?, rustix::fs::fstat(other)?];
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
