//! Files of a cgroup hierarchy.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::{Error, Result};

/// A concurrent removal of an empty ancestor makes the child's mkdir fail: once more, then.
pub(super) fn make_with_ancestors(directory: &Path) -> Result<()> {
    const TRIES: u32 = 5;
    let mut outcome = fs::create_dir_all(directory);
    for _ in 1..TRIES {
        match &outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                outcome = fs::create_dir_all(directory);
            }
            _ => break,
        }
    }
    outcome.map_err(|source| Error::new("create cgroup", directory.display(), source))
}

pub(super) fn remove_tree(directory: &Path, deadline: Instant) -> Result<()> {
    for below in subdirectories(directory)? {
        remove_tree(&below, deadline)?;
    }
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(source) => return Err(Error::new("remove cgroup", directory.display(), source)),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::new("read", path.display(), source))
}

pub(super) fn open_for_writing(path: &Path) -> Result<File> {
    // Never O_CREAT: a file that is missing is a controller that is missing, and says so.
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .map_err(|source| Error::new("open", path.display(), source))
}

pub(super) fn write(path: &Path, value: impl std::fmt::Display) -> Result<()> {
    let value = value.to_string();
    open_for_writing(path)?
        .write_all(value.as_bytes())
        .map_err(|source| {
            Error::new(
                "write",
                format_args!("{value:?} to {}", path.display()),
                source,
            )
        })
}

pub(super) fn write_if_present(path: &Path, value: u64) -> Result<()> {
    match write(path, value) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

pub(super) fn unexpected(path: &Path, text: &str) -> Error {
    let cause = io::Error::new(
        io::ErrorKind::InvalidData,
        format!("unexpected content {text:?}"),
    );
    Error::new("read", path.display(), cause)
}

/// Copies a setting to a group that has none of its own.
pub(super) fn inherit_if_empty(from: &Path, to: &Path) -> Result<()> {
    if read(to)?.trim().is_empty() {
        write(to, read(from)?.trim())?;
    }
    Ok(())
}

/// The groups in a group; none in one that is gone.
pub(super) fn subdirectories(directory: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::new("read cgroup", directory.display(), source)),
    }
}
