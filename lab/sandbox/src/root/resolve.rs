//! Paths in a directory that others fill: found step by step, with a descriptor for every step, so that no
//! symbolic link, also none that is made meanwhile, leads out of it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

/// What a symbolic link to an absolute path, or a `..` too many, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// The directory is the root of all that is in it, as after chroot(2).
    Root,
    /// It is a way out, and refused (EXDEV).
    Refused,
}

/// What is made where there is nothing. What is missing on the way is a directory always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    File,
    Directory,
}

/// What a directory is like that is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub mode: Mode,
    /// User and group; the caller's when absent.
    pub owner: Option<u32>,
}

/// The kernel's bound (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Follows `path` from the directory `root`; what is made is as `made` says. The descriptor is one of
/// O_PATH.
///
/// # Errors
/// A way out (EXDEV), a loop of links (ELOOP), a file on the way (ENOTDIR), or the file system refused.
pub(super) fn resolve(
    root: &OwnedFd,
    path: &Path,
    beyond: Beyond,
    missing: Missing,
    made: Made,
) -> io::Result<OwnedFd> {
    let mut walk = Walk {
        visited: vec![root.try_clone()?],
        beyond,
        links: 0,
        left: Vec::new(),
    };
    walk.go_on_along(path.as_os_str().as_bytes())?;
    while let Some(name) = walk.left.pop() {
        let missing = if walk.left.is_empty() {
            missing
        } else {
            Missing::Directory
        };
        walk.step(&name, missing, made)?;
    }
    walk.visited
        .pop()
        .ok_or_else(|| io::Error::from(Errno::NOENT))
}

struct Walk {
    /// From the root down to where the walk has come.
    visited: Vec<OwnedFd>,
    /// Names that are still to be followed, the next one last.
    left: Vec<CString>,
    links: u32,
    beyond: Beyond,
}

impl Walk {
    fn go_on_along(&mut self, path: &[u8]) -> io::Result<()> {
        let names = path.split(|byte| *byte == b'/').rev();
        for name in names.filter(|name| !matches!(*name, b"" | b".")) {
            self.left.push(CString::new(name)?);
        }
        Ok(())
    }

    fn step(&mut self, name: &CStr, missing: Missing, made: Made) -> io::Result<()> {
        if name == c".." {
            return self.up();
        }
        let next = self.open_or_make(name, missing, made)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) != FileType::Symlink {
            self.visited.push(next);
            return Ok(());
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let text = rustix::fs::readlinkat(&next, c"", Vec::new())?;
        if text.to_bytes().starts_with(b"/") {
            self.back_to_root()?;
        }
        self.go_on_along(text.to_bytes())
    }

    fn up(&mut self) -> io::Result<()> {
        match (self.visited.len(), self.beyond) {
            (1, Beyond::Root) => {}
            (1, Beyond::Refused) => return Err(Errno::XDEV.into()),
            _ => drop(self.visited.pop()),
        }
        Ok(())
    }

    fn back_to_root(&mut self) -> io::Result<()> {
        if self.beyond == Beyond::Refused {
            return Err(Errno::XDEV.into());
        }
        self.visited.truncate(1);
        Ok(())
    }

