//! Files of a cgroup hierarchy.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
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
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::new("read cgroup", directory.display(), source)),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path(), deadline)?;
        }
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
