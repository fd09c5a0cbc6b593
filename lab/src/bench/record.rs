//! What `lab bench attach` and `lab bench scale` measure: every sample of each row, with what they were measured
//! on.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::ReferenceArgs;
use super::file::{self, Machine, Versions};

/// The form of the file; another one has another number.
pub(crate) const FORMAT: u64 = 1;

/// What `--json` of these benchmarks writes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`FORMAT`].
    pub(crate) format: u64,
    pub(crate) benchmark: Benchmark,
    /// When it began (RFC 3339).
    pub(crate) started: String,
    pub(crate) command: Vec<String>,
    pub(crate) machine: Machine,
    pub(crate) versions: Versions,
    /// What the plugins say they are that podwire is compared with.
    pub(crate) reference: Option<String>,
    /// How calls are made, for who reads the figures.
    pub(crate) method: String,
    pub(crate) rows: Vec<Row>,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Benchmark {
    Attach,
    Scale,
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attach => "attach",
            Self::Scale => "scale",
        })
    }
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    /// Of times and sizes.
    Less,
    /// Of what is done in a second.
    More,
}

/// One thing that was measured, of each side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What it stands below.
    pub(crate) section: String,
    pub(crate) what: String,
    /// Of how many it is, where the cost of their number is measured.
    pub(crate) number: Option<usize>,
    /// What is counted: `ms`.
    pub(crate) unit: String,
    pub(crate) better: Better,
    /// Those compared, by turns; the first is what the others are seen against.
    pub(crate) sides: Vec<Measured>,
}

/// The samples of a side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) side: String,
    /// In the row's unit, in the order of measuring.
    pub(crate) samples: Vec<f64>,
}

impl Record {
    /// Without rows.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(super) fn new(
        benchmark: Benchmark,
        bin_dir: &Path,
        reference: Option<&ReferenceArgs>,
        method: &str,
    ) -> Result<Self> {
        let about = |args: &ReferenceArgs| file::about_plugin(&args.reference.join("bridge"));
        Ok(Self {
            format: FORMAT,
            benchmark,
            started: file::now(),
            command: file::own_command()?,
            machine: Machine::this(None)?,
            versions: Versions::of(bin_dir),
            reference: reference.and_then(about),
            method: method.to_owned(),
            rows: Vec::new(),
        })
    }

    /// To the file, if there is one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, to: Option<&Path>) -> Result<()> {
        to.map_or(Ok(()), |to| file::write(self, to))
    }
}
