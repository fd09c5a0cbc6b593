//! Reservations in a directory, in the layout of the reference plugin `host-local`.
//!
//! | file | content | mode |
//! |---|---|---|
//! | `<address>` | `<container ID>` CR LF `<interface>`; old releases: the ID alone | 0600 |
//! | `last_reserved_ip.<range set>` | the address | 0600 |
//! | `lock` | nothing; `flock`ed by everyone | 0750 |
//!
//! Other files are read, as the reference reads them, when an owner is looked for: one that holds
//! an owner's record counts. Only regular files are opened, and no symbolic link is followed. While such files or subdirectories are there, no index is used.
//!
//! Nothing is synced to the disk: reservations need not outlive the pods that a power failure
//! ends, and what it leaves of a file, nothing, counts as free.
mod lookup;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use files::Links;

use crate::{Error, Owner, Store, cidr::parse_address, index::Index};

pub(crate) use scan::Holder;

/// The lock file's name, the reference plugin's.
const LOCK: &str = "lock";
/// Start of the names that hold the last reserved address of a range set.
const LAST_RESERVED: &str = "last_reserved_ip.";
/// A reservation before it gets its name. No address, so the reference makes nothing of it; one
/// name is enough, because it is used under the lock.
const STAGED: &str = ".podwire-new";

/// One network's reservations, under its lock.
pub struct FileStore {
    dir: PathBuf,
    /// The directory itself, for its times.
    handle: File,
    _lock: files::Lock,
    /// Where indexes lie.
    index_dir: PathBuf,
    index: Cached,
    /// Whether something was changed or an index was made, and so the index must be committed.
    dirty: bool,
    staged: bool,
}

/// What is known of the index.
enum Cached {
    NotLooked,
    Absent,
    Here(Index),
}

impl FileStore {
    /// Runs `work` with the store of `network` below `data_dir`, holding its lock from before to
    /// after; waits for the lock for as long as [`files::PATIENCE`]. Makes the directory and the
    /// lock where they are missing. The index below `index_dir` is read and kept up to date.
    pub fn locked<T>(
        data_dir: &Path,
        network: &str,
        index_dir: &Path,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let dir = data_dir.join(network);
        let lock = open_lock(&dir)?;
        Self::under(lock, dir, index_dir, work)
    }

    /// The same for work that writes nothing unless there is something to remove, and so can be
    /// done on a read-only file system. `None`: there is no directory, and so no reservation, and
    /// none can be made.
    pub fn locked_to_release<T>(
        data_dir: &Path,
        network: &str,
        index_dir: &Path,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let dir = data_dir.join(network);
        let lock = match open_lock(&dir) {
            Err(error) if error.is_read_only() && !dir.exists() => return Ok(None),
            Err(error) if error.is_read_only() => lock_to_read(&dir)?,
            lock => lock?,
        };
        Self::under(lock, dir, index_dir, work).map(Some)
    }

    fn under<T>(
        lock: File,
        dir: PathBuf,
        index_dir: &Path,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut store = Self::open(lock, dir, index_dir)?;
        let result = work(&mut store);
        store.close();
        result
    }

