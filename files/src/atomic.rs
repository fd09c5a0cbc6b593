//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl WriteError {
    /// The system's answer.
    pub fn into_source(self) -> io::Error {
        self.source
    }
}

/// Modes of a file and of the directories made for it.
#[derive(Clone, Copy, Debug)]
pub struct Modes {
    /// Of the file, whatever the umask.
    pub file: u32,
    /// Of missing directories, as far as the umask allows.
    pub directory: u32,
}

/// Writes `contents` to a neighbour of `path`, syncs it and renames it to `path`, so that a
/// reader sees the old file or the new one, also after a crash.
///
/// # Errors
/// The file system refuses. Where no file was, none is left, but perhaps directories; an old one
/// may be replaced all the same, if only the disk refuses the name.
pub fn write_atomically(path: &Path, contents: &[u8], modes: Modes) -> Result<(), WriteError> {
    let neighbour = neighbour(path).map_err(|source| WriteError {
        path: path.to_owned(),
        source,
    })?;
    write_atomically_by(path, &neighbour, contents, modes)
}

/// The same where the file must not have a neighbour, not even for a moment: it becomes whole at
/// `temporary`, which is on the same file system and nobody else's.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_atomically_by(
    path: &Path,
    temporary: &Path,
    contents: &[u8],
    modes: Modes,
) -> Result<(), WriteError> {
    write_by(path, temporary, contents, modes, Sync::Disk)
}

/// The same without waiting for the disk: for what a reboot takes away anyway.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_volatile(
    path: &Path,
    temporary: &Path,
    contents: &[u8],
    modes: Modes,
) -> Result<(), WriteError> {
    write_by(path, temporary, contents, modes, Sync::None)
}

/// The same where the directory must be there already, and is not made.
///
/// # Errors
/// The file system refuses; the old file is as it was.
pub fn replace(
    path: &Path,
    temporary: &Path,
    contents: &[u8],
    mode: u32,
) -> Result<(), WriteError> {
    write_whole(path, temporary, contents, mode, Sync::None).map_err(|source| WriteError {
        path: path.to_owned(),
        source,
    })
}

/// How much must be on the disk when a write returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// The file and its name.
    Disk,
    /// Nothing: others see it, and that is all.
    None,
}

fn write_by(
    path: &Path,
    temporary: &Path,
    contents: &[u8],
    modes: Modes,
    sync: Sync,
) -> Result<(), WriteError> {
    let failed = |source| WriteError {
        path: path.to_owned(),
        source,
    };
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(modes.directory)
        .create(directory)
        .map_err(failed)?;
    // Open before the file has its name: without descriptors left it would stay although this failed.
    let names = match sync {
        Sync::Disk => Some(File::open(directory).map_err(failed)?),
        Sync::None => None,
    };
    let is_new = sync == Sync::Disk && fs::symlink_metadata(path).is_err();
    write_whole(path, temporary, contents, modes.file, sync).map_err(failed)?;
    names
        .map_or(Ok(()), |names| names.sync_all())
        .map_err(|error| {
            if is_new {
                // Whoever is told of a failure does not count on a file; what is wrong is said already.
                let _ = fs::remove_file(path);
            }
            failed(error)
        })
}

/// Renames `from` to `to`, which no file may have yet: of two processes that choose a name, one has it.
///
/// # Errors
/// `AlreadyExists` where there is such a file; as rename(2), with RENAME_NOREPLACE.
pub fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

fn write_whole(
    path: &Path,
    temporary: &Path,
    contents: &[u8],
    mode: u32,
    sync: Sync,
) -> io::Result<()> {
    let written =
        write_new(temporary, contents, mode, sync).and_then(|()| fs::rename(temporary, path));
    written.inspect_err(|_| {
        // What is wrong is said already; the file is gone or never was.
        let _ = fs::remove_file(temporary);
    })
}

