//! The store in a directory of one machine: the embedded store for labs and single hosts.
//!
//! | file | what |
//! |---|---|
//! | `config` | the network configuration, as in etcd |
//! | `subnets/<key>` | one lease, byte for byte as in etcd |
//! | `expiry/<key>` | when that lease ends (Unix time in ms), when it began (ns) |
//! | `awake/<key>` | the same, and when it ends by the time that the machine is awake (boot, ms) |
//! | `lock` | held by `flock` during every change |
//! | `tmp/` | files on their way to their place |
//!
//! A value without an expiry is a reservation: that is what an operator makes with a plain `cp`, so
//! the expiry lies beside the value rather than in its modification time, which every file has.
//! Writers put the expiry before the value and remove it after the value, so that a writer killed
//! at any line leaves at most an expiry without a value, which the next one sweeps away. What is in `awake/`
//! counts for the expiry that it repeats: a netd of before knows `expiry/` alone, and renews that.
//!
//! A lease ends by the time that the machine is awake, which no setting of the clock moves. The Unix time
//! counts after another boot alone, and for another machine.
//!
//! Nothing is synced to disk: the store joins processes of one machine, and a crash of the machine
//! ends all of them.

mod files;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cluster::{LeaseAttrs, Subnets};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Changes, Cursor, Holding, Listing, Record, Store, StoreError, Term};
use files::{Expiry, Files, Now};
use watch::Observer;

/// Leases as files of a directory.
#[derive(Debug)]
pub struct DirStore {
    files: Arc<Files>,
    /// The observer that was started with the last list, for the watch that goes on from there.
    pending: Mutex<Option<(u64, Observer)>>,
}

impl DirStore {
    /// Opens the store in `dir`, making the directory when it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            files: Arc::new(Files::open(dir)?),
            pending: Mutex::new(None),
        })
    }

    /// Puts the network configuration there, atomically.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub async fn put_config(&self, text: &[u8]) -> Result<(), StoreError> {
        self.files.locked().await?.put_config(text)
    }

    /// The directory.
    pub fn path(&self) -> &PathBuf {
        &self.files.root
    }

    async fn list_all(&self) -> Result<Listing, StoreError> {
        let locked = self.files.locked().await?;
        // First the observer, then the list: what changes in between is seen by both.
        let mut observer = Observer::new(&self.files)?;
        let now = Now::read()?;
        locked.sweep(&now)?;
        let mut listing = Listing::default();
        for key in locked.keys()? {
            // Someone who does not know the lock has removed it.
            let Some(stored) = locked.stored(&key)? else {
                continue;
            };
            match stored.lease {
                Ok(record) => listing.records.push(record),
                Err(malformed) => listing.malformed.push(malformed),
            }
            observer.note(&key, stored.expiry, &now);
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = pending.as_ref().map_or(0, |(last, _)| last + 1);
        *pending = Some((cursor, observer));
        listing.cursor = Some(Cursor::Number(cursor));
        Ok(listing)
    }

    async fn read(&self, subnets: Subnets) -> Result<Option<Record>, StoreError> {
        let key = subnets.key();
        let locked = self.files.locked().await?;
        locked.settle(&key, &Now::read()?)?;
        Ok(locked.stored(&key)?.and_then(|stored| stored.lease.ok()))
    }

    async fn create_file(
        &self,
        subnets: Subnets,
        attrs: &LeaseAttrs,
        ttl: Duration,
    ) -> Result<Option<Holding>, StoreError> {
        let key = subnets.key();
        let locked = self.files.locked().await?;
        locked.settle(&key, &Now::read()?)?;
        if locked.exists(&key)? {
            return Ok(None);
        }
        let (expiry, term) = begin(ttl, None)?;
        locked.put_expiry(&key, &expiry)?;
        let revision = locked.put_value(&key, attrs)?;
        Ok(Some(Holding {
            subnets,
            revision,
            birth: expiry.birth,
            term,
        }))
    }

    /// Writes the value if it still has `revision`; `expiry` replaces the one that is there.
    async fn replace(
        &self,
        subnets: Subnets,
        revision: u64,
        expiry: Option<Expiry>,
        attrs: &LeaseAttrs,
    ) -> Result<Option<u64>, StoreError> {
        let key = subnets.key();
        let locked = self.files.locked().await?;
        locked.settle(&key, &Now::read()?)?;
        if locked.revision(&key)? != Some(revision) {
            return Ok(None);
        }
        if let Some(expiry) = expiry {
            locked.put_expiry(&key, &expiry)?;
        }
        locked.put_value(&key, attrs).map(Some)
    }

    async fn adopt_file(
        &self,
        record: &Record,
        attrs: &LeaseAttrs,
        ttl: Duration,
    ) -> Result<Option<Holding>, StoreError> {
        let (expiry, term) = match record.term {
            None => (None, Term::Reserved),
            Some(_) => {
                let (expiry, term) = begin(ttl, Some(record.birth))?;
                (Some(expiry), term)
            }
        };
        let (subnets, birth) = (record.subnets, record.birth);
        let revision = self
            .replace(subnets, record.revision, expiry, attrs)
            .await?;
        Ok(revision.map(|revision| Holding {
            subnets,
            revision,
            birth,
            term,
        }))
    }

    async fn renew_file(&self, holding: &Holding) -> Result<Option<Holding>, StoreError> {
        let Term::Until { ttl, .. } = holding.term else {
            return Ok(Some(*holding));
        };
        let key = holding.subnets.key();
        let locked = self.files.locked().await?;
        locked.settle(&key, &Now::read()?)?;
        if locked
            .expiry(&key)?
            .is_none_or(|expiry| expiry.birth != holding.birth)
        {
            return Ok(None);
        }
        let (expiry, term) = begin(ttl, Some(holding.birth))?;
        locked.put_expiry(&key, &expiry)?;
        Ok(Some(Holding { term, ..*holding }))
    }

    async fn delete_file(&self, subnets: Subnets, revision: u64) -> Result<bool, StoreError> {
        let locked = self.files.locked().await?;
        let key = subnets.key();
        if locked.revision(&key)? != Some(revision) {
            return Ok(false);
        }
        locked.remove(&key)?;
        Ok(true)
    }
}

