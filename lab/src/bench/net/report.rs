//! All samples, with what they were measured on: what `--json` writes.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::NetArgs;
use super::cores::Cores;
use super::family::Family;
use super::loads::{Figures, Generator, Load};
use super::paths::Path;
use super::variants::Variant;
use crate::bench::file::{Machine, Versions, now, own_command};

/// The form of the file; another one has another number. Before 2 all was over IPv4 and no file said so.
pub(crate) const FORMAT: u64 = 2;

/// What `--json` writes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub(crate) format: u64,
    /// When it began (RFC 3339).
    pub(crate) started: String,
    pub(crate) command: Vec<String>,
    pub(crate) machine: Machine,
    pub(crate) versions: Versions,
    /// Of streams.
    pub(crate) generator: Generator,
    /// Of TCP streams; files of before it could be chosen do not say.
    #[serde(default)]
    pub(crate) congestion_control: Option<String>,
    pub(crate) repetitions: usize,
    pub(crate) warm_up_seconds: f64,
    /// What is compared on the same paths; the first is podwire as it comes.
    pub(crate) variants: Vec<Variant>,
    /// The client of each load, as it was first run.
    pub(crate) commands: BTreeMap<String, String>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) samples: Vec<Sample>,
}

/// A path that cannot be had.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) path: Path,
    #[serde(default)]
    pub(crate) family: Family,
    /// The variant's name.
    pub(crate) variant: String,
    pub(crate) reason: String,
}

/// One measurement.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// From 1.
    pub(crate) round: usize,
    pub(crate) path: Path,
    #[serde(default)]
    pub(crate) family: Family,
    /// The variant's name.
    pub(crate) variant: String,
    /// Pods beside those that are measured, on each of the path's nodes; 0 where it has no pods.
    pub(crate) other_pods: usize,
    pub(crate) load: Load,
    /// When (RFC 3339).
    pub(crate) at: String,
    /// For how long the sender really sent.
    pub(crate) seconds: f64,
    pub(crate) figures: Figures,
    /// Of the whole machine, from the client's start until all that was sent has come.
    pub(crate) cpu_seconds: f64,
    /// Of data without headers; none where the load is not about it.
    pub(crate) cpu_seconds_per_gigabit: Option<f64>,
    /// Of the load `latency` some of the answers' times in the order of the questions, at even distances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) latencies_microseconds: Vec<f64>,
}

impl Report {
    /// Without samples.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(super) fn new(
        bin_dir: &FilePath,
        args: &NetArgs,
        generator: Generator,
        cores: Option<Cores>,
        variants: Vec<Variant>,
    ) -> Result<Self> {
        Ok(Self {
            format: FORMAT,
            started: now(),
            command: own_command()?,
            machine: Machine::this(cores)?,
            versions: Versions::of(bin_dir),
            generator,
            congestion_control: Some(args.congestion_control()?),
            repetitions: args.repetitions,
            warm_up_seconds: args.warm_up.as_secs_f64(),
            variants,
            commands: BTreeMap::new(),
            left_out: Vec::new(),
            samples: Vec::new(),
        })
    }
}
