//! `lab bench attach`: calls of plugins beside the reference's, and what they take.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::measure::Table;
use super::record::{Benchmark, Better, Record, Row};
use super::suite::Suite;
use super::{
    ReferenceArgs, at_least_one, at_once, chain, file, host_local, interface, refuse,
    require_distinct, version,
};

/// For who reads the figures.
const METHOD: &str = "Each call is a program that is started, from its start to its end, and is followed by a pause of \
    30 ms. Both suites take turns with every pod; all pods are attached before the first is detached.";

/// How many pods.
#[derive(Debug, clap::Args)]
pub(super) struct AttachArgs {
    /// Pods per measurement
    #[arg(long, default_value_t = 50, value_parser = at_least_one::<usize>)]
    pods: usize,
    /// How many pods are attached, and then detached, at a time; rows for each number
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32], value_parser = at_least_one::<usize>)]
    at_once: Vec<usize>,
    /// Where to write every sample, with the machine and the versions
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    reference: ReferenceArgs,
}

impl AttachArgs {
    /// Ends with a usage error when the arguments together have no sense.
    pub(super) fn require_sense(&self) {
        if let Err(problem) = self.check() {
            refuse("attach", &problem);
        }
    }

    fn check(&self) -> Result<()> {
        require_distinct("--at-once", &self.at_once)?;
        file::check(self.json.as_deref())?;
        for at_once in &self.at_once {
            ensure!(
                *at_once <= self.pods,
                "{at_once} at a time of {} pods: give --pods {at_once} or more, or a smaller --at-once",
                self.pods
            );
        }
        Ok(())
    }
}

/// Measures, and prints the tables.
///
/// # Errors
/// A program is missing, or a measured call fails: a benchmark of failures is none.
pub(super) fn run(bin_dir: &Path, args: &AttachArgs) -> Result<()> {
    let suites = args.reference.suites(bin_dir)?;
    let suites = suites.each_ref();
    let mut record = Record::new(Benchmark::Attach, bin_dir, Some(&args.reference), METHOD)?;
    record.rows.extend(times(suites, args)?);
    record.write(args.json.as_deref())?;
    record.rows.extend(sizes(suites)?);
    record.write(args.json.as_deref())
}

fn times(suites: [&Suite; 2], args: &AttachArgs) -> Result<Vec<Row>> {
    let title = format!("{} pods, whole process", args.pods);
    let mut times = Table::new(&title, "ms", Better::Less).told(rows(&args.at_once));
    version::measure(&mut times, suites, args.pods)?;
    interface::measure(&mut times, suites, args.pods, &args.at_once)?;
    chain::measure(&mut times, suites, args.pods, &args.at_once)?;
    host_local::measure(&mut times, suites, args.pods)?;
    times.print()?;
    Ok(times.into_samples())
}

/// So many rows [`times`] has.
fn rows(at_once: &[usize]) -> usize {
    let of_all = at_once.iter().map(|&number| at_once::rows(number));
    let chains = interface::KINDS + 1;
    1 + chains * of_all.sum::<usize>() + host_local::TAKEN.len()
}

fn sizes(suites: [&Suite; 2]) -> Result<Vec<Row>> {
    let mut sizes = Table::new("size", "MB", Better::Less);
    type Size = fn(&Suite) -> Result<f64>;
    for (name, size) in [
        (
            "peak memory of one ADD, bridge",
            Suite::peak_memory_of_add as Size,
        ),
        ("plugins on disk", Suite::size_on_disk),
    ] {
        let [reference, ours] = suites.map(size);
        sizes.medians(name, [vec![reference?], vec![ours?]]);
    }
    sizes.print()?;
    Ok(sizes.into_samples())
}
