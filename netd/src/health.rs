//! How this node's pod network does, made from what the parts of netd find wrong.
//!
//! - **ready**: the lease is held, the devices are as wanted, the external interface is present,
//!   the firewall rules are in place.
//! - **degraded**: ready, but a peer is not served, an object fails or is in conflict, the store
//!   is out of reach for longer than a minute, or somebody fights over something of ours.
//! - **not ready**: one of the first is missing.
//!
//! Each part reports all that it finds wrong now, as a list of [`Finding`]s, whenever it has
//! looked: `status.report(Part::Device, findings)`; an empty list says that all is well. What is
//! in the list for the first time becomes a [`Problem`] with its *since*; what is no longer in it
//! has ended. Within a part a finding is known by its `object`, so a new text for the same object
//! goes on with the old *since*.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;

/// The answer in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Pods of this node cannot be relied on to reach others.
    #[default]
    NotReady,
    /// They can, but something is wrong.
    Degraded,
    /// All is well.
    Ready,
}

/// What a problem does to the [`Level`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing: somebody should know it.
    Notice,
    /// The node is degraded.
    Degraded,
    /// The node is not ready.
    NotReady,
}

/// Who finds problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The start, until it is complete.
    Start,
    /// The network configuration.
    Config,
    /// What the node itself has where the pods' network is.
    Network,
    /// The store.
    Store,
    /// How the store is reached, which may go wrong while it answers still.
    Access,
    /// What is in the store in the place of other nodes' leases.
    Leases,
    /// The own lease.
    Lease,
    /// Another node that writes the own lease.
    Fight,
    /// The external interface.
    Interface,
    /// The backend's devices.
    Device,
    /// The kernel, when it does not answer at all.
    Kernel,
    /// Routes, neighbours and FDB entries.
    Datapath,
    /// The other nodes.
    Peers,
    /// The commands of the backend extension.
    Commands,
    /// The program that carries the packets of the backend udp.
    Forwarder,
    /// The end of those that carried them before.
    Takeover,
    /// The firewall rules.
    Firewall,
    /// The probes of the paths to the peers.
    Probes,
}

/// One thing that is wrong, as a part finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, the same each time: a subnet, a device's name; may be empty.
    pub object: String,
    /// A sentence for people, the object included: what is wrong.
    pub what: String,
    /// What somebody can do about it; empty when nobody need do anything.
    pub remedy: String,
    /// The command that does it, if there is one that always does.
    pub command: String,
    /// What it does.
    pub severity: Severity,
    /// It does so only from this moment on, if it lasts; until then it is a notice.
    pub counts_from: Option<Instant>,
}

impl Finding {
    /// Something that is wrong from now on.
    pub fn new(severity: Severity, object: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            object: object.into(),
            what: what.into(),
            remedy: String::new(),
            command: String::new(),
            severity,
            counts_from: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: remedy.into(),
            ..self
        }
    }

    /// The same, with the command that mends it.
    #[must_use]
    pub fn command(self, command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            ..self
        }
    }

    /// What is wrong and what to do, in one line.
    fn sentence(&self) -> String {
        match (self.remedy.as_str(), self.command.as_str()) {
            ("", _) => self.what.clone(),
            (remedy, "") => format!("{}; {remedy}", self.what),
            (remedy, command) => format!("{}; {remedy}: {command}", self.what),
        }
    }

    /// The same, but a notice until `moment`.
    #[must_use]
    pub fn counting_from(self, moment: Instant) -> Self {
        Self {
            counts_from: Some(moment),
            ..self
        }
    }
}

/// A finding and how long it is there, as the pages print it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Who found it.
    pub part: Part,
    /// What it is about.
    pub object: String,
    /// The sentence.
    pub what: String,
    /// What to do about it; empty when nobody need do anything.
    #[serde(default)]
    pub remedy: String,
    /// The command that does it, if there is one that always does.
    #[serde(default)]
    pub command: String,
    /// What it does now.
    pub severity: Severity,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
    /// The same in seconds until now.
    pub seconds: u64,
}

/// What a report changed, sentences for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// New problems, and old ones with a new text.
    pub began: Vec<String>,
    /// Problems that ended, and how long they lasted.
    pub ended: Vec<(String, Duration)>,
}

#[derive(Clone, Debug)]
struct Known {
    finding: Finding,
    began: Stamp,
}

/// All problems that there are.
#[derive(Clone, Debug, Default)]
pub struct Health {
    known: BTreeMap<Part, BTreeMap<String, Known>>,
}

impl Health {
    /// Replaces what `part` found before.
    pub fn report(&mut self, part: Part, findings: Vec<Finding>, now: Instant) -> Turn {
        let before = self.known.remove(&part).unwrap_or_default();
        let mut turn = Turn::default();
        let mut after: BTreeMap<String, Known> = BTreeMap::new();
        for finding in findings {
            let known = before.get(&finding.object);
            if known.is_none_or(|known| known.finding.what != finding.what) {
                turn.began.push(finding.sentence());
            }
            let began = known.map_or_else(|| stamp(now), |known| known.began);
            let known = Known { finding, began };
            after.insert(known.finding.object.clone(), known);
        }
        for (object, known) in before {
            if !after.contains_key(&object) {
                let lasted = now.saturating_duration_since(known.began.instant);
                turn.ended.push((known.finding.what, lasted));
            }
        }
        if !after.is_empty() {
            self.known.insert(part, after);
        }
        turn
    }

