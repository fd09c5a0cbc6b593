//! All samples, with what they were measured on: what `--json` writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use files::{Modes, write_atomically};
use serde::{Deserialize, Serialize};

use super::NetArgs;
use super::cores::Cores;
use super::family::Family;
use super::loads::{Figures, Generator, Load};
use super::paths::Path;
use super::variants::Variant;
use crate::bench::world;

/// Everybody may read figures.
const MODES: Modes = Modes {
    file: 0o644,
    directory: 0o755,
};

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
    pub(crate) repetitions: usize,
    pub(crate) warm_up_seconds: f64,
    /// What is compared on the same paths; the first is podwire as it comes.
    pub(crate) variants: Vec<Variant>,
    /// The client of each load, as it was first run.
    pub(crate) commands: BTreeMap<String, String>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) samples: Vec<Sample>,
}

/// What it was measured on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// As the processor calls itself.
    pub(crate) processor: Option<String>,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    /// Where loads were pinned to; not, if none.
    pub(crate) cores: Option<Cores>,
}

/// What programs say of themselves; none where there is no such program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) lab: String,
    pub(crate) netd: Option<String>,
    pub(crate) podwire: Option<String>,
    pub(crate) iperf3: Option<String>,
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
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: std::env::args().collect(),
            machine: Machine::this(cores)?,
            versions: Versions {
                lab: env!("CARGO_PKG_VERSION").to_owned(),
                netd: version(&bin_dir.join("netd")),
                podwire: version(&bin_dir.join("podwire")),
                iperf3: version(FilePath::new("iperf3")),
            },
            generator,
            repetitions: args.repetitions,
            warm_up_seconds: args.warm_up.as_secs_f64(),
            variants,
            commands: BTreeMap::new(),
            left_out: Vec::new(),
            samples: Vec::new(),
        })
    }

    /// Writes it to a file, in one line; who reads that sees the old one or this.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, file: &FilePath) -> Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        if is_special(file) {
            return fs::write(file, text).with_context(|| format!("write {}", file.display()));
        }
        // What a symbolic link leads to, not the link; a new file has one name.
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        Ok(write_atomically(&file, text.as_bytes(), MODES)?)
    }
}

/// Whether there is something that is no file, as /dev/stdout may be.
pub(super) fn is_special(file: &FilePath) -> bool {
    fs::metadata(file).is_ok_and(|found| !found.is_file())
}

impl Machine {
    fn this(cores: Option<Cores>) -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        let kernel = kernel.context("read the kernel's version")?;
        let processors = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        Ok(Self {
            processor: processor(&processors),
            processors: std::thread::available_parallelism()?.get(),
            kernel: kernel.trim().to_owned(),
            cores,
        })
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let mut lines = cpuinfo.lines();
    let line = lines.find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first line of what a program says of itself; none where there is no such program.
fn version(program: &FilePath) -> Option<String> {
    let mut program = world::command(program);
    said(program.arg("--version"))
}

/// What a plugin of another suite says when nobody asks anything (`CNI bridge plugin v1.1.1`).
pub(super) fn about_plugin(plugin: &FilePath) -> Option<String> {
    let mut plugin = world::command(plugin);
    said(plugin.env_remove("CNI_COMMAND"))
}

/// The first line on standard output, or else on standard error.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    said.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_first_that_has_a_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A B\n\nprocessor\t: 1\nmodel name\t: C\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("A B"));
        assert_eq!(processor("processor: 0\n"), None);
    }
}
