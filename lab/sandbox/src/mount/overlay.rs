//! Overlay file systems: layers that are read, and where changes go.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use kernel::{Error, Result};

use super::{make_directory, mount};

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
        let scratch = absolute(scratch)?;
        let links = scratch.join("lower");
        for directory in [&scratch.join("upper"), &scratch.join("work"), &links] {
            make_directory(directory)?;
        }
        for (number, layer) in lower.iter().enumerate() {
            let link = links.join(number.to_string());
            symlink(absolute(layer.as_ref())?, &link)
                .map_err(|cause| Error::new("create link", link.display(), cause))?;
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
        let options = format!(
            "lowerdir={},upperdir=../upper,workdir=../work",
            layers.join(":")
        );
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