    /// The answer at `now`.
    pub fn level(&self, now: Instant) -> Level {
        let worst = self.all().map(|(_, known)| known.severity(now)).max();
        match worst {
            Some(Severity::NotReady) => Level::NotReady,
            Some(Severity::Degraded) => Level::Degraded,
            Some(Severity::Notice) | None => Level::Ready,
        }
    }

    /// The problems, the worst first, and at most `limit` of each part.
    pub fn problems(&self, now: Instant, limit: usize) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self
            .known
            .iter()
            .flat_map(|(part, known)| {
                let listed = known.values().take(limit);
                listed.map(|known| known.problem(*part, &stamp(now)))
            })
            .collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        problems
    }

    /// How many problems are of each severity: notices, degraded, not ready.
    pub fn count(&self, now: Instant, severity: Severity) -> usize {
        self.all()
            .filter(|(_, known)| known.severity(now) == severity)
            .count()
    }

    fn all(&self) -> impl Iterator<Item = (Part, &Known)> {
        let of_part = |(part, known): (&Part, _)| {
            let part = *part;
            let known: &BTreeMap<String, Known> = known;
            known.values().map(move |known| (part, known))
        };
        self.known.iter().flat_map(of_part)
    }
}

/// That moment, which is about now.
fn stamp(instant: Instant) -> Stamp {
    Stamp {
        instant,
        ..Stamp::now()
    }
}

impl Known {
    fn severity(&self, now: Instant) -> Severity {
        match self.finding.counts_from {
            Some(moment) if now < moment => Severity::Notice,
            _ => self.finding.severity,
        }
    }

    fn problem(&self, part: Part, now: &Stamp) -> Problem {
        Problem {
            part,
            object: self.finding.object.clone(),
            what: self.finding.what.clone(),
            remedy: self.finding.remedy.clone(),
            command: self.finding.command.clone(),
            severity: self.severity(now.instant),
            since: self.began.text(now),
            seconds: self.began.seconds(now),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "not ready",
            Self::Degraded => "degraded",
            Self::Ready => "ready",
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notice => "notice",
            Self::Degraded => "degraded",
            Self::NotReady => "not ready",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasting = humantime::format_duration(Duration::from_secs(self.seconds));
        write!(f, "{} (since {}, {lasting})", self.what, self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degraded(object: &str, what: &str) -> Finding {
        Finding::new(Severity::Degraded, object, what)
    }

    #[test]
    fn the_worst_problem_decides() {
        let now = Instant::now();
        let finding = |severity| Finding::new(severity, "x", "x is wrong");
        for (severities, level) in [
            (&[][..], Level::Ready),
            (&[Severity::Notice], Level::Ready),
            (&[Severity::Notice, Severity::Degraded], Level::Degraded),
            (&[Severity::NotReady, Severity::Degraded], Level::NotReady),
        ] {
            let mut health = Health::default();
            for (part, severity) in [Part::Peers, Part::Device].into_iter().zip(severities) {
                health.report(part, vec![finding(*severity)], now);
            }
            assert_eq!(health.level(now), level, "{severities:?}");
        }
    }

    #[test]
    fn a_problem_begins_once_and_keeps_its_since() {
        let start = Instant::now();
        let mut health = Health::default();
        let turn = health.report(Part::Peers, vec![degraded("a", "a is bad")], start);
        assert_eq!(turn.began, ["a is bad"]);
        let later = start + Duration::from_secs(90);
        let findings = vec![degraded("a", "a is worse"), degraded("b", "b is bad")];
        let turn = health.report(Part::Peers, findings.clone(), later);
        assert_eq!(turn.began, ["a is worse", "b is bad"]);
        assert_eq!(
            health.report(Part::Peers, findings, later),
            Turn::default(),
            "nothing new"
        );
        let seconds: Vec<u64> = health
            .problems(later, 9)
            .iter()
            .map(|problem| problem.seconds)
            .collect();
        assert_eq!(seconds, [90, 0]);
        let text = health.problems(later, 1)[0].to_string();
        assert!(text.starts_with("a is worse (since 2"), "{text}");
        assert!(text.ends_with("Z, 1m 30s)"), "{text}");
        let turn = health.report(Part::Peers, vec![degraded("b", "b is bad")], later);
        let ended = ("a is worse".to_owned(), Duration::from_secs(90));
        assert_eq!(turn.ended, [ended]);
    }

    #[test]
    fn a_part_speaks_for_itself_alone() {
        let now = Instant::now();
        let mut health = Health::default();
        health.report(Part::Peers, vec![degraded("a", "a")], now);
        health.report(Part::Firewall, Vec::new(), now);
        assert_eq!(health.level(now), Level::Degraded);
        health.report(Part::Peers, Vec::new(), now);
        assert_eq!(health.level(now), Level::Ready);
    }

    #[test]
    fn a_problem_counts_when_its_time_has_come() {
        let start = Instant::now();
        let minute = start + Duration::from_secs(60);
        let mut health = Health::default();
        let finding = degraded("", "the store is out of reach").counting_from(minute);
        health.report(Part::Store, vec![finding], start);
        assert_eq!(health.level(start), Level::Ready);
        assert_eq!(health.problems(start, 9)[0].severity, Severity::Notice);
        assert_eq!(health.level(minute), Level::Degraded);
        assert_eq!(health.count(minute, Severity::Degraded), 1);
    }
}
