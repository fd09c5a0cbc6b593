//! Telling the commands of the other nodes, and keeping what `PostStartupCommand` started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{LeaseAttrs, Subnets};
use tokio::sync::watch;
use tokio::time::Instant;

use super::command::{Command, CommandError, Running, Unfinished, Variables, With};
use super::published;
use crate::health::{Finding, Part, Severity};
use crate::status::Status;

/// Nodes, and what they publish.
pub type Published = BTreeMap<Subnets, Arc<LeaseAttrs>>;

/// From a failure to the next try, which doubles up to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// `PostStartupCommand` has so long to do its work; one that still runs is a service.
const START: Duration = Duration::from_secs(10);

/// What `PostStartupCommand` left running: nothing, or itself. It ends with netd.
#[derive(Default)]
pub(super) struct Started(Option<Service>);

struct Service {
    command: Command,
    variables: Variables,
    running: Running,
}

impl Started {
    pub(super) async fn begin(
        command: Command,
        variables: Variables,
    ) -> Result<Self, CommandError> {
        let mut running = command.spawn(&variables, false, With::Netd)?;
        match tokio::time::timeout(START, running.end(None)).await {
            Ok(ended) => ended.map(|_| Self(None)),
            Err(_) => {
                tracing::info!(
                    "PostStartupCommand goes on running; it is started again if it ends"
                );
                Ok(Self(Some(Service {
                    command,
                    variables,
                    running,
                })))
            }
        }
    }

    /// Starts it again whenever it ends, for ever.
    pub(super) async fn keep(self) {
        let Some(mut service) = self.0 else {
            return std::future::pending().await;
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let ended = service.running.end(None).await;
            let how = ended.map_or_else(|error| crate::chain(&error), |_| "it ended".to_owned());
            if started.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tracing::warn!(how, ?pause, "PostStartupCommand ended, it is started again");
            service.running = loop {
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(2 * pause);
                match service.command.spawn(&service.variables, false, With::Netd) {
                    Ok(running) => break running,
                    Err(error) => tracing::warn!(error = crate::chain(&error), "not started again"),
                }
            };
        }
    }
}

/// Tells the commands of nodes that come, change and go, and tries again what failed, for ever. One after
/// the other, as flanneld does: a command may change a file that the next one changes.
pub(super) async fn keep(
    add: Option<Command>,
    remove: Option<Command>,
    told: watch::Receiver<Published>,
    status: Arc<Status>,
    unfinished: Unfinished,
) {
    let teller = Teller {
        add,
        remove,
        unfinished,
        known: BTreeMap::new(),
        failures: BTreeMap::new(),
        status,
    };
    teller.keep(told).await;
}

struct Teller {
    add: Option<Command>,
    remove: Option<Command>,
    unfinished: Unfinished,
    known: BTreeMap<Subnets, Known>,
    failures: BTreeMap<Subnets, Failure>,
    status: Arc<Status>,
}

/// What the commands have been told of a node.
struct Known {
    attrs: Arc<LeaseAttrs>,
    /// Or else the command failed, and may have done a part of its work.
    is_done: bool,
}

struct Failure {
    what: String,
    pause: Duration,
    due: Instant,
}

/// One thing to tell.
enum News {
    Came(Subnets, Arc<LeaseAttrs>),
    Gone(Subnets, Arc<LeaseAttrs>),
}

impl Teller {
    async fn keep(mut self, mut told: watch::Receiver<Published>) {
        loop {
            let wanted = told.borrow_and_update().clone();
            self.failures.retain(|subnets, _| {
                wanted.contains_key(subnets) || self.known.contains_key(subnets)
            });
            if let Some(news) = self.next(&wanted) {
                self.tell(news).await;
                continue;
            }
            self.report();
            let due = self.failures.values().map(|failure| failure.due).min();
            let retry = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = retry => {}
                changed = told.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
            }
        }
    }

    fn next(&self, wanted: &Published) -> Option<News> {
        let now = Instant::now();
        let is_due = |subnets: &Subnets| {
            let failure = self.failures.get(subnets);
            failure.is_none_or(|failure| failure.due <= now)
        };
        let mut gone = self
            .known
            .iter()
            .filter(|(subnets, _)| !wanted.contains_key(subnets));
        let gone = gone.find(|(subnets, _)| is_due(subnets));
        if let Some((subnets, known)) = gone {
            return Some(News::Gone(*subnets, Arc::clone(&known.attrs)));
        }
        let is_done = |subnets: &Subnets, attrs: &Arc<LeaseAttrs>| {
            let known = self.known.get(subnets);
            known.is_some_and(|known| known.is_done && known.attrs == *attrs)
        };
        let mut came = wanted
            .iter()
            .filter(|(subnets, attrs)| !is_done(subnets, attrs));
        let came = came.find(|(subnets, _)| is_due(subnets));
        came.map(|(subnets, attrs)| News::Came(*subnets, Arc::clone(attrs)))
    }

    async fn tell(&mut self, news: News) {
        let (command, subnets, attrs) = match &news {
            News::Came(subnets, attrs) => (&self.add, *subnets, attrs),
            News::Gone(subnets, attrs) => (&self.remove, *subnets, attrs),
        };
        let outcome = match command {
            Some(command) => run(command, &subnets, attrs, &self.unfinished)
                .await
                .map(drop),
            None => Ok(()),
        };
        match (news, &outcome) {
            // A command that never ran has done nothing that would have to be undone.
            (News::Came(..), Err(CommandError::Run { .. })) | (News::Gone(..), Err(_)) => {}
            (News::Came(subnets, attrs), outcome) => {
                let is_done = outcome.is_ok();
                self.known.insert(subnets, Known { attrs, is_done });
            }
            (News::Gone(subnets, _), Ok(())) => {
                self.known.remove(&subnets);
            }
        }
        match outcome {
            Ok(()) => drop(self.failures.remove(&subnets)),
            Err(error) => self.failed(subnets, &error),
        }
    }

    fn failed(&mut self, subnets: Subnets, error: &CommandError) {
        let what = crate::chain(error);
        let before = self.failures.get(&subnets).map(|failure| failure.pause);
        let pause = before.map_or(FIRST_PAUSE, |pause| LONGEST_PAUSE.min(2 * pause));
        tracing::warn!(%subnets, error = what, ?pause, "tried again");
        let due = Instant::now() + pause;
        self.failures.insert(subnets, Failure { what, pause, due });
    }

    fn report(&self) {
        let finding = |(subnets, failure): (&Subnets, &Failure)| {
            Finding::new(
                Severity::Degraded,
                subnets.to_string(),
                failure.what.clone(),
            )
        };
        self.status
            .report(Part::Commands, self.failures.iter().map(finding).collect());
    }
}

async fn run(
    command: &Command,
    subnets: &Subnets,
    attrs: &LeaseAttrs,
    unfinished: &Unfinished,
) -> Result<String, CommandError> {
    // What is no text is not told.
    let data = published(attrs.backend_data.as_ref()).ok().flatten();
    let (variables, input) = (Variables::of(subnets, attrs), data.unwrap_or_default());
    let output = command.run(&variables, Some(input), unfinished).await?;
    tracing::debug!(%subnets, output, "command ran");
    Ok(output)
}
