//! The files.

use std::{
    collections::BTreeSet,
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

/// What of podwire's goes at a reboot. Others look into it.
const RUN: &str = "/run/podwire";
/// Below it, a directory for each kind of rules.
const ATTACHMENTS: &str = "attachments";
/// What a record is called while it is being written, in front of its name.
const TEMPORARY: &str = ".";
/// And behind it when it is aside; a number follows where an older one is. No hash pair has a dot.
const ASIDE: &str = ".leaving";
const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};

/// What is remembered cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It may be a newer podwire's.
    #[error("{} is no record of an attachment", path.display())]
    NoRecord {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It may be a record all the same.
    #[error("cannot {what} {}", path.display())]
    Refused {
        /// What the system refused.
        what: &'static str,
        /// Of which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl RecordError {
    fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Refused { what, path, source }
    }

    /// For those who go on.
    pub(super) fn tell(&self) {
        tracing::warn!("{}", cni::error::one_line(self));
    }
}

impl From<RecordError> for cni::Error {
    fn from(error: RecordError) -> Self {
        Self::internal(error)
    }
}

/// Which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Those that count.
    Kept,
    /// Those whose rules are to be removed.
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

fn kept<R: Rules>(name: &str) -> PathBuf {
    directory::<R>().join(name)
}

fn temporary<R: Rules>(name: &str) -> PathBuf {
    directory::<R>().join(format!("{TEMPORARY}{name}"))
}

/// Where the record is, or would be, that is aside behind so many others.
fn place_aside<R: Rules>(name: &str, others: usize) -> PathBuf {
    let number = match others {
        0 => String::new(),
        _ => others.to_string(),
    };
    directory::<R>().join(format!("{TEMPORARY}{name}{ASIDE}{number}"))
}

/// The record's name that stands in the name of a file.
fn of_file(name: &str) -> &str {
    let name = name.strip_prefix(TEMPORARY).unwrap_or(name);
    name.split_once('.').map_or(name, |(name, _)| name)
}

fn counts(name: &str) -> bool {
    !name.starts_with(TEMPORARY)
}

fn is_aside(name: &str) -> bool {
    name.starts_with(TEMPORARY) && name.contains(ASIDE)
}

/// Makes the directory of what goes at a reboot where it is not there, and returns it.
pub(crate) fn make_run() -> io::Result<&'static Path> {
    // Its own mode: the socket in it is for everybody.
    DirBuilder::new().recursive(true).mode(0o755).create(RUN)?;
    Ok(Path::new(RUN))
}

