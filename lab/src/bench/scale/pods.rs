//! ADD and DEL on a node that has many pods already.

use std::time::Duration;

use anyhow::Result;

use crate::bench::at_once::at_a_time;
use crate::bench::chain::Chain;
use crate::bench::connections::round;
use crate::bench::measure::{median, sides};
use crate::bench::net::said;
use crate::bench::netd::wait_for;
use crate::bench::progress::{Progress, tell};
use crate::bench::record::{Better, Row};
use crate::bench::suite::{Call, Suite, compare};
use crate::bench::world::{self, command};
use crate::report::numbers::digits;

/// Pods that are attached and detached in a round.
const CALLS: usize = 5;
/// Calls at the same time while the node fills, which is not measured.
const FILLING: usize = 4;

/// What attaches them.
#[derive(Clone, Copy)]
enum Kind {
    MasqueradedBridge,
    Chain,
}

const KINDS: [Kind; 2] = [Kind::MasqueradedBridge, Kind::Chain];

/// By turns, at each of these numbers, of which the least comes first.
///
/// # Errors
/// A plugin fails.
pub(super) fn measure(
    suites: [&Suite; 2],
    levels: &[usize],
    repetitions: usize,
) -> Result<Vec<Row>> {
    let most = levels.last().copied().unwrap_or_default();
    tell(&format!("pods: making {}", most + CALLS));
    let pods: Vec<String> = (0..most + CALLS)
        .map(|n| world::add_pod(&format!("scale{n}")))
        .collect::<Result<_>>()?;
    let rounds = levels.len() * (repetitions + 1) * CALLS;
    let mut progress = Progress::start(KINDS.len() * (most + rounds), "PODS ON THE NODE");
    let mut rows = Vec::new();
    for kind in KINDS {
        let nodes = Nodes {
            kind,
            suites,
            pods: &pods,
        };
        rows.extend(nodes.measure(levels, repetitions, &mut progress)?);
    }
    Ok(rows)
}

/// A node of each suite, and the pods, which both attach under names of their own.
struct Nodes<'a> {
    kind: Kind,
    suites: [&'a Suite; 2],
    pods: &'a [String],
}

impl Nodes<'_> {
    fn measure(
        &self,
        levels: &[usize],
        repetitions: usize,
        progress: &mut Progress,
    ) -> Result<Vec<Row>> {
        for suite in self.suites {
            world::add_pod(&self.host(suite))?;
        }
        let (mut attached, mut rows) = (0, Vec::new());
        for &level in levels {
            self.fill(attached..level)?;
            let what = format!("{level}, {}: they are there", self.kind.label());
            progress.tell_of(level - attached, &what);
            attached = level;
            rows.extend(self.rounds(level, repetitions, progress)?);
        }
        self.remove()?;
        rows.sort_by(|one: &Row, other| one.what.cmp(&other.what));
        Ok(rows)
    }

    fn fill(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        for suite in self.suites {
            let mut numbers = numbers.clone();
            // Alone: what all pods share, as the chain CNI-ADMIN, the reference plugins fail to make twice at once.
            if let Some(first) = numbers.next() {
                self.call(suite, "ADD", first)?;
            }
            at_a_time(FILLING, |number| {
                let number = numbers.start + number;
                (number < numbers.end).then(|| self.call(suite, "ADD", number))
            })?;
        }
        Ok(())
    }

    /// ADD of some more pods, and DEL of them.
    fn rounds(
        &self,
        level: usize,
        repetitions: usize,
        progress: &mut Progress,
    ) -> Result<Vec<Row>> {
        let mut samples = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        for repetition in 0..=repetitions {
            let mut line = format!("{level}, {}, {}:", self.kind.label(), round(repetition));
            for (command, samples) in COMMANDS.into_iter().zip(&mut samples) {
                let times = compare(self.suites, |suite, number| {
                    (number < CALLS).then(|| self.call(suite, command, level + number))
                })?;
                for ((suite, samples), mut times) in self.suites.iter().zip(samples).zip(times) {
                    let middle = digits(median(&mut times.clone()));
                    line += &format!(" {command} {middle} ms ({})", suite.name);
                    if repetition > 0 {
                        samples.append(&mut times);
                    }
                }
            }
            progress.tell_of(CALLS, &line);
        }
        let rows = COMMANDS.into_iter().zip(samples);
        Ok(rows
            .map(|(command, samples)| self.row(command, level, &samples))
            .collect())
    }

    fn row(&self, command: &str, level: usize, samples: &[Vec<f64>; 2]) -> Row {
        Row {
            section: "pods on the node".to_owned(),
            what: format!("{command} {}", self.kind.label()),
            number: Some(level),
            unit: "ms".to_owned(),
            better: Better::Less,
            sides: sides(samples),
        }
    }

    fn host(&self, suite: &Suite) -> String {
        format!("node-{}-{}", self.kind.name(), suite.name)
    }

    fn call(&self, suite: &Suite, command: &str, number: usize) -> Result<Duration> {
        let (host, netns) = (self.host(suite), &self.pods[number]);
        match self.kind {
            Kind::Chain => Chain::of(suite, number, netns, Some(&host)).run(command),
            Kind::MasqueradedBridge => suite.time(&Call {
                plugin: "bridge",
                command,
                container: &format!("bench{number}"),
                netns,
                config: &suite.bridge_config(true),
                host: Some(&host),
            }),
        }
    }

    /// With them go the pods' links, which the next kind's are called like.
    fn remove(&self) -> Result<()> {
        for suite in self.suites {
            world::run("ip", &["netns", "delete", &self.host(suite)])?;
        }
        for suite in self.suites {
            let link = ["-n", "scale0", "link", "show", suite.ifname()];
            wait_for("a node to be gone", || {
                Ok(said(command("ip").args(link)).is_err())
            })?;
        }
        Ok(())
    }
}

const COMMANDS: [&str; 2] = ["ADD", "DEL"];

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::MasqueradedBridge => "bridge with ipMasq + host-local",
            Self::Chain => "chain of five",
        }
    }

    /// Of its nodes.
    fn name(self) -> &'static str {
        match self {
            Self::MasqueradedBridge => "bridge",
            Self::Chain => "chain",
        }
    }
}
