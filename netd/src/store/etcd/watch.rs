//! The watch on all leases.

use etcd_client::{Error, Event, EventType, WatchOptions, WatchResponse, WatchStream};
use futures::StreamExt as _;
use futures::stream;

use super::connection::unreachable;
use super::keys::Keys;
use super::{EtcdStore, signed, unsigned};
use crate::store::{Batch, Change, Changes, Cursor, Store as _, StoreError};

/// The largest message that is read: a watch that was away for long gets many changes in one.
const MAX_MESSAGE: usize = 64 << 20;

impl EtcdStore {
    /// Watches `<prefix>/subnets/`, with its slash, from after `cursor`.
    ///
    /// What was at `cursor` itself is asked for, too, and left out: etcd of before 2024's autumn forgets a removal at
    /// the very revision to which its history is compacted (etcd-io/etcd#18274), and a watch that starts
    /// there misses it without a word. One that starts before is told of the compaction.
    pub(super) async fn watch_from(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        let Cursor::Number(after) = cursor else {
            // Nothing that this store ever gave: its own history starts with a list.
            let store = self.describe();
            return Err(StoreError::Compacted { store });
        };
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(signed(after.max(1)))
            .with_progress_notify();
        // The first message says that the watch exists; events follow it on the same stream.
        let (first, watch) = self
            .connection
            .call("watch the leases", |client| {
                let options = options.clone();
                async move {
                    let mut client = client.watch_client().max_decoding_message_size(MAX_MESSAGE);
                    let mut watch = client
                        .watch(self.keys.subnets.as_str(), Some(options))
                        .await?;
                    Ok((watch.message().await?, watch))
                }
            })
            .await?;
        let reader = Reader {
            keys: self.keys.clone(),
            store: self.describe(),
            after,
        };
        let first = first.ok_or_else(|| reader.closed())?;
        reader.batch(&first)?;
        let now = first
            .header()
            .map_or(0, |header| unsigned(header.revision()));
        if now < after {
            // A store that is younger than what was read from it was restored from a backup.
            return Err(StoreError::Compacted {
                store: reader.store,
            });
        }
        Ok(changes(watch, reader))
    }
}

/// Reads what a watch sends.
struct Reader {
    keys: Keys,
    store: String,
    /// What happened up to here is known.
    after: u64,
}

fn changes(watch: WatchStream, reader: Reader) -> Changes {
    stream::unfold(Some((watch, reader)), |state| async move {
        let (mut watch, reader) = state?;
        let batch = match watch.message().await {
            Ok(Some(response)) => reader.batch(&response),
            Ok(None) => Err(reader.closed()),
            Err(error) => Err(unreachable(&reader.store, error)),
        };
        let next = batch.is_ok().then_some((watch, reader));
        Some((batch, next))
    })
    .boxed()
}

impl Reader {
    fn batch(&self, response: &WatchResponse) -> Result<Batch, StoreError> {
        if response.canceled() {
            return Err(self.canceled(response));
        }
        let is_new = |event: &&Event| {
            let revision = event.kv().map_or(0, |kv| unsigned(kv.mod_revision()));
            revision > self.after
        };
        let events = response.events().iter().filter(is_new);
        let changes: Vec<_> = events.filter_map(|event| self.change(event)).collect();
        Ok(Batch {
            changes,
            cursor: cursor(response),
        })
    }

    fn change(&self, event: &Event) -> Option<Change> {
        let kv = event.kv()?;
        Some(match event.event_type() {
            EventType::Put => self
                .keys
                .record(kv)
                .map_or_else(Change::Malformed, Change::Put),
            EventType::Delete => Change::Delete(self.keys.name(kv)),
        })
    }

    fn canceled(&self, response: &WatchResponse) -> StoreError {
        if response.compact_revision() != 0 {
            return StoreError::Compacted {
                store: self.store.clone(),
            };
        }
        let reason = Error::WatchError(response.cancel_reason().to_owned());
        unreachable(&self.store, reason)
    }

    fn closed(&self) -> StoreError {
        unreachable(
            &self.store,
            Error::WatchError("the server closed the watch".to_owned()),
        )
    }
}

/// How far a response brings the watch. The header alone says it only for a response without
/// events: a watch that catches up gets the newest revision in the header of older events.
fn cursor(response: &WatchResponse) -> Option<Cursor> {
    let of_events = response
        .events()
        .iter()
        .filter_map(Event::kv)
        .map(|kv| kv.mod_revision());
    let newest = of_events.max().or_else(|| {
        let header = response.header().filter(|_| !response.created())?;
        Some(header.revision())
    });
    newest.map(|revision| Cursor::Number(unsigned(revision)))
}
