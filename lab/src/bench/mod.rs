//! `lab bench`: podwire beside the reference plugins in one run, netd with thousands of leases; `lab bench net`:
//! what the network's paths carry.
//!
//! Everything runs in network, mount and PID namespaces of its own, entered by executing this program
//! again under `unshare`: the machine's network and directories stay untouched, and no process is left.

mod at_once;
mod chain;
mod connections;
mod host_local;
mod interface;
pub mod load;
mod measure;
pub(crate) mod net;
mod netd;
mod suite;
mod version;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use measure::{Better, Table};
use suite::{REFERENCE, Suite};
use world::Side;

/// What to measure, and on what.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    /// Another benchmark than that of plugins and netd
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// Pods per measurement; figures are medians over them
    #[arg(long, default_value_t = 50, value_parser = at_least_one::<usize>)]
    pods: usize,
    /// Directory with the reference plugins
    #[arg(long, default_value = "/usr/lib/cni")]
    reference: PathBuf,
    /// Directory with the podwire and netd executables [default: where lab lies]
    #[arg(long, global = true)]
    bin_dir: Option<PathBuf>,
    /// Leases that netd finds in etcd
    #[arg(long, default_value_t = 5000, value_parser = at_least_one::<u32>)]
    leases: u32,
    /// For how long those leases change, 100 times a second; 0s leaves it out
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    change_time: Duration,
    /// Pods with a mapped port on the node whose connections are counted, a row for each number
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 5_000], value_parser = mapped_pods)]
    mapped_pods: Vec<usize>,
    /// Samples of connections, 0.2 s each; figures are medians over them
    #[arg(long, default_value_t = 25, value_parser = at_least_one::<usize>)]
    samples: usize,
    /// What to run
    #[arg(long, value_enum, default_value_t = Subject::All)]
    only: Subject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    All,
    Plugins,
    Connections,
    Netd,
}

#[derive(Debug, clap::Subcommand)]
enum BenchCommand {
    /// Throughput, packets, latency and connections over the paths between pods and nodes
    Net(net::NetArgs),
}

fn at_least_one<T: FromStr + Default + PartialEq>(text: &str) -> Result<T> {
    match text.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => bail!("{text:?} is nothing to measure: give a number from 1"),
    }
}

fn mapped_pods(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(number @ 1..=connections::MOST_PODS) => Ok(number),
        _ => bail!("{text:?} mapped pods: give 1 to {}", connections::MOST_PODS),
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
    if let Some(BenchCommand::Net(args)) = &args.command {
        net::require_sense(args);
    }
    if let Side::Ended(code) = world::enter()? {
        return Ok(code);
    }
    match &args.command {
        Some(BenchCommand::Net(args)) => net::run(&bin_dir, args)?,
        None => compare(args, &bin_dir)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Podwire beside the reference, and netd.
fn compare(args: &BenchArgs, bin_dir: &Path) -> Result<()> {
    let is_wanted = |subject| args.only == Subject::All || args.only == subject;
    if is_wanted(Subject::Plugins) || is_wanted(Subject::Connections) {
        let reference = Suite::open(REFERENCE, &args.reference)?;
        let ours = Suite::install("podwire", &bin_dir.join("podwire"))?;
        let suites = [&reference, &ours];
        if is_wanted(Subject::Plugins) {
            plugins(args, suites)?;
        }
        if is_wanted(Subject::Connections) {
            connections::run(suites, &args.mapped_pods, args.samples)?;
        }
    }
    if is_wanted(Subject::Netd) {
        netd::run(bin_dir, args.leases, args.change_time)?;
    }
    Ok(())
}

fn plugins(args: &BenchArgs, suites: [&Suite; 2]) -> Result<()> {
    let mut times = Table::new(
        &format!("median of {} pods, whole process", args.pods),
        "ms",
        Better::Less,
    );
    version::measure(&mut times, suites, args.pods)?;
    interface::measure(&mut times, suites, args.pods)?;
    chain::measure(&mut times, suites, args.pods)?;
    host_local::measure(&mut times, suites, args.pods)?;
    times.print();

    let mut sizes = Table::new("size", "MB", Better::Less);
    sizes.row(
        "peak memory of one ADD, bridge",
        suites.map(Suite::peak_memory_of_add),
    )?;
    sizes.row("plugins on disk", suites.map(Suite::size_on_disk))?;
    sizes.print();
    Ok(())
}
