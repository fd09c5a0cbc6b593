//! The watch on a directory: inotify for changes, a timer for leases that end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::time::Instant;

use super::files::{Expiry, Files, Now, Stored, failure};
use crate::retry::sleep_until;
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
    ends: BTreeMap<String, Instant>,
}

/// An observer at work.
struct Watching {
    files: Arc<Files>,
    events: EventStream<Vec<u8>>,
    subnets: WatchDescriptor,
    ends: BTreeMap<String, Instant>,
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
    pub(super) fn note(&mut self, key: &str, expiry: Option<Expiry>, now: &Now) {
        note(&mut self.ends, key, expiry, now);
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
                () = sleep_until(end) => self.sweep().await,
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
            note(
                &mut self.ends,
                name,
                self.files.expiry(name)?,
                &Now::read()?,
            );
            return Ok(None);
        }
        let (expiry, lease) = match self.files.stored(name)? {
            Some(Stored { lease, expiry }) => (expiry, Some(lease)),
            // What a killed writer left is swept when it ends.
            None => (self.files.expiry(name)?, None),
        };
        note(&mut self.ends, name, expiry, &Now::read()?);
        Ok(Some(match lease {
            Some(Ok(record)) => Change::Put(record),
            Some(Err(malformed)) => Change::Malformed(malformed),
            None => Change::Delete(name.to_owned()),
        }))
    }

    /// Removes what has ended; the events of that come by inotify, as to everyone.
    async fn sweep(&mut self) {
        let now = Instant::now();
        if let Err(error) = self.remove_ended(now).await {
            tracing::warn!(%error, "leases that have ended cannot be removed");
            self.ends
                .values_mut()
                .filter(|end| **end <= now)
                .for_each(|end| *end = now + AGAIN);
        }
    }

    async fn remove_ended(&mut self, now: Instant) -> Result<(), StoreError> {
        let locked = self.files.locked().await?;
        let stamp = Now::read()?;
        locked.sweep(&stamp)?;
        let due = self.ends.iter().filter(|(_, end)| **end <= now);
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        // One of another boot lasts longer when the clock was set back meanwhile.
        for key in due {
            let expiry = locked.expiry(&key)?;
            note(&mut self.ends, &key, expiry, &stamp);
        }
        Ok(())
    }
}

fn note(ends: &mut BTreeMap<String, Instant>, key: &str, expiry: Option<Expiry>, now: &Now) {
    // What lasts beyond all time has no end.
    let end = expiry.and_then(|expiry| Instant::now().checked_add(expiry.left(now)));
    match end {
        Some(end) => ends.insert(key.to_owned(), end),
        None => ends.remove(key),
    };
}
