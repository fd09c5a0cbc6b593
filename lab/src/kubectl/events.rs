//! `lab events`: what happened to pods, oldest first, as `kubectl get events` and `kubectl events` list it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use sandbox::Interrupt;
use serde::Serialize;

use super::age;
use super::args::EventsArgs;
use super::print;
use crate::cli::Output;
use crate::interrupt::sleep;
use crate::keeper;
use crate::output::{Table, escaped, warn};
use crate::pod::{Event, Pod};
use crate::state::{LabDir, Name};

/// How often pods are looked at with `--watch`.
const INTERVAL: Duration = Duration::from_millis(250);

/// An event with its pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Happening {
    pod: Name,
    #[serde(skip)]
    uid: String,
    #[serde(flatten)]
    event: Event,
}

/// Prints the events, and with `--watch` those to come until a signal comes.
///
/// # Errors
/// There is no such lab; a state file cannot be read.
pub(super) fn events(dir: &LabDir, args: &EventsArgs, interrupt: Interrupt) -> Result<()> {
    let pod = args.pod.as_ref();
    if !args.watch {
        let all = happenings(dir, pod)?;
        match args.output {
            Output::Table if all.is_empty() => warn("No events found"),
            output => print(&output.text(&all, || table(&all).to_string())?)?,
        }
        return keeper::warn_if_stopped(dir);
    }
    let mut seen = Seen::default();
    if args.output == Output::Table {
        print(&line(&HEADINGS.map(str::to_owned)))?;
    }
    while interrupt.received().is_none() {
        let all = happenings(dir, pod);
        dir.require_lasting()?;
        for happening in seen.news(all?) {
            let table = || line(&cells(&happening));
            print(&args.output.text_of_next(&happening, table)?)?;
        }
        sleep(interrupt, INTERVAL);
    }
    Ok(())
}

/// Those of all pods that there are, or of one, by their last time. One that is not there has none, as with kubectl:
/// with `--watch` it may come.
fn happenings(dir: &LabDir, of: Option<&Name>) -> Result<Vec<Happening>> {
    dir.lab()?;
    let mut all = Vec::new();
    let mut pods = Pod::all(dir)?;
    pods.retain(|pod| of.is_none_or(|name| pod.name == *name));
    for pod in pods {
        let events = pod.status(dir)?.events.into_iter();
        all.extend(events.map(|event| Happening {
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            event,
        }));
    }
    all.sort_by_key(|each| each.event.last_timestamp);
    Ok(all)
}

/// How often each event had happened when it was printed: by pod, reason and message.
#[derive(Default)]
struct Seen(HashMap<[String; 4], u32>);

impl Seen {
    /// Those that have not been printed, or have happened again since.
    fn news(&mut self, all: Vec<Happening>) -> Vec<Happening> {
        let mut known = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for each in all {
            let event = &each.event;
            let key = [
                each.pod.to_string(),
                each.uid.clone(),
                event.reason.clone(),
                event.message.clone(),
            ];
            let count = event.count;
            if known.remove(&key) != Some(count) {
                news.push(each);
            }
            self.0.insert(key, count);
        }
        news
    }
}

const HEADINGS: [&str; 5] = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];

fn table(all: &[Happening]) -> Table {
    let mut table = Table::new(&HEADINGS);
    for each in all {
        table.row(cells(each));
    }
    table
}

fn cells(happening: &Happening) -> [String; 5] {
    let event = &happening.event;
    [
        age::of_event(event),
        event.r#type.as_str().to_owned(),
        escaped(&event.reason),
        format!("pod/{}", happening.pod),
        escaped(&event.message),
    ]
}

/// Nobody knows how wide the cells to come are.
fn line([seen, severity, reason, object, message]: &[String; 5]) -> String {
    format!("{seen:<18}  {severity:<7}  {reason:<16}  {object:<20}  {message}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::pod::{Severity, Timestamp};

    #[test]
    fn what_happens_again_is_news_once() {
        let now = Timestamp::now();
        let happening = |message: &str, count| Happening {
            pod: "web".parse().unwrap(),
            uid: "1".to_owned(),
            event: Event {
                r#type: Severity::Normal,
                reason: "Started".to_owned(),
                message: message.to_owned(),
                first_timestamp: now,
                last_timestamp: now,
                count,
            },
        };
        let mut seen = Seen::default();
        let (a, b) = (vec![happening("a", 1)], vec![happening("b", 1)]);
        assert_eq!(seen.news(a.clone()), a);
        assert_eq!(seen.news([a, b.clone()].concat()), b);
        let again = vec![happening("a", 2)];
        assert_eq!(seen.news([b.clone(), again.clone()].concat()), again);
        assert_eq!(seen.news([b, again].concat()), []);
    }
}
