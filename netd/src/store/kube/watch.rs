//! The watch on all nodes. The server ends a watch now and then, which is no event: it is opened again
//! where it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use http_body_util::BodyExt as _;
use kube_client::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::api::{Api, Refusal, position};
use super::lock;
use super::node::Node;
use super::nodes::Nodes;
use crate::store::{Batch, Changes, Cursor, StoreError};

/// The server ends a watch after this time, and up to as much again, so that not all nodes come anew at
/// once.
const LASTS: u64 = 300;
/// A watch that gives nothing for so long is given up: bookmarks come about once a minute.
const SILENCE: Duration = Duration::from_secs(150);
/// A watch that ends sooner than this, and brought nothing, has failed.
const SHORT: Duration = Duration::from_secs(1);
/// Bytes of one event.
const EVENT: usize = 16 << 20;

/// Opens a watch from after `cursor`.
pub(super) async fn open(
    api: Arc<Api>,
    nodes: Arc<Mutex<Nodes>>,
    cursor: Cursor,
) -> Result<Changes, StoreError> {
    let mut watcher = Watcher {
        api,
        nodes,
        cursor,
        lines: None,
        fresh: None,
    };
    watcher.open().await?;
    let changes = stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        let batch = watcher.next().await;
        let next = batch.is_ok().then_some(watcher);
        Some((batch, next))
    });
    Ok(changes.boxed())
}

struct Watcher {
    api: Arc<Api>,
    nodes: Arc<Mutex<Nodes>>,
    cursor: Cursor,
    lines: Option<Lines>,
    /// When it was opened, unless it has brought something since.
    fresh: Option<Instant>,
}

/// An event as it comes.
#[derive(Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// A `Status` in an event.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

impl Watcher {
    async fn open(&mut self) -> Result<(), StoreError> {
        let seconds = LASTS + fastrand::u64(..LASTS);
        let body = self.api.watch_nodes(&self.cursor, seconds).await?;
        self.lines = Some(Lines::new(body));
        self.fresh = Some(Instant::now());
        Ok(())
    }

    /// What the next event brings.
    async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            let Some(lines) = &mut self.lines else {
                self.open().await?;
                continue;
            };
            match tokio::time::timeout(SILENCE, lines.next()).await {
                Ok(Ok(Some(line))) => {
                    self.fresh = None;
                    return self.read(&line);
                }
                Ok(Ok(None)) if self.fresh.is_some_and(|opened| opened.elapsed() < SHORT) => {
                    return Err(self.api.unreachable("it ended the watch at once".into()));
                }
                Ok(Ok(None)) => self.lines = None,
                Ok(Err(source)) => {
                    self.api.forget();
                    return Err(self.api.unreachable(source));
                }
                Err(_) => {
                    tracing::debug!("the watch on the nodes is silent: it is opened again");
                    self.api.forget();
                    self.lines = None;
                }
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Batch, StoreError> {
        // What cannot be read may be anything: only a list says what it was.
        let unreadable = |error: serde_json::Error| {
            tracing::warn!("an event of the watch on the nodes cannot be read: {error}");
            StoreError::Compacted {
                store: self.api.describe(),
            }
        };
        let event: Event<'_> = serde_json::from_slice(line).map_err(unreadable)?;
        if event.r#type == "ERROR" {
            let status: Status = serde_json::from_str(event.object.get()).map_err(unreadable)?;
            let refusal = Refusal::of_event(status.code, status.message);
            return Err(self.api.meaning("watch the nodes", refusal));
        }
        let node: Node = serde_json::from_str(event.object.get()).map_err(unreadable)?;
        if let Some(reached) = position(&node.metadata.resource_version) {
            self.cursor = reached;
        }
        let mut nodes = lock(&self.nodes);
        let changes = match event.r#type {
            "ADDED" | "MODIFIED" => nodes.put(&node),
            "DELETED" => nodes.removed(node.name()),
            // BOOKMARK, and what is not invented yet.
            _ => Vec::new(),
        };
        Ok(Batch {
            changes,
            cursor: Some(self.cursor.clone()),
        })
    }
}

/// The lines of a body.
struct Lines {
    body: Body,
    buffer: VecDeque<u8>,
    /// Bytes of the buffer that are known to hold no end of a line.
    looked: usize,
}

impl Lines {
    fn new(body: Body) -> Self {
        Self {
            body,
            buffer: VecDeque::new(),
            looked: 0,
        }
    }

    /// The next line; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        loop {
            let end = self
                .buffer
                .iter()
                .skip(self.looked)
                .position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line: Vec<u8> = self.buffer.drain(..=self.looked + end).collect();
                self.looked = 0;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            self.looked = self.buffer.len();
            if self.looked > EVENT {
                return Err("an event of the watch is larger than any node".into());
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend(data);
                    }
                }
            }
        }
    }
}
