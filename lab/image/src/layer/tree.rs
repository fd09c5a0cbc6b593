//! Changes in a directory that cannot lead out of it: the kernel follows no link and no `..` on the way.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid,
    XattrFlags, chmodat, chownat, lgetxattr, linkat, lsetxattr, makedev, mkdirat, mknodat, openat,
    openat2, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::attributes::Attributes;
use crate::archive::Kind;
use crate::limits::Meter;

/// The attributes of a directory that hides those below it: root's, and that of who may not set it.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];
/// Their value.
const IS_OPAQUE: &[u8] = b"y";

/// A directory, and what is done below it. Paths are relative to it, and lead through no link.
pub(super) struct Tree(OwnedFd);

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Directory,
    Symlink,
    Whiteout,
    Other,
}

impl Tree {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// The directory that holds a file, and the file's name in it; the root is `.` in itself.
    fn parent<'p>(&self, at: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let parent = at.parent().unwrap_or(Path::new(""));
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        let directory = openat2(
            &self.0,
            parent,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
        )?;
        Ok((directory, at.file_name().unwrap_or(OsStr::new("."))))
    }

    pub(super) fn stat(&self, at: &Path) -> io::Result<Found> {
        let found = self
            .parent(at)
            .and_then(|(directory, name)| Ok(statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?));
        let stat = match found {
            Ok(stat) => stat,
            Err(error) if is_nothing(&error) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Found::Directory,
            FileType::Symlink => Found::Symlink,
            FileType::CharacterDevice if stat.st_rdev == 0 => Found::Whiteout,
            _ => Found::Other,
        })
    }

    pub(super) fn read_link(&self, at: &Path) -> io::Result<Vec<u8>> {
        let (directory, name) = self.parent(at)?;
        Ok(readlinkat(&directory, name, Vec::new())?.into_bytes())
    }

    pub(super) fn make_directory(&self, at: &Path) -> io::Result<()> {
        let (directory, name) = self.parent(at)?;
        Ok(mkdirat(&directory, name, Mode::RWXU)?)
    }

    pub(super) fn make_file(&self, at: &Path) -> io::Result<File> {
        let (directory, name) = self.parent(at)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(openat(&directory, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    pub(super) fn make_symlink(&self, at: &Path, target: &[u8]) -> io::Result<()> {
        let (directory, name) = self.parent(at)?;
        Ok(symlinkat(OsStr::from_bytes(target), &directory, name)?)
    }

    /// A device or a FIFO.
    pub(super) fn make_node(&self, at: &Path, kind: Kind, device: (u32, u32)) -> io::Result<()> {
        let kind = match kind {
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::CharacterDevice => FileType::CharacterDevice,
            _ => FileType::Fifo,
        };
        let (directory, name) = self.parent(at)?;
        let device = makedev(device.0, device.1);
        Ok(mknodat(&directory, name, kind, Mode::empty(), device)?)
    }

    /// The mark of something removed.
    pub(super) fn make_whiteout(&self, at: &Path) -> io::Result<()> {
        self.make_node(at, Kind::CharacterDevice, (0, 0))
    }

    /// The mark of a directory that hides what is below it.
    pub(super) fn make_opaque(&self, at: &Path) -> io::Result<()> {
        let (directory, name) = self.parent(at)?;
        let path = through_proc(&directory, name);
        let set = |attribute: &str| lsetxattr(&path, attribute, IS_OPAQUE, XattrFlags::empty());
        let [of_root, of_others] = OPAQUE;
        match set(of_root) {
            // An overlay of who may not set it looks for the other.
            Err(Errno::PERM) => Ok(set(of_others)?),
            outcome => Ok(outcome?),
        }
    }

    pub(super) fn link(&self, target: &Path, at: &Path) -> io::Result<()> {
        let (from, old) = self.parent(target)?;
        let (to, new) = self.parent(at)?;
        Ok(linkat(&from, old, &to, new, AtFlags::empty())?)
    }

    /// Copies what is no directory from elsewhere, without its attributes; bytes of it.
    pub(super) fn copy(&self, from: &Path, at: &Path) -> io::Result<u64> {
        let metadata = from.symlink_metadata()?;
        let kind = metadata.file_type();
        if kind.is_file() {
            return io::copy(&mut File::open(from)?, &mut self.make_file(at)?);
        }
        if kind.is_symlink() {
            let target = std::fs::read_link(from)?;
            self.make_symlink(at, target.as_os_str().as_bytes())?;
            return Ok(0);
        }
        let node = match () {
            () if kind.is_char_device() => Kind::CharacterDevice,
            () if kind.is_block_device() => Kind::BlockDevice,
            () if kind.is_fifo() => Kind::Fifo,
            () => return Err(super::refused("it links to what can be no link's target")),
        };
        let device = metadata.rdev();
        let device = (rustix::fs::major(device), rustix::fs::minor(device));
        self.make_node(at, node, device)?;
        Ok(0)
    }

    pub(super) fn remove(&self, at: &Path) -> io::Result<()> {
        let (directory, name) = self.parent(at)?;
        match unlinkat(&directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => std::fs::remove_dir_all(through_proc(&directory, name)),
            outcome => Ok(outcome?),
        }
    }

    /// Gives a file its attributes. A new owner clears setuid bits and capabilities, so that is first.
    pub(super) fn set(
        &self,
        at: &Path,
        to: &Attributes,
        is_symlink: bool,
        meter: &Meter<'_>,
    ) -> io::Result<()> {
        let (directory, name) = self.parent(at)?;
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        let owner = (Uid::from_raw(to.uid), Gid::from_raw(to.gid));
        match chownat(&directory, name, Some(owner.0), Some(owner.1), no_follow) {
            // It has no number outside of the user namespace.
            Err(Errno::INVAL) if meter.leave_out(|left_out| left_out.owners += 1) => {}
            owned => owned.map_err(|refused| {
                let (uid, gid) = (to.uid, to.gid);
                because(format!("it cannot get the owner {uid}:{gid}"), refused)
            })?,
        }
        if !is_symlink {
            let mode = Mode::from_raw_mode(to.mode);
            chmodat(&directory, name, mode, AtFlags::empty())?;
        }
        let path = through_proc(&directory, name);
        for (attribute, value) in &to.extended {
            let attribute = OsStr::from_bytes(attribute);
            match lsetxattr(&path, attribute, value, XattrFlags::empty()) {
                Err(Errno::PERM) if meter.leave_out(|left_out| left_out.attributes += 1) => {}
                set => set.map_err(|refused| {
                    let attribute = attribute.display();
                    because(
                        format!("it cannot get the extended attribute {attribute}"),
                        refused,
                    )
                })?,
            }
        }
        if let Some(time) = to.mtime {
            let time = Timespec {
                tv_sec: time.seconds,
                tv_nsec: time.nanoseconds.into(),
            };
            let kept = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            };
            let times = Timestamps {
                last_access: kept,
                last_modification: time,
            };
            utimensat(&directory, name, &times, no_follow)?;
        }
        Ok(())
    }
}

/// Whether a layer's file is the mark of something removed.
pub(super) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Whether a layer's directory hides those below it.
pub(super) fn is_opaque(path: &Path) -> io::Result<bool> {
    for attribute in OPAQUE {
        let mut value = [0; 8];
        match lgetxattr(path, attribute, value.as_mut_slice()) {
            Ok(length) if &value[..length] == IS_OPAQUE => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(false)
}

/// There is no call for extended attributes of a name in an open directory before Linux 6.13.
fn through_proc(directory: &OwnedFd, name: &OsStr) -> PathBuf {
    let mut path = OsString::from(format!("/proc/self/fd/{}/", directory.as_raw_fd()));
    path.push(name);
    path.into()
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn because(what: String, refused: Errno) -> io::Error {
    io::Error::new(refused.kind(), format!("{what}: {refused}"))
}
