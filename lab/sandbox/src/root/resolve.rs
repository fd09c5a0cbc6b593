//! Paths in a directory that others fill: found step by step, with a descriptor for every step, so that no
//! symbolic link, also none that is made meanwhile, leads out of it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
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

/// The kernel's bound (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Follows `path` from the directory `root`; directories that are made get `mode`. The descriptor is one of
/// O_PATH.
///
/// # Errors
/// A way out (EXDEV), a loop of links (ELOOP), a file on the way (ENOTDIR), or the file system refused.
pub(super) fn resolve(
    root: &OwnedFd,
    path: &Path,
    beyond: Beyond,
    missing: Missing,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let mut walk = Walk {
        visited: vec![root.try_clone()?],
        beyond,
        links: 0,
        left: Vec::new(),
    };
    walk.go_on_along(path.as_os_str().as_bytes())?;
    while let Some(name) = walk.left.pop() {
        let made = if walk.left.is_empty() {
            missing
        } else {
            Missing::Directory
        };
        walk.step(&name, made, mode)?;
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

    fn step(&mut self, name: &CStr, missing: Missing, mode: Mode) -> io::Result<()> {
        if name == c".." {
            return self.up();
        }
        let next = self.open_or_make(name, missing, mode)?;
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

    fn open_or_make(&self, name: &CStr, missing: Missing, mode: Mode) -> io::Result<OwnedFd> {
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
        match make(here, name, missing, mode) {
            // Another container of the pod was first.
            Ok(()) | Err(Errno::EXIST) => Ok(open()?),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn make(here: &OwnedFd, name: &CStr, missing: Missing, mode: Mode) -> Result<(), Errno> {
    match missing {
        Missing::Directory => {
            rustix::fs::mkdirat(here, name, mode)?;
            set_mode_of_directory(here, name, mode)
        }
        Missing::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(here, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}

/// Whatever the umask. A link that has taken the directory's place meanwhile is not followed: the root is still
/// the node's.
fn set_mode_of_directory(here: &OwnedFd, name: &CStr, mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(here, name, flags, Mode::empty())?;
    rustix::fs::fchmod(made, mode)
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
        let mode = Mode::from_raw_mode(0o700);
        let fd = resolve(&directory, Path::new(path), beyond, missing, mode)
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
        let other = outer.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).unwrap();
        symlink(&other, outer.path().join("link")).unwrap();
        let here = OwnedFd::from(fs::File::open(outer.path()).unwrap());
        let open = Mode::from_raw_mode(0o777);
        assert_eq!(
            set_mode_of_directory(&here, c"link", open),
            Err(Errno::NOTDIR)
        );
        set_mode_of_directory(&here, c"other", Mode::from_raw_mode(0o750)).unwrap();
        let mode = fs::metadata(&other).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o750);
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
