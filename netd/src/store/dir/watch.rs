//! The watch on a directory: inotify for changes, a timer for leases that end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::stream;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};

use super::files::{Expiry, Files, failure};
use crate::store::{Batch, Change, Changes, StoreError};

/// Room for some dozens of events in one read; a name can take 255 bytes.
const BUFFER: usize = 8192;
/// A sweep that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Sees every change from its creation on.
#[derive(Debug)]
pub(super) struct Observer {
    inotify: Inotify,
    subnets: WatchDescriptor,
    /// When the leases end.
    ends: BTreeMap<String, SystemTime>,
}

/// An observer at work.
struct Watching {
    files: Arc<Files>,
    events: EventStream<Vec<u8>>,
    subnets: WatchDescriptor,
    ends: BTreeMap<String, SystemTime>,
}

impl Observer {
    pub(super) fn new(files: &Files) -> Result<Self, StoreError> {
        let inotify = Inotify::init().map_err(failure("watch", &files.root))?;
        let changes = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ONLYDIR;
        let add = |dir: &Path| {
            inotify
                .watches()
                .add(dir, changes)
                .map_err(failure("watch", dir))
        };
        let subnets = add(&files.subnets)?;
        add(&files.expiry)?;
        Ok(Self {
            inotify,
            subnets,
            ends: BTreeMap::new(),
        })
    }

    /// Remembers when a listed lease ends.
    pub(super) fn note(&mut self, key: &str, expiry: Option<Expiry>) {
        note(&mut self.ends, key, expiry);
    }

    /// The changes from here on.
    pub(super) fn changes(self, files: Arc<Files>) -> Result<Changes, StoreError> {
        let events = self.inotify.into_event_stream(vec![0; BUFFER]);
        let events = events.map_err(failure("watch", &files.root))?;
        let watching = Watching {
            files,
            events,
            subnets: self.subnets,
            ends: self.ends,
        };
        Ok(stream::unfold(Some(watching), |state| async move {
            let mut watching = state?;
            let batch = watching.next().await;
            let next = batch.is_ok().then_some(watching);
            Some((batch, next))
        })
        .boxed())
    }
}

impl Watching {
    /// Waits for something to happen; sweeps when a lease ends.
    async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            let end = self.ends.values().min().copied();
            tokio::select! {
                event = self.events.next() => return self.batch(event),
                () = until(end) => self.sweep().await,
            }
        }
    }

    /// All events that can be had without waiting, as one batch.
    fn batch(&mut self, first: Option<io::Result<EventOwned>>) -> Result<Batch, StoreError> {
        let mut changes = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            let event = event.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
            let event = event.map_err(failure("watch", &self.files.root))?;
            changes.extend(self.change(event)?);
            next = futures::FutureExt::now_or_never(self.events.next());
        }
        Ok(Batch {
            changes,
            cursor: None,
        })
    }

    fn change(&mut self, event: EventOwned) -> Result<Option<Change>, StoreError> {
        if event
            .mask
            .intersects(EventMask::Q_OVERFLOW | EventMask::IGNORED | EventMask::UNMOUNT)
        {
            // Events were lost, or a directory is gone: only a new list can tell.
            return Err(StoreError::Compacted {
                store: self.files.describe(),
            });
        }
        let Some(name) = event.name.as_ref().and_then(|name| name.to_str()) else {
            return Ok(None);
        };
        if name.starts_with('.') {
            return Ok(None);
        }
        if event.wd != self.subnets {
            note(&mut self.ends, name, self.files.expiry(name)?);
            return Ok(None);
        }
        let stored = self.files.stored(name)?;
        let expiry = match &stored {
            Some(stored) => stored.expiry,
            // What a killed writer left is swept when it ends.
            None => self.files.expiry(name)?,
        };
        note(&mut self.ends, name, expiry);
        Ok(Some(match stored.map(|stored| stored.lease) {
            Some(Ok(record)) => Change::Put(record),
            Some(Err(malformed)) => Change::Malformed(malformed),
            None => Change::Delete(name.to_owned()),
        }))
    }

    /// Removes what has ended; the events of that come by inotify, as to everyone.
    async fn sweep(&mut self) {
        let now = SystemTime::now();
        let swept = match self.files.locked().await {
            Ok(locked) => locked.sweep(now),
            Err(error) => Err(error),
        };
        match swept {
            Ok(()) => self.ends.retain(|_, end| *end > now),
            Err(error) => {
                tracing::warn!(%error, "leases that have ended cannot be removed");
                self.ends
                    .values_mut()
                    .filter(|end| **end <= now)
                    .for_each(|end| *end = now + AGAIN);
            }
        }
    }
}

fn note(ends: &mut BTreeMap<String, SystemTime>, key: &str, expiry: Option<Expiry>) {
    match expiry {
        Some(expiry) => ends.insert(key.to_owned(), expiry.at),
        None => ends.remove(key),
    };
}

/// Sleeps until a moment of the wall clock; for ever without one.
async fn until(end: Option<SystemTime>) {
    match end {
        Some(end) => {
            tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await
        }
        None => std::future::pending().await,
    }
}