pub(super) fn write<R: Rules>(
    record: &Record<R::Wanted>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    R::Wanted: Serialize,
{
    make_run()?;
    let name = record.identity().hash_pair();
    let content = serde_json::to_vec(record)?;
    Ok(files::write_volatile(
        &kept::<R>(&name),
        &temporary::<R>(&name),
        &content,
        MODES,
    )?)
}

/// Whether a record counts. One that cannot be looked at does: only who knows that there is none may
/// remove rules.
pub(super) fn exists<R: Rules>(name: &str) -> bool {
    !is_missing(&fs::symlink_metadata(kept::<R>(name)))
}

/// What cannot be removed the log tells.
pub(super) fn remove(path: &Path) {
    let removed = fs::remove_file(path);
    if let Err(error) = &removed
        && !is_missing(&removed)
    {
        tracing::warn!(%error, "cannot remove {}", path.display());
    }
}

/// Removes the record that counts.
pub(super) fn remove_kept<R: Rules>(name: &str) {
    remove(&kept::<R>(name));
}

/// Removes what a killed ADD left half written. There are no rules of it: it comes before them.
pub(super) fn remove_temporary<R: Rules>(name: &str) {
    remove(&temporary::<R>(name));
}

/// Has a record count no longer, behind those that are aside already; says whether one did.
pub(super) fn set_aside<R: Rules>(name: &str) -> Result<bool, RecordError> {
    let path = kept::<R>(name);
    for others in 0.. {
        let renamed = files::rename_to_free(&path, &place_aside::<R>(name, others));
        if is_missing(&renamed) {
            return Ok(false);
        }
        if !is_taken(&renamed) {
            return renamed
                .map(|()| true)
                .map_err(RecordError::refused("set aside", &path));
        }
    }
    Ok(false)
}

/// Has the record that lies at `path` count again. Where another counts by now it stays aside, for the
/// DEL that goes by all of them.
pub(super) fn put_back<R: Rules>(path: &Path, name: &str) -> Result<(), RecordError> {
    let renamed = files::rename_to_free(path, &kept::<R>(name));
    match is_taken(&renamed) {
        true => Ok(()),
        false => renamed.map_err(RecordError::refused("put back", path)),
    }
}

/// Removes the record that lies at `path`, if it is this one: the place may be another's by now.
pub(super) fn remove_aside<R: Rules>(path: &Path, record: &Record<R::Wanted>) {
    match read::<R::Wanted>(path) {
        Ok(Some(there)) if there.record == *record => remove(path),
        Ok(_) => {}
        Err(error) => error.tell(),
    }
}

/// The record that counts, if one does.
pub(super) fn read_kept<R: Rules>(name: &str) -> Result<Option<Record<R::Wanted>>, RecordError> {
    Ok(read(&kept::<R>(name))?.map(|kept| kept.record))
}

/// Where a file is, and the record in it.
type Placed<W> = (PathBuf, Result<Record<W>, RecordError>);

/// Those that are aside, oldest first, each with its place; up to the first that cannot be read.
pub(super) fn read_aside<R: Rules>(name: &str) -> Vec<Placed<R::Wanted>> {
    let mut found = Vec::new();
    while !matches!(found.last(), Some((_, Err(RecordError::Refused { .. })))) {
        let place = place_aside::<R>(name, found.len());
        let Some(record) = read(&place).transpose() else {
            break;
        };
        found.push((place, record.map(|kept| kept.record)));
    }
    found
}

/// Every record of a shelf, oldest first. What is no record is passed over, and the log tells.
pub(super) fn read_all<R: Rules>(shelf: Shelf) -> Result<Vec<Kept<R::Wanted>>, RecordError> {
    let directory = directory::<R>();
    let is_meant = |name: &str| match shelf {
        Shelf::Kept => counts(name),
        Shelf::Aside => is_aside(name),
    };
    let mut all = Vec::new();
    for name in names(directory.clone())? {
        let name = name?;
        if !is_meant(&name) {
            continue;
        }
        match read(&directory.join(name)) {
            Err(error @ RecordError::NoRecord { .. }) => error.tell(),
            found => all.extend(found?),
        }
    }
    all.sort_by_key(|kept: &Kept<R::Wanted>| kept.since);
    Ok(all)
}

/// Those of one attachment: the one that counts, then those that are aside. What is no record is passed over, and the log
/// tells.
pub(super) fn read_all_of<R: Rules>(name: &str) -> Result<Vec<Record<R::Wanted>>, RecordError> {
    let aside = read_aside::<R>(name).into_iter().map(|(_, record)| record);
    let mut all = Vec::new();
    for record in read_kept::<R>(name).transpose().into_iter().chain(aside) {
        match record {
            Err(error @ RecordError::NoRecord { .. }) => error.tell(),
            record => all.push(record?),
        }
    }
    Ok(all)
}

/// Any record that counts, but `own`.
pub(super) fn read_another<R: Rules>(own: &str) -> Result<Option<Record<R::Wanted>>, RecordError> {
    for name in names(directory::<R>())? {
        let name = name?;
        if counts(&name) && name != own {
            return read_kept::<R>(&name);
        }
    }
    Ok(None)
}

/// The names of all records: of those that count, that are aside, that were being written.
pub(super) fn all_names<R: Rules>() -> Result<BTreeSet<String>, RecordError> {
    let names = names(directory::<R>())?;
    names.map(|name| Ok(of_file(&name?).to_owned())).collect()
}

/// None where nothing is: DEL was faster.
fn read<W: DeserializeOwned>(path: &Path) -> Result<Option<Kept<W>>, RecordError> {
    let no_record = |source: Box<dyn Error + Send + Sync>| RecordError::NoRecord {
        path: path.to_owned(),
        source,
    };
    let content = files::read(path, Links::Refuse);
    let written = content.and_then(|content| {
        let file = fs::symlink_metadata(path)?;
        Ok((content, file.modified()?))
    });
    let (content, since) = match written {
        Err(error) if files::is_unfit(&error) => return Err(no_record(error.into())),
        written if is_missing(&written) => return Ok(None),
        written => written.map_err(RecordError::refused("read", path))?,
    };
    let record = serde_json::from_slice(&content).map_err(|error| no_record(error.into()))?;
    Ok(Some(Kept { record, since }))
}

fn is_missing<T>(outcome: &io::Result<T>) -> bool {
    let error = outcome.as_ref().err();
    error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn is_taken<T>(outcome: &io::Result<T>) -> bool {
    let error = outcome.as_ref().err();
    error.is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
}

/// The names in a directory; none where it is not there, which is so until there is a record.
fn names(
    directory: PathBuf,
) -> Result<impl Iterator<Item = Result<String, RecordError>>, RecordError> {
    let entries = fs::read_dir(&directory);
    let entries = match is_missing(&entries) {
        true => None,
        false => Some(entries.map_err(RecordError::refused("read", &directory))?),
    };
    // No record has a name that is not text.
    let name = move |entry: io::Result<fs::DirEntry>| {
        let entry = entry.map_err(RecordError::refused("read", &directory));
        entry
            .map(|entry| entry.file_name().into_string().ok())
            .transpose()
    };
    Ok(entries.into_iter().flatten().filter_map(name))
}
