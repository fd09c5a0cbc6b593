//! The directory that a program starts in. What is in the way there is the container's, which may have made it a link
//! to `/proc/self/fd`: to what the process has open that goes there.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use rustix::process::fchdir;

use kernel::{Error, Result};

use super::resolve::{Beyond, Made, Missing, resolve};

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Makes the directory at `path` in the calling thread's root, with those that are missing on the way; what is there
/// stays.
///
/// # Errors
/// A file or a loop of links is in the way; the file system refused.
pub fn make_directory(path: &Path) -> Result<()> {
    let made = Made {
        mode: Mode::from_raw_mode(0o755),
        owner: None,
    };
    let make = || {
        let root = open("/", DIRECTORY, Mode::empty())?;
        resolve(&root, path, Beyond::Root, Missing::Directory, made).map(drop)
    };
    make().map_err(|cause| Error::new("make the directory", path.display(), cause))
}

/// Makes the directory at `path` the calling thread's working directory, and that of threads that share it (clone(2),
/// CLONE_FS); through none of the links of `/proc` that lead to what a process has open.
///
/// # Errors
/// There is no such directory, the thread's user may not search it, or such a link is on the way (ELOOP).
pub fn enter_directory(path: &Path) -> Result<()> {
    let enter = || -> std::result::Result<(), Errno> {
        let directory = openat2(
            CWD,
            path,
            DIRECTORY,
            Mode::empty(),
            ResolveFlags::NO_MAGICLINKS,
        )?;
        fchdir(&directory)
    };
    enter().map_err(|errno| Error::new("go to the directory", path.display(), errno.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs::{self, File};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::{Namespaces, Process};

    /// Where a thread is that goes there, or why it does not.
    fn entered(path: &Path) -> std::result::Result<String, Option<i32>> {
        // Alone there.
        let none = Namespaces::of(&Process::current().unwrap(), &[]).unwrap();
        let there = none.run(|| {
            enter_directory(path).map_err(|error| error.errno())?;
            let there = fs::read_link("/proc/thread-self/cwd").unwrap();
            Ok(there.to_string_lossy().into_owned())
        });
        there.unwrap()
    }

    #[test]
    fn no_way_leads_through_what_is_open() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("file"), "").unwrap();
        let open = File::open("/usr").unwrap();
        let magic = format!("/proc/self/fd/{}", open.as_raw_fd());
        symlink(&magic, at("magic")).unwrap();
        symlink("directory", at("link")).unwrap();
        let directory = at("directory").to_string_lossy().into_owned();
        for (name, expected) in [
            ("directory", Ok(directory.clone())),
            ("link", Ok(directory)),
            ("file", Err(Some(Errno::NOTDIR.raw_os_error()))),
            ("missing", Err(Some(Errno::NOENT.raw_os_error()))),
            ("magic", Err(Some(Errno::LOOP.raw_os_error()))),
            ("magic/bin", Err(Some(Errno::LOOP.raw_os_error()))),
        ] {
            assert_eq!(entered(&at(name)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_made() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("new/there", at("link")).unwrap();
        for (path, made) in [("a/b/c", "a/b/c"), ("a/b/c", "a"), ("link", "new/there")] {
            make_directory(&at(path)).unwrap();
            assert!(at(made).is_dir(), "{made}");
        }
        assert!(make_directory(&at("file/below")).is_err());
    }
}
