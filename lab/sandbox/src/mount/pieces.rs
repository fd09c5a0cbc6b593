//! Directories with mounts below them, for who has not made these mounts: to a user namespace they are one whole with
//! what they are mounted on (mount_namespaces(7), "locked"), of which there is no overlay. What is beside them can be had
//! one by one.

use std::fs::{self, DirEntry, File, FileType};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use kernel::mount::{MountAttributes, Reach, set_attributes};
use kernel::{Error, Result};

use super::{MountPoint, Overlay, bind_with_all_below, make_directory, mount_points, tmpfs};
use crate::rootless::is_among_the_machines_users;

/// Whether there can be no overlay over a directory as a whole.
///
/// # Errors
/// `/proc` is not mounted.
pub fn has_to_be_in_pieces(directory: &Path) -> Result<bool> {
    Ok(!is_among_the_machines_users() && is_below(&mount_points()?, directory))
}

fn is_below(mounts: &[MountPoint], directory: &Path) -> bool {
    let mut paths = mounts.iter().map(|mount| &mount.path);
    paths.any(|path| path.starts_with(directory) && path != directory)
}

/// Makes a copy-on-write view of `lower` at `target` all the same: of each directory in it an overlay. One that the
/// caller may not look into is empty there; files, and a directory with mounts below it, are there as they are, to be
/// read only. The caller may add something at each of `places`, absolute paths. The paths, from `target` on, of what is
/// a mount now.
///
/// # Errors
/// `lower` cannot be read; the kernel refused a mount.
pub fn overlay_in_pieces(
    lower: &Path,
    scratch: &Path,
    target: &Path,
    places: &[&Path],
) -> Result<Vec<PathBuf>> {
    tmpfs(target, "mode=0755")?;
    let places: Vec<&Path> = places
        .iter()
        .filter_map(|path| path.strip_prefix("/").ok())
        .collect();
    let mut view = View {
        mounts: mount_points()?,
        made: Vec::new(),
    };
    view.make(lower, scratch, target, &places)?;
    let made = view.made.iter();
    let relative = made.map(|path| path.strip_prefix(target).unwrap_or(path).to_owned());
    Ok(relative.collect())
}

struct View {
    /// Those that there were.
    mounts: Vec<MountPoint>,
    /// Those that it made.
    made: Vec<PathBuf>,
}

impl View {
    /// The same in a directory that is there; `places` are relative to it.
    fn make(
        &mut self,
        lower: &Path,
        scratch: &Path,
        target: &Path,
        places: &[&Path],
    ) -> Result<()> {
        for (entry, kind) in entries(lower)? {
            let (name, from) = (entry.file_name(), entry.path());
            let to = target.join(&name);
            if kind.is_symlink() {
                copy_link(&from, &to)?;
                continue;
            }
            if !kind.is_dir() {
                make_file(&to)?;
                show(&from, &to)?;
                self.made.push(to);
                continue;
            }
            make_like(&to, &entry)?;
            if fs::read_dir(&from).is_err() {
                continue;
            }
            let below = places
                .iter()
                .filter_map(|path| path.strip_prefix(&name).ok());
            let below: Vec<&Path> = below.collect();
            let own = scratch.join("pieces").join(&name);
            match (is_below(&self.mounts, &from), below.is_empty()) {
                (true, true) => show(&from, &to)?,
                (true, false) => {
                    self.make(&from, &own, &to, &below)?;
                    continue;
                }
                (false, _) => {
                    let overlay = Overlay::over(&[&from], &own)?;
                    make_like(&own.join("upper"), &entry)?;
                    for place in below {
                        own_the_way(&from, &own.join("upper"), place)?;
                    }
                    overlay.mount(&to)?;
                }
            }
            self.made.push(to);
        }
        Ok(())
    }
}

/// Replaces a directory by an empty one in which what was in it is mounted, so that something can be added.
///
/// # Errors
/// It cannot be read; the kernel refused a mount.
pub fn replace_with_pieces(directory: &Path) -> Result<()> {
    // Held open, since the new one hides it.
    let held =
        File::open(directory).map_err(|cause| Error::new("open", directory.display(), cause))?;
    let before = format!("/proc/self/fd/{}", held.as_raw_fd());
    let entries = entries(Path::new(&before))?;
    tmpfs(directory, "mode=0755")?;
    place(&entries, directory, |_| true)
}

/// Mounts what is in the root directory in the empty directory `target`. What is a mount point is an empty directory
/// there, as it is in an overlay over the root directory.
///
/// # Errors
/// The kernel refused a mount.
pub fn show_root_in_pieces(target: &Path) -> Result<()> {
    let mounts = mount_points()?;
    make_directory(target)?;
    place(&entries(Path::new("/"))?, target, |path| {
        mounts.iter().all(|mount| mount.path != path)
    })
}

/// Mounts files and directories in another directory; directories only if they are to be shown.
fn place(
    entries: &[(DirEntry, FileType)],
    to: &Path,
    is_shown: impl Fn(&Path) -> bool,
) -> Result<()> {
    for (entry, kind) in entries {
        let place = to.join(entry.file_name());
        match kind {
            kind if kind.is_symlink() => copy_link(&entry.path(), &place)?,
            kind if kind.is_dir() => {
                make_like(&place, entry)?;
                if is_shown(&entry.path()) {
                    bind_with_all_below(&entry.path(), &place)?;
                }
            }
            _ => {
                make_file(&place)?;
                bind_with_all_below(&entry.path(), &place)?;
            }
        }
    }
    Ok(())
}

/// Makes the caller the owner of the directories on the way to a place, as far as they are there: to what belongs to
/// users that it has no numbers for it could add nothing. A link ends the way.
fn own_the_way(lower: &Path, upper: &Path, way: &Path) -> Result<()> {
    let (mut lower, mut upper) = (lower.to_owned(), upper.to_owned());
    for part in way.parent().into_iter().flat_map(Path::components) {
        (lower, upper) = (lower.join(part), upper.join(part));
        match fs::symlink_metadata(&lower) {
            Ok(found) if found.is_dir() => {
                make_directory(&upper)?;
                fs::set_permissions(&upper, found.permissions())
                    .map_err(|cause| Error::new("set the mode of", upper.display(), cause))?;
            }
            _ => break,
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<(DirEntry, FileType)>> {
    let failed = |cause: io::Error| Error::new("look into", directory.display(), cause);
    fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            Ok((entry, kind))
        })
        .collect()
}

fn copy_link(from: &Path, to: &Path) -> Result<()> {
    fs::read_link(from)
        .and_then(|target| symlink(target, to))
        .map_err(|cause| Error::new("copy link", from.display(), cause))
}

fn make_file(path: &Path) -> Result<()> {
    let made = File::create_new(path);
    made.map(drop)
        .map_err(|cause| Error::new("create", path.display(), cause))
}

/// A directory of the caller's with the mode of another one.
fn make_like(path: &Path, other: &DirEntry) -> Result<()> {
    make_directory(path)?;
    let mode = other.metadata().map(|found| found.permissions());
    mode.and_then(|mode| fs::set_permissions(path, mode))
        .map_err(|cause| Error::new("set the mode of", path.display(), cause))
}

fn show(directory: &Path, place: &Path) -> Result<()> {
    bind_with_all_below(directory, place)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mount = openat(CWD, place, flags, Mode::empty())
        .map_err(|errno| Error::new("open", place.display(), errno.into()))?;
    let attributes = MountAttributes {
        read_only: true,
        no_devices: true,
        no_set_user_id: true,
    };
    set_attributes(&mount, attributes, Reach::Below)
}
