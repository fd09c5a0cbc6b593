//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, builder::RangedU64ValueParser};

use crate::{actor, report::Format};

/// A conformance suite for CNI plugins.
///
/// Exit status: 0 all MUST and COMPAT cases pass, 1 some failed, 2 it could not run.
#[derive(Parser)]
#[command(name = "spec-tests", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Judge the plugins in a directory
    Run(RunArgs),
    /// List the cases
    List {
        /// Only cases whose id matches; `*` stands for any text; may be repeated
        #[arg(long, value_name = "GLOB")]
        case: Vec<String>,
        /// Form of the list
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Print one case: the rule, its source, and the commands that repeat it by hand
    Show {
        /// The case's id, as `list` prints it
        case: String,
        /// Directory with a plugin to try it on [default: /opt/cni/bin, else /usr/lib/cni]
        #[arg(long, value_name = "DIR")]
        plugin_dir: Option<PathBuf>,
    },
    /// Show what is different between two reports of `run --output json`; exit 1 when anything is
    Compare {
        /// The report to compare with
        before: PathBuf,
        /// The new report
        after: PathBuf,
    },
    /// Show for every case which broken stubs fail it; exit 1 when a case is not proven
    Prove(ProveArgs),
    /// Run one case in the current world (used by `run`)
    #[command(hide = true)]
    Case { task: String },
    /// Act as a plugin of the suite's own (its script runs this)
    #[command(hide = true, name = actor::SUBCOMMAND)]
    Answer { script: PathBuf },
}

/// What `run` and `prove` share.
#[derive(clap::Args)]
pub(crate) struct CasesArgs {
    /// Only cases whose id matches; `*` stands for any text; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub case: Vec<String>,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub jobs: usize,
    /// A case that takes longer has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub time_limit: u64,
    /// TOML file with failures that are known, each with its reason
    #[arg(long, value_name = "FILE")]
    pub deviations: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// Directory with the plugins' executables
    #[arg(long, value_name = "DIR")]
    pub plugin_dir: PathBuf,
    /// Judge only this plugin; may be repeated
    #[arg(long, value_name = "NAME")]
    pub plugin: Vec<String>,
    /// Only this version of the specification; may be repeated
    #[arg(long, value_name = "V")]
    pub version: Vec<String>,
    /// The plugin's configuration, for one that the suite does not know, or in place of the
    /// suite's own; may be repeated. Judged from the file's `cniVersion` on
    #[arg(long, value_name = "NAME=FILE")]
    pub config: Vec<String>,
    #[command(flatten)]
    pub cases: CasesArgs,
    /// Release that the plugins are of, for a file about several [default: its first]
    #[arg(long, value_name = "RELEASE", requires = "deviations")]
    pub release: Option<String>,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Keep the worlds of failed cases, and say how to enter them
    #[arg(long)]
    pub keep: bool,
    /// Instead: what one of the two directories' plugins added, the other checks and deletes
    #[arg(long, value_name = "OTHER_DIR")]
    pub takeover: Option<PathBuf>,
    /// Also the cases that run plugins in a chain, as a runtime does
    #[arg(long)]
    pub runtime_cases: bool,
    /// Say on standard error how each case ended, as soon as it has
    #[arg(long)]
    pub progress: bool,
}

#[derive(clap::Args)]
pub(crate) struct ProveArgs {
    /// Directory with real plugins; a case is proven on the first that passes it; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    pub plugin_dir: Vec<PathBuf>,
    #[command(flatten)]
    pub cases: CasesArgs,
}
