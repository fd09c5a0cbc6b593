//! `lab bench`: podwire beside the reference plugins in one run, netd with thousands of leases, and what the
//! network's paths carry.
//!
//! Everything runs in network, mount and PID namespaces of its own, entered by executing this program
//! again under `unshare`: the machine's network and directories stay untouched, and no process is left.

mod at_once;
mod attach;
mod chain;
mod connections;
pub(crate) mod file;
mod host_local;
mod interface;
pub mod load;
pub(crate) mod measure;
pub(crate) mod net;
mod netd;
mod progress;
pub(crate) mod record;
mod scale;
mod suite;
mod version;
mod world;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::{CommandFactory, error::ErrorKind};

use suite::{REFERENCE, Suite};
use world::Side;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
    /// Directory with the podwire and netd executables [default: where lab lies]
    #[arg(long, global = true)]
    bin_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum BenchCommand {
    /// Pods attached and detached, one and several at a time, by turns with the reference plugins
    #[command(after_help = "Example: lab bench attach --json attach.json")]
    Attach(attach::AttachArgs),
    /// New connections to mapped ports and through masquerading, by turns with the reference plugins
    #[command(after_help = "Example: lab bench connections")]
    Connections(connections::ConnectionArgs),
    /// Throughput, packets, latency and connections over the paths between pods and nodes
    #[command(
        after_help = "Example: lab bench net --paths node,bridge,vxlan --loads tcp-1,latency --json net.json"
    )]
    Net(net::NetArgs),
    /// Start, memory and changes of a netd with thousands of leases in etcd
    #[command(after_help = "Example: lab bench netd")]
    Netd(netd::NetdArgs),
    /// What grows with the number of pods, of mapped ports and of leases, by turns with the reference plugins
    #[command(after_help = "Example: lab bench scale --only pods --pods 10,100 --json scale.json")]
    Scale(scale::ScaleArgs),
}

/// Two suites that are compared.
#[derive(Debug, clap::Args)]
struct ReferenceArgs {
    /// Directory with the reference plugins
    #[arg(long, default_value = "/usr/lib/cni")]
    reference: PathBuf,
}

impl ReferenceArgs {
    /// The reference, and podwire as it is installed.
    ///
    /// # Errors
    /// One is missing.
    fn suites(&self, bin_dir: &Path) -> Result<[Suite; 2]> {
        let reference = Suite::open(REFERENCE, &self.reference)?;
        let ours = Suite::install(suite::PODWIRE, &bin_dir.join("podwire"))?;
        Ok([reference, ours])
    }
}

fn at_least_one<T: FromStr + Default + PartialEq>(text: &str) -> Result<T> {
    match text.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => bail!("{text:?} is nothing to measure: give a number from 1"),
    }
}

/// Runs the benchmarks and prints their tables on stdout.
///
/// # Errors
/// When a program is missing, or a measured call fails: a benchmark of failures is none. When a signal came.
pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    let bin_dir = match &args.bin_dir {
        Some(dir) => dir.clone(),
        None => {
            let lab = crate::program::own_executable()?;
            lab.parent().context("lab lies in no directory")?.to_owned()
        }
    };
    match &args.command {
        BenchCommand::Attach(args) => args.require_sense(),
        BenchCommand::Net(args) => args.require_sense(),
        BenchCommand::Scale(args) => args.require_sense(),
        BenchCommand::Netd(args) => args.require_sense(),
        BenchCommand::Connections(_) => {}
    }
    if let Side::Ended(code) = world::enter()? {
        return Ok(code);
    }
    match &args.command {
        BenchCommand::Attach(args) => attach::run(&bin_dir, args)?,
        BenchCommand::Connections(args) => connections::run(&bin_dir, args)?,
        BenchCommand::Net(args) => net::run(&bin_dir, args)?,
        BenchCommand::Netd(args) => netd::run(&bin_dir, args)?,
        BenchCommand::Scale(args) => scale::run(&bin_dir, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends with a usage error of a benchmark whose arguments together have no sense.
fn refuse(benchmark: &str, problem: &anyhow::Error) -> ! {
    let mut cli = crate::cli::Cli::command();
    // With the usage of this command rather than that of the whole.
    cli.build();
    let bench = cli.find_subcommand("bench");
    let found = bench.and_then(|bench| bench.find_subcommand(benchmark));
    let mut found = found.unwrap_or(&cli).clone();
    found
        .error(ErrorKind::ValueValidation, format!("{problem:#}"))
        .exit()
}

fn require_distinct<T: PartialEq + Display>(option: &str, values: &[T]) -> Result<()> {
    for (at, value) in values.iter().enumerate() {
        ensure!(
            !values[..at].contains(value),
            "{value} is twice in {option}: give it once"
        );
    }
    Ok(())
}
