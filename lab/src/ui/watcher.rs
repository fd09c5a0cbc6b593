//! Looks at the lab while somebody wants to know, once for all of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Notify, watch};

use crate::keeper;
use crate::program::Programs;
use crate::state::LabDir;
use crate::watch::Gatherer;

/// What came of a look.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    Lab {
        /// A [`crate::watch::Snapshot`].
        json: Arc<str>,
        /// Not before the second look.
        has_rates: bool,
    },
    /// There is no lab to be seen, and why.
    Nothing(Arc<str>),
}

/// What was seen last; nothing while nobody looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Watcher {
    seen: watch::Sender<Option<Seen>>,
    wanted: Arc<Notify>,
}

/// One who looks.
#[derive(Debug)]
pub(super) struct Looker(watch::Receiver<Option<Seen>>);

impl Looker {
    /// The last look, if it has not been returned yet, else the next one; `None` when there will be none.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        loop {
            self.0.changed().await.ok()?;
            if let Some(seen) = &*self.0.borrow_and_update() {
                return Some(seen.clone());
            }
        }
    }
}

impl Watcher {
    pub(super) fn look(&self) -> Looker {
        let mut receiver = self.seen.subscribe();
        receiver.mark_changed();
        self.wanted.notify_one();
        Looker(receiver)
    }

    /// Does all the looking.
    ///
    /// # Errors
    /// A thread that looked has panicked.
    pub(super) async fn watch(
        self,
        dir: LabDir,
        programs: Programs,
        interval: Duration,
    ) -> Result<()> {
        loop {
            self.wanted.notified().await;
            // Rates are those since the look before: one of long ago would say nothing of now.
            let mut looking = Looking::new(&dir, &programs);
            while self.seen.receiver_count() > 0 {
                let look = tokio::task::spawn_blocking(move || {
                    let seen = looking.look();
                    (looking, seen)
                });
                let seen;
                (looking, seen) = look.await.context("look at the lab")?;
                self.seen.send_replace(Some(seen));
                tokio::time::sleep(interval).await;
            }
            self.seen.send_replace(None);
        }
    }
}

struct Looking {
    dir: LabDir,
    programs: Programs,
    gatherer: Gatherer,
    looks: u64,
}

impl Looking {
    fn new(dir: &LabDir, programs: &Programs) -> Self {
        Self {
            dir: dir.clone(),
            programs: programs.clone(),
            gatherer: Gatherer::new(dir.clone(), programs.clone()),
            looks: 0,
        }
    }

    fn look(&mut self) -> Seen {
        self.try_look().unwrap_or_else(|error| {
            // What comes in its place is another lab.
            *self = Self::new(&self.dir, &self.programs);
            Seen::Nothing(format!("{error:#}").into())
        })
    }

    fn try_look(&mut self) -> Result<Seen> {
        self.dir.lab()?;
        keeper::require(&self.dir)?;
        // A file may go between its name and its content.
        let snapshot = self.gatherer.look().or_else(|_| self.gatherer.look())?;
        self.looks += 1;
        Ok(Seen::Lab {
            json: serde_json::to_string(&snapshot)?.into(),
            has_rates: self.looks > 1,
        })
    }
}