impl Store for DirStore {
    fn describe(&self) -> String {
        self.files.describe()
    }

    fn network_config(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        async { self.files.config() }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        self.list_all().boxed()
    }

    fn get(&self, subnets: Subnets) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.read(subnets).boxed()
    }

    fn create<'a>(
        &'a self,
        subnets: Subnets,
        attrs: &'a LeaseAttrs,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.create_file(subnets, attrs, ttl).boxed()
    }

    fn adopt<'a>(
        &'a self,
        record: &'a Record,
        attrs: &'a LeaseAttrs,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.adopt_file(record, attrs, ttl).boxed()
    }

    fn rewrite<'a>(
        &'a self,
        holding: &'a Holding,
        attrs: &'a LeaseAttrs,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        async move {
            let Holding {
                subnets, revision, ..
            } = *holding;
            let revision = self.replace(subnets, revision, None, attrs).await?;
            Ok(revision.map(|revision| Holding {
                revision,
                ..*holding
            }))
        }
        .boxed()
    }

    fn renew<'a>(
        &'a self,
        holding: &'a Holding,
    ) -> BoxFuture<'a, Result<Option<Holding>, StoreError>> {
        self.renew_file(holding).boxed()
    }

    fn delete(&self, subnets: Subnets, revision: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.delete_file(subnets, revision).boxed()
    }

    fn watch(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>> {
        async move {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            match pending.take_if(|(listed, _)| Cursor::Number(*listed) == cursor) {
                Some((_, observer)) => observer.changes(Arc::clone(&self.files)),
                // A directory keeps no history: only a new list can start a new watch.
                None => Err(StoreError::Compacted {
                    store: self.describe(),
                }),
            }
        }
        .boxed()
    }

    fn has_forgetful_readers(&self) -> bool {
        false
    }
}

/// A term that begins now; `birth` is given when the lease began before.
fn begin(ttl: Duration, birth: Option<u64>) -> Result<(Expiry, Term), StoreError> {
    let now = Now::read()?;
    let term = Term::Until {
        id: 0,
        ttl,
        expires: Instant::now() + ttl,
    };
    let birth = birth.unwrap_or_else(|| now.birth());
    Ok((Expiry::after(&now, ttl, birth), term))
}