    fn open(lock: File, dir: PathBuf, index_dir: &Path) -> Result<Self, Error> {
        let lock = files::Lock::exclusive(lock, files::PATIENCE)
            .map_err(|source| Error::lock(&dir.join(LOCK), source))?;
        let handle = File::open(&dir).map_err(|source| Error::file("open", &dir, source))?;
        let index_dir = index_dir.to_owned();
        let index = Cached::NotLooked;
        let store = Self {
            dir,
            handle,
            _lock: lock,
            index_dir,
            index,
            dirty: false,
            staged: false,
        };
        // Left by a call that was killed; nobody else can be using it now.
        if let Err(error) = fs::remove_file(store.dir.join(STAGED))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(dir = %store.dir.display(), %error, "could not remove a stale file");
        }
        Ok(store)
    }

    fn close(self) {
        if self.staged {
            // What stays is removed by the next call.
            let _ = fs::remove_file(self.dir.join(STAGED));
        }
        if let Cached::Here(mut index) = self.index
            && self.dirty
            && let Err(error) = index.commit(&self.handle)
        {
            tracing::debug!(dir = %self.dir.display(), %error, "giving up the index");
            index.discard();
        }
    }

    /// Called before the directory changes, so that no crash leaves an index that seems right.
    fn before_change(&mut self) {
        self.load_index();
        self.dirty = true;
        self.with_index(Index::begin);
    }

    fn load_index(&mut self) {
        if matches!(self.index, Cached::NotLooked) {
            let index = Index::open(&self.index_dir, &self.handle);
            self.index = index.map_or(Cached::Absent, Cached::Here);
        }
    }

    /// An index that cannot be read or written is given up: it costs time, not correctness.
    fn with_index<T>(&mut self, work: impl FnOnce(&mut Index) -> io::Result<T>) -> Option<T> {
        let Cached::Here(index) = &mut self.index else {
            return None;
        };
        match work(index) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::debug!(dir = %self.dir.display(), %error, "giving up the index");
                if let Cached::Here(index) = std::mem::replace(&mut self.index, Cached::Absent) {
                    index.discard();
                }
                None
            }
        }
    }

    /// How many addresses have an owner, where an index knows it.
    pub(crate) fn count(&mut self) -> Option<u64> {
        self.load_index();
        self.with_index(|index| Ok(index.len()))
    }

    /// Every address that has a file, with an owner or without.
    pub(crate) fn named(&self) -> Result<HashSet<IpAddr>, Error> {
        scan::addresses(&self.dir)
    }

    fn path_of(&self, address: IpAddr) -> PathBuf {
        self.dir.join(address.to_string())
    }

    /// Puts `record` under [`STAGED`].
    fn stage(&mut self, record: &str) -> Result<(), Error> {
        if self.staged {
            return Ok(());
        }
        let path = self.dir.join(STAGED);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|source| Error::file("open", &path, source))?;
        self.staged = true;
        step("create");
        file.write_all(record.as_bytes())
            .map_err(|source| Error::file("write", &path, source))?;
        step("write");
        Ok(())
    }

    /// Gives the staged record the name `path`, in one step; `false`: the name is taken by a file
    /// with an owner. An empty file has none: whoever creates and then writes one does both under
    /// the lock that is ours now, so it was left by a crash.
    fn publish(&mut self, path: &Path) -> Result<bool, Error> {
        let staged = self.dir.join(STAGED);
        match fs::hard_link(&staged, path) {
            Ok(()) => {
                step("link");
                // The address is reserved. A staged record that stays serves the owner's next
                // address as well, and goes with the store.
                if let Err(error) = fs::remove_file(&staged) {
                    tracing::debug!(path = %staged.display(), %error, "could not remove a staged file");
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !scan::is_empty_file(path) {
                    return Ok(false);
                }
                fs::rename(&staged, path).map_err(|source| Error::file("rename", path, source))?;
            }
            Err(source) => return Err(Error::file("link", path, source)),
        }
        self.staged = false;
        step("publish");
        Ok(true)
    }
}

impl Store for FileStore {
    fn addresses_of(&mut self, owner: &Owner<'_>) -> Result<Vec<IpAddr>, Error> {
        let found = self.find(owner)?;
        let name = |path: &Path| path.file_name()?.to_str().and_then(parse_address);
        Ok(found
            .records
            .iter()
            .filter_map(|(path, _)| name(path))
            .collect())
    }

    fn reserve(&mut self, address: IpAddr, owner: &Owner<'_>) -> Result<bool, Error> {
        self.before_change();
        self.stage(&owner.record())?;
        let reserved = self.publish(&self.path_of(address))?;
        if reserved {
            self.with_index(|index| index.insert(owner.container, address));
            step("index");
        }
        Ok(reserved)
    }