/// `.NAME.PID`: apart from [`half_written`] of another process.
fn neighbour(path: &Path) -> io::Result<PathBuf> {
    if path.file_name().is_none() {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let mut hidden = half_written(path).into_os_string();
    hidden.push(format!(".{}", std::process::id()));
    Ok(hidden.into())
}

/// `.NAME`, beside the file: hidden, so that nobody who lists the directory takes it for the file. For
/// [`write_atomically_by`] where one process at a time writes the file, and whoever removes it removes
/// what a killed one left, too.
pub fn half_written(path: &Path) -> PathBuf {
    let mut hidden = OsString::from(".");
    hidden.extend(path.file_name());
    path.with_file_name(hidden)
}

fn write_new(path: &Path, contents: &[u8], mode: u32, sync: Sync) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    match sync {
        Sync::Disk => file.sync_all(),
        Sync::None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: Modes = Modes {
        file: 0o644,
        directory: 0o755,
    };

    #[test]
    fn replaces_whole_files_and_leaves_no_neighbour() {
        let root = tempfile::tempdir().expect("directory");
        let path = root.path().join("a/b/subnet.env");
        for contents in [&b"first"[..], b"second"] {
            write_atomically(&path, contents, MODES).expect("write");
            assert_eq!(fs::read(&path).expect("read"), contents);
        }
        let mode = fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(
            fs::read_dir(root.path().join("a/b")).expect("list").count(),
            1
        );
    }

    #[test]
    fn of_two_that_choose_a_name_one_has_it() {
        let root = tempfile::tempdir().expect("directory");
        let at = |name: &str| root.path().join(name);
        for round in 0..200 {
            let place = at(&format!("place{round}"));
            fs::write(at("a"), "a").expect("write");
            fs::write(at("b"), "b").expect("write");
            let together = std::sync::Barrier::new(2);
            let renamed = std::thread::scope(|scope| {
                let each = ["a", "b"].map(|name| {
                    let (from, place, together) = (at(name), &place, &together);
                    scope.spawn(move || {
                        together.wait();
                        rename_to_free(&from, place)
                    })
                });
                each.map(|thread| thread.join().expect("thread"))
            });
            let refused = renamed.iter().filter_map(|renamed| renamed.as_ref().err());
            let refused: Vec<_> = refused.map(io::Error::kind).collect();
            assert_eq!(refused, [io::ErrorKind::AlreadyExists]);
            assert_eq!(at("a").exists(), renamed[0].is_err());
            assert_eq!(at("b").exists(), renamed[1].is_err());
        }
    }

    #[test]
    fn what_a_reboot_may_take_is_replaced_whole_as_well() {
        let root = tempfile::tempdir().expect("directory");
        let (path, temporary) = (root.path().join("a/record"), root.path().join("a/.new"));
        for contents in [&b"first"[..], b"second"] {
            write_volatile(&path, &temporary, contents, MODES).expect("write");
            assert_eq!(fs::read(&path).expect("read"), contents);
            assert!(!temporary.exists());
        }
    }

    #[test]
    fn a_directory_that_must_be_there_is_not_made() {
        let root = tempfile::tempdir().expect("directory");
        let (path, temporary) = (root.path().join("state"), root.path().join("state.new"));
        for contents in [&b"first"[..], b"second"] {
            replace(&path, &temporary, contents, 0o644).expect("write");
            assert_eq!(fs::read(&path).expect("read"), contents);
        }
        assert_eq!(fs::read_dir(root.path()).expect("list").count(), 1);
        let gone = root.path().join("gone");
        replace(&gone.join("state"), &gone.join("new"), b"x", 0o644).expect_err("no directory");
        assert!(!gone.exists());
    }

    #[test]
    fn a_refusal_names_the_file_and_keeps_the_old_one() {
        let root = tempfile::tempdir().expect("directory");
        let path = root.path().join("taken");
        fs::create_dir(&path).expect("directory in the way");
        let error = write_atomically(&path, b"x", MODES).expect_err("a directory is in the way");
        assert_eq!(
            error.to_string(),
            format!("cannot write {}", path.display())
        );
        assert_eq!(fs::read_dir(root.path()).expect("list").count(), 1);
    }
}
