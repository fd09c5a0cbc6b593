//! Overlay file systems: layers that are read, and where changes go.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use kernel::mount::Reach;
use kernel::{Error, Result};

use super::{Detached, make_directory, mount};
use crate::rootless::is_among_the_machines_users;
use crate::users::Owners;

/// An overlay file system that is to be mounted (kernel documentation, filesystems/overlayfs).
///
/// Options of a mount are a page at most, which the paths of a few dozen layers fill. So the layers get
/// links with short names in the scratch directory, and the kernel is given these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    layers: usize,
    scratch: PathBuf,
}

impl Overlay {
    /// An overlay over the directories `lower`, the lowest first, which are read and never written. Changes go
    /// to `scratch`: a directory that this makes, of a file system that is not itself an overlay.
    ///
    /// # Errors
    /// `scratch` cannot be made, or was used before.
    pub fn over<P: AsRef<Path>>(lower: &[P], scratch: &Path) -> Result<Self> {
        Self::place(lower, scratch, |layer, link| {
            symlink(absolute(layer)?, link)
                .map_err(|cause| Error::new("create link", link.display(), cause))
        })
    }

    /// The same of a user namespace: its root has what root has in `lower`, and its root directory.
    ///
    /// # Errors
    /// As [`over`](Self::over); the file system of a layer cannot be mounted with other owners.
    pub(crate) fn owned_by<P: AsRef<Path>>(
        owners: &Owners,
        lower: &[P],
        scratch: &Path,
    ) -> Result<Self> {
        let overlay = Self::place(lower, scratch, |layer, place| {
            let copy = Detached::copy(layer, Reach::Alone)?;
            owners.show(layer, &copy, Reach::Alone)?;
            make_directory(place)?;
            copy.attach(place)
        })?;
        owners.ids.own(&overlay.scratch.join("upper"))?;
        Ok(overlay)
    }

    fn place<P: AsRef<Path>>(
        lower: &[P],
        scratch: &Path,
        place: impl Fn(&Path, &Path) -> Result<()>,
    ) -> Result<Self> {
        let scratch = absolute(scratch)?;
        let places = scratch.join("lower");
        for directory in [&scratch.join("upper"), &scratch.join("work"), &places] {
            make_directory(directory)?;
        }
        for (number, layer) in lower.iter().enumerate() {
            place(layer.as_ref(), &places.join(number.to_string()))?;
        }
        Ok(Self {
            layers: lower.len(),
            scratch,
        })
    }

    /// `mount -t overlay -o lowerdir=...,upperdir=...,workdir=... overlay TARGET`. The calling thread's working
    /// directory is another meanwhile, for the short names.
    ///
    /// # Errors
    /// The kernel refused: a layer is missing or no directory, there are more than 500 (EINVAL), `scratch` lies on
    /// an overlay.
    pub fn mount(&self, target: &Path) -> Result<()> {
        let target = absolute(target)?;
        // The kernel wants the highest first.
        let layers: Vec<String> = (0..self.layers).rev().map(|n| n.to_string()).collect();
        let mut options = format!(
            "lowerdir={},upperdir=../upper,workdir=../work",
            layers.join(":")
        );
        // Nobody but the machine's root has attributes of the kind `trusted`.
        if !is_among_the_machines_users() {
            options.push_str(",userxattr");
        }
        working_in(&self.scratch.join("lower"), || {
            mount(
                Some("overlay"),
                &target,
                Some("overlay"),
                MsFlags::empty(),
                Some(&options),
            )
        })
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|cause| Error::new("find", path.display(), cause))
}

fn working_in(directory: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let failed = |path: &Path, cause| Error::new("change directory to", path.display(), cause);
    let here = Path::new(".");
    let before = File::open(here).map_err(|cause| failed(here, cause))?;
    nix::unistd::chdir(directory).map_err(|errno| failed(directory, errno.into()))?;
    let outcome = work();
    nix::unistd::fchdir(&before).map_err(|errno| failed(here, errno.into()))?;
    outcome
}