    fn unreserve(&mut self, address: IpAddr, owner: &Owner<'_>) -> Result<(), Error> {
        self.remove(&self.path_of(address), owner.container)
    }

    fn taken(&mut self) -> Result<HashSet<IpAddr>, Error> {
        let mut taken = self.named()?;
        let owned = self.count();
        if owned != Some(taken.len() as u64) {
            taken.retain(|address| !scan::is_empty_file(&self.path_of(*address)));
        }
        Ok(taken)
    }

    fn holder(&mut self, address: IpAddr) -> Option<String> {
        let record = scan::record(&self.path_of(address)).ok()??;
        Some(Holder::of(&record).to_string())
    }

    /// A text that is no address, or none, counts as never.
    fn last_reserved(&mut self, set: usize) -> Option<IpAddr> {
        let path = self.dir.join(format!("{LAST_RESERVED}{set}"));
        let text = files::read_to_string(&path, Links::Refuse).ok()?;
        parse_address(&text)
    }

    /// Written in place, so that the file keeps its mode; a torn write only makes the next search
    /// begin elsewhere. Cut afterwards and only where it is longer: a file that was cut to nothing
    /// first would make ext4 write it to the disk at once, and the next call wait for that.
    fn set_last_reserved(&mut self, set: usize, address: IpAddr) -> Result<(), Error> {
        self.before_change();
        let path = self.dir.join(format!("{LAST_RESERVED}{set}"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = files::open(&path, Links::Refuse, &mut options)
            .map_err(|source| Error::file("open", &path, source))?;
        step("last reserved: open");
        overwrite(&file, &address.to_string()).map_err(|source| Error::file("write", &path, source))
    }
}

fn overwrite(file: &File, text: &str) -> io::Result<()> {
    file.write_all_at(text.as_bytes(), 0)?;
    step("last reserved: write");
    let length = text.len() as u64;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
    }
    step("last reserved: cut");
    Ok(())
}

/// The directory is made only where opening the lock in it fails: all calls but the first find it.
fn open_lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let open = || {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o750);
        files::open(&path, Links::Refuse, &mut options)
    };
    open().or_else(|_| {
        make_dirs(dir)?;
        open().map_err(|source| Error::file("open", &path, source))
    })
}

/// The lock of a directory on a read-only file system. Without a lock file nobody has ever locked
/// it, and nobody else can make one: the directory serves in its place.
fn lock_to_read(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    match files::open(&path, Links::Refuse, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::open(dir).map_err(|source| Error::file("open", dir, source))
        }
        lock => lock.map_err(|source| Error::file("open", &path, source)),
    }
}

fn make_dirs(dir: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(|source| {
            let mut ancestors: Vec<&Path> = dir.ancestors().collect();
            ancestors.reverse();
            let refused = ancestors
                .into_iter()
                .find(|path| !path.is_dir())
                .unwrap_or(dir);
            // Something of that name is there: to be a directory is what it fails at.
            let there = refused.exists() && source.kind() == io::ErrorKind::AlreadyExists;
            let not_a_directory = || io::Error::from(io::ErrorKind::NotADirectory);
            Error::file(
                "mkdir",
                refused,
                if there { not_a_directory() } else { source },
            )
        })
}

/// Whether an ADD could write below `data_dir`. Leaves nothing behind.
pub(crate) fn probe(data_dir: &Path, network: &str) -> Result<(), Error> {
    let dir = data_dir.join(network);
    let Some(there) = dir.ancestors().find(|path| path.exists()) else {
        return Ok(());
    };
    if !there.is_dir() {
        let source = io::ErrorKind::NotADirectory.into();
        return Err(Error::file("mkdir", there, source));
    }
    if there == dir {
        return open_lock(&dir).map(drop);
    }
    let path = there.join(format!("{STAGED}-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|_| fs::remove_file(&path))
        .map_err(|source| Error::file("open", &path, source))
}

/// Where a test stops the writer.
#[cfg(not(test))]
fn step(_name: &'static str) {}
#[cfg(test)]
use tests::step;
