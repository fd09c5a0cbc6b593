//! The files.

use std::{
    error::Error,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use files::{Links, Modes};
use serde::{Serialize, de::DeserializeOwned};

use super::{Record, Rules};
use crate::{Identity, identity::hash_prefix};

/// What of podwire's goes at a reboot. Others look into it.
const RUN: &str = "/run/podwire";
/// Below it, a directory for each kind of rules.
const ATTACHMENTS: &str = "attachments";
/// What a record is called while it is being written, in front of its name.
const TEMPORARY: &str = ".";
/// And behind it while DEL removes its rules. No hash pair has a dot.
const ASIDE: &str = ".leaving";
const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};

/// Which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Those that count.
    Kept,
    /// Those whose rules a DEL removes.
    Aside,
}

/// A record, and since when it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<W> {
    /// What is remembered.
    pub record: Record<W>,
    /// When ADD wrote it.
    pub since: SystemTime,
}

fn directory<R: Rules>() -> PathBuf {
    Path::new(RUN).join(ATTACHMENTS).join(R::KIND)
}

pub(super) fn write<R: Rules>(
    record: &Record<R::Wanted>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    R::Wanted: Serialize,
{
    // Its own mode: the socket in it is for everybody.
    DirBuilder::new().recursive(true).mode(0o755).create(RUN)?;
    let (directory, name) = (directory::<R>(), record.identity().hash_pair());
    let temporary = directory.join(format!("{TEMPORARY}{name}"));
    let content = serde_json::to_vec(record)?;
    Ok(files::write_volatile(
        &directory.join(name),
        &temporary,
        &content,
        MODES,
    )?)
}

pub(super) fn exists<R: Rules>(name: &str) -> bool {
    fs::symlink_metadata(directory::<R>().join(name)).is_ok()
}

pub(super) fn remove<R: Rules>(name: &str) {
    let path = directory::<R>().join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "cannot remove {}", path.display());
        }
        _ => {}
    }
}

/// Has a record count no longer; says whether it is aside then. It takes the place of one that is.
pub(super) fn set_aside<R: Rules>(name: &str) -> bool {
    let path = directory::<R>().join(name);
    match fs::rename(&path, directory::<R>().join(aside(name))) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            tracing::warn!(%error, "cannot set {} aside", path.display());
            remove::<R>(name);
            false
        }
    }
}

pub(super) fn read_aside<R: Rules>(name: &str) -> Option<Record<R::Wanted>> {
    read_one::<R>(&aside(name))
}

pub(super) fn remove_aside<R: Rules>(name: &str) {
    remove::<R>(&aside(name));
}

fn aside(name: &str) -> String {
    format!("{TEMPORARY}{name}{ASIDE}")
}

/// The record's name that stands in the name of a file.
fn of_file(name: &str) -> &str {
    let name = name.strip_suffix(ASIDE).unwrap_or(name);
    name.strip_prefix(TEMPORARY).unwrap_or(name)
}

/// Also what a killed ADD left half written, and what a DEL set aside.
pub(super) fn remove_others<R: Rules>(network: &str, valid: &[(&str, &str)]) {
    let prefix = hash_prefix(network);
    let keep: Vec<String> = valid
        .iter()
        .map(|&(container_id, ifname)| {
            let identity = Identity {
                network,
                container_id,
                ifname,
            };
            identity.hash_pair()
        })
        .collect();
    let directory = directory::<R>();
    for name in told_of(&directory, names(&directory)) {
        let whole = of_file(&name);
        if whole.starts_with(&prefix) && !keep.iter().any(|kept| kept == whole) {
            remove::<R>(&name);
        }
    }
}

pub(super) fn read_all<R: Rules>(shelf: Shelf) -> io::Result<Vec<Kept<R::Wanted>>> {
    let directory = directory::<R>();
    let names = names(&directory)?.filter(|name| match shelf {
        Shelf::Kept => !name.starts_with(TEMPORARY),
        Shelf::Aside => name.ends_with(ASIDE),
    });
    let mut all: Vec<Kept<R::Wanted>> = names
        .filter_map(|name| read(&directory.join(name)))
        .collect();
    all.sort_by_key(|kept| kept.since);
    Ok(all)
}

pub(super) fn read_another<R: Rules>(own: &str) -> Option<Record<R::Wanted>> {
    let directory = directory::<R>();
    let mut names = told_of(&directory, names(&directory))
        .filter(|name| !name.starts_with(TEMPORARY) && name != own);
    Some(read(&directory.join(names.next()?))?.record)
}

pub(super) fn read_one<R: Rules>(name: &str) -> Option<Record<R::Wanted>> {
    Some(read(&directory::<R>().join(name))?.record)
}

/// What is no record is passed over: it may be that of a newer podwire.
fn read<W: DeserializeOwned>(path: &Path) -> Option<Kept<W>> {
    let content = || -> Result<Kept<W>, Box<dyn Error>> {
        let record = serde_json::from_slice(&files::read(path, Links::Refuse)?)?;
        let since = fs::symlink_metadata(path)?.modified()?;
        Ok(Kept { record, since })
    };
    match content() {
        Ok(kept) => Some(kept),
        // DEL was faster.
        Err(error) if is_missing(&*error) => None,
        Err(error) => {
            tracing::warn!(error, "{} is no record of an attachment", path.display());
            None
        }
    }
}

fn is_missing(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The names in a directory; none where it is not there, which is so until there is a record.
fn names(directory: &Path) -> io::Result<impl Iterator<Item = String> + use<>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    Ok(entries.into_iter().flatten().filter_map(name))
}

/// For those who can do without.
fn told_of<T: Iterator>(directory: &Path, names: io::Result<T>) -> impl Iterator<Item = T::Item> {
    if let Err(error) = &names {
        tracing::warn!(%error, "cannot read {}", directory.display());
    }
    names.into_iter().flatten()
}