    fn open_or_make(&self, name: &CStr, missing: Missing, made: Made) -> io::Result<OwnedFd> {
        let here = self
            .visited
            .last()
            .ok_or_else(|| io::Error::from(Errno::NOENT))?;
        let open = || {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(here, name, flags, Mode::empty())
        };
        match open() {
            Err(Errno::NOENT) => {}
            found => return Ok(found?),
        }
        match make(here, name, missing, made) {
            // Another container of the pod was first.
            Ok(()) | Err(Errno::EXIST) => Ok(open()?),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn make(here: &OwnedFd, name: &CStr, missing: Missing, made: Made) -> Result<(), Errno> {
    let new = match missing {
        Missing::Directory => {
            rustix::fs::mkdirat(here, name, made.mode)?;
            let new = open_directory(here, name)?;
            // Whatever the umask.
            rustix::fs::fchmod(&new, made.mode)?;
            new
        }
        Missing::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(here, name, flags, Mode::from_raw_mode(0o644))?
        }
    };
    match made.owner {
        Some(owner) => {
            rustix::fs::fchown(&new, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))
        }
        None => Ok(()),
    }
}

/// A link that has taken the directory's place meanwhile is not followed: the root is still the node's.
fn open_directory(here: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(here, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// What is found, as a path below the directory, or the errno.
    fn found(path: &str, beyond: Beyond, missing: Missing) -> Result<String, i32> {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        for (link, to) in [
            ("to-a", "a"),
            ("absolute", "/a/b"),
            ("a/up", "../.."),
            ("loop", "loop"),
            ("dangling", "a/nothing"),
            ("magic", "/proc/self/root"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        let directory = OwnedFd::from(fs::File::open(&root).unwrap());
        let made = Made {
            mode: Mode::from_raw_mode(0o700),
            owner: None,
        };
        let fd = resolve(&directory, Path::new(path), beyond, missing, made)
            .map_err(|error| error.raw_os_error().unwrap())?;
        use std::os::fd::AsRawFd;
        let shown = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        let root = fs::canonicalize(root).unwrap();
        let below = shown.strip_prefix(root).unwrap().to_str().unwrap();
        Ok(below.to_owned())
    }

    #[test]
    fn a_link_in_a_new_directorys_place_gives_nothing_else_its_mode() {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("other")).unwrap();
        symlink(outer.path().join("other"), outer.path().join("link")).unwrap();
        let here = OwnedFd::from(fs::File::open(outer.path()).unwrap());
        let opened = |name| open_directory(&here, name).map(drop);
        assert_eq!(opened(c"link"), Err(Errno::NOTDIR));
        assert_eq!(opened(c"other"), Ok(()));
    }

    #[test]
    fn what_is_made_has_its_mode_whatever_the_umask() {
        let outer = tempfile::tempdir().unwrap();
        let here = OwnedFd::from(fs::File::open(outer.path()).unwrap());
        let made = Made {
            mode: Mode::from_raw_mode(0o777),
            owner: None,
        };
        make(&here, c"new", Missing::Directory, made).unwrap();
        let mode = fs::metadata(outer.path().join("new"));
        assert_eq!(mode.unwrap().permissions().mode() & 0o7777, 0o777);
    }

    #[test]
    fn links_lead_nowhere_out() {
        const EXDEV: i32 = 18;
        const ENOTDIR: i32 = 20;
        const ELOOP: i32 = 40;
        for (path, in_root, refused) in [
            ("", Ok(""), Ok("")),
            ("/a/./b/", Ok("a/b"), Ok("a/b")),
            ("to-a/b", Ok("a/b"), Ok("a/b")),
            ("to-a/b/../..", Ok(""), Ok("")),
            ("absolute", Ok("a/b"), Err(EXDEV)),
            ("../..", Ok(""), Err(EXDEV)),
            ("a/up/a", Ok("a"), Err(EXDEV)),
            ("a/up/../../new", Ok("new"), Err(EXDEV)),
            ("dangling/x", Ok("a/nothing/x"), Ok("a/nothing/x")),
            ("magic", Ok("proc/self/root"), Err(EXDEV)),
            ("file/x", Err(ENOTDIR), Err(ENOTDIR)),
            ("loop", Err(ELOOP), Err(ELOOP)),
        ] {
            for (beyond, expected) in [(Beyond::Root, in_root), (Beyond::Refused, refused)] {
                let found = found(path, beyond, Missing::Directory);
                assert_eq!(found.as_deref(), expected.as_deref(), "{path}, {beyond:?}");
            }
        }
        let made = found("x/y", Beyond::Root, Missing::File);
        assert_eq!(made.as_deref(), Ok("x/y"));
    }
}
