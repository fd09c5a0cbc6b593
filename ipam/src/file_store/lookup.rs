//! Who holds what: by the index where there is one, else by reading everything.
use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{
    Cached, FileStore,
    scan::{self, Holder, Scan},
    step,
};
use crate::{Error, Owner, index::Index};

/// From how many reservations on an index is made; fewer are read faster than one is kept, and a
/// node that ends its last pod has nothing of ours left in `/run`.
const WORTH_AN_INDEX: usize = 32;

/// How a record names an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Container and interface.
    Exact,
    /// The container alone: written by an old release.
    Legacy,
}

/// Files with their records, and those that cannot be read.
type Read = (Vec<(PathBuf, String)>, Vec<(PathBuf, io::Error)>);

/// What names an owner, and what may.
pub(super) struct Found {
    /// Files, in the order of their paths.
    pub(super) records: Vec<(PathBuf, Match)>,
    /// Reservations that cannot be read.
    unread: Vec<(PathBuf, io::Error)>,
}

impl Found {
    /// The first reservation that cannot be read and is likely the owner's: one of the addresses
    /// that ADD gave, or, where nobody knows these, any while nothing else was found.
    fn hidden(self, given: &[IpAddr]) -> Result<(), Error> {
        let Self { records, unread } = self;
        let is_given =
            |path: &Path| address_of(path).is_some_and(|address| given.contains(&address));
        let mut likely = unread.into_iter().filter(|(path, _)| match given {
            [] => records.is_empty(),
            _ => is_given(path),
        });
        let hidden = likely.next();
        hidden.map_or(Ok(()), |(path, source)| {
            Err(Error::file("read", &path, source))
        })
    }
}

/// Of a reservation's file.
fn address_of(path: &Path) -> Option<IpAddr> {
    scan::reservation(path.file_name()?.to_str()?)
}

fn matches(record: &str, owner: &Owner<'_>) -> Option<Match> {
    if record == owner.container {
        return Some(Match::Legacy);
    }
    let exact = record
        .strip_prefix(owner.container)
        .and_then(|rest| rest.strip_prefix("\r\n"))
        .is_some_and(|ifname| ifname == owner.ifname);
    exact.then_some(Match::Exact)
}

impl FileStore {
    /// CHECK: whether a record names `owner`, or its container alone.
    pub fn holds(&mut self, owner: &Owner<'_>) -> Result<bool, Error> {
        Ok(!self.find(owner)?.records.is_empty())
    }

    /// DEL: removes the records of `owner`; where there is none, or `legacy_too`, those of its
    /// container alone. Goes on after a failure and reports the first; a reservation that cannot be
    /// read is one, if its address is among those `given` to the owner, or nobody knows these and
    /// there is no other record.
    pub fn release(
        &mut self,
        owner: &Owner<'_>,
        legacy_too: bool,
        given: &[IpAddr],
    ) -> Result<(), Error> {
        let found = self.find(owner)?;
        let exact = found.records.iter().any(|(_, kind)| *kind == Match::Exact);
        let mut result = Ok(());
        for (path, kind) in &found.records {
            if *kind == Match::Exact || !exact || legacy_too {
                result = result.and(self.remove(path, owner.container));
            }
        }
        result.and(found.hidden(given))
    }

    /// GC: removes the reservations whose holder is not to be kept. Goes on after a failure, also
    /// to read one, and returns them all.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Holder) -> bool) -> Result<Vec<Error>, Error> {
        let scan = scan::scan(&self.dir)?;
        let unread = scan.unread.into_iter();
        let unread = unread.map(|(path, source)| Error::file("read", &path, source));
        let mut failed: Vec<Error> = unread.collect();
        for (path, record) in scan.files {
            let reservation = path.strip_prefix(&self.dir).is_ok_and(|name| {
                name.to_str()
                    .is_some_and(|name| scan::reservation(name).is_some())
            });
            if reservation && !keep(&Holder::of(&record)) {
                failed.extend(self.remove(&path, scan::container_of(&record)).err());
            }
        }
        Ok(failed)
    }

    /// Files that name `owner`, and those that may.
    pub(super) fn find(&mut self, owner: &Owner<'_>) -> Result<Found, Error> {
        self.load_index();
        let (files, unread) = match self.with_index(|index| index.candidates(owner.container)) {
            Some(candidates) => self.read(&candidates)?,
            None => {
                let scan = scan::scan(&self.dir)?;
                self.make_index(&scan);
                (scan.files, scan.unread)
            }
        };
        let matching = |(path, record): (PathBuf, String)| Some((path, matches(&record, owner)?));
        let records = files.into_iter().filter_map(matching).collect();
        Ok(Found { records, unread })
    }

    fn read(&self, candidates: &[IpAddr]) -> Result<Read, Error> {
        let (mut files, mut unread) = (Vec::new(), Vec::new());
        for path in candidates.iter().map(|address| self.path_of(*address)) {
            match scan::record(&path) {
                Ok(record) => files.extend(record.map(|record| (path, record))),
                Err(source) if files::is_shortage(&source) => {
                    return Err(Error::file("open", &path, source));
                }
                Err(error) => unread.push((path, error)),
            }
        }
        files.sort_unstable();
        Ok((files, unread))
    }

    /// Keeps what was just read, so that the next call need not.
    fn make_index(&mut self, scan: &Scan) {
        if scan.foreign || !scan.unread.is_empty() || scan.files.len() < WORTH_AN_INDEX {
            return;
        }
        let name = |path: &Path| path.file_name()?.to_str().and_then(scan::reservation);
        let owned = scan.files.iter().filter(|(_, record)| !record.is_empty());
        let entries: Vec<_> = owned
            .filter_map(|(path, record)| Some((scan::container_of(record), name(path)?)))
            .collect();
        match Index::build(&self.index_dir, &self.handle, entries.into_iter()) {
            Ok(index) => {
                self.index = Cached::Here(index);
                self.dirty = true;
            }
            Err(error) => {
                tracing::debug!(dir = %self.index_dir.display(), %error, "could not make an index");
            }
        }
    }

    /// Removes a file that holds a record of `container`; one that is gone is fine.
    pub(super) fn remove(&mut self, path: &Path, container: &str) -> Result<(), Error> {
        self.before_change();
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("remove", path, error));
            }
            _ => step("remove"),
        }
        let address = path
            .file_name()
            .and_then(|name| scan::reservation(name.to_str()?));
        if let Some(address) = address {
            self.with_index(|index| index.remove(container, address));
            step("index");
        }
        Ok(())
    }
}
