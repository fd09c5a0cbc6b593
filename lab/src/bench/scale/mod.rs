//! `lab bench scale`: how cost grows with the number of pods, of mapped ports and of leases.

mod leases;
mod mappings;
mod pods;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::measure::median;
use super::record::{Benchmark, Record, Row};
use super::suite::Suite;
use super::{ReferenceArgs, at_least_one, connections, file, refuse, require_distinct};
use crate::output::{self, Table};
use crate::program::{ETCD, require};
use crate::report::numbers::digits;
use crate::size::parse_length;

/// A Linux bridge has 1,024 ports; those that are measured and the gateway need some.
const MOST_PODS: usize = 1000;
/// For who reads the figures.
const METHOD: &str = "Pods: each suite has a node, whose pods it attaches itself; then it attaches and detaches five \
    more, by turns with the other suite. Each call is a program that is started in its suite's node, from its \
    start to its end, and is followed by a pause of 30 ms. Mapped ports: samples of 0.2 s of connections opened and closed \
    one after the other, all nodes by turns; the pod that is measured is attached last. Leases: each sample is a new \
    etcd and a new netd, all numbers by turns. A round before the first does not count, but with leases.";

/// How many of what.
#[derive(Debug, clap::Args)]
pub(super) struct ScaleArgs {
    /// Pods on the node beside those that are attached and detached
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 250, 900], value_parser = pods_on_node)]
    pods: Vec<usize>,
    /// Pods with a mapped port on the node that connections go through
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 5_000], value_parser = connections::mapped_pods)]
    mappings: Vec<usize>,
    /// Leases in etcd that netd starts with
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 5_000], value_parser = at_least_one::<u32>)]
    leases: Vec<u32>,
    /// What to measure [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds; figures are medians over their samples: five of each pod's calls and of connections in a round, one
    /// of a netd
    #[arg(long, default_value_t = 5, value_parser = at_least_one::<usize>)]
    repetitions: usize,
    /// For how long leases change beside those that stay, 100 times a second; 0s leaves it out
    #[arg(long, default_value = "5s", value_parser = parse_length)]
    change_time: Duration,
    /// Where to write every sample, with the machine and the versions; after each part
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    reference: ReferenceArgs,
}

/// What cost grows with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// ADD and DEL on a node with pods
    Pods,
    /// Connections through a mapped port and through masquerading
    Mappings,
    /// A netd's start, memory and share of a core
    Leases,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        super::net::name_of(self, f)
    }
}

fn pods_on_node(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(number @ 1..=MOST_PODS) => Ok(number),
        _ => bail!("{text:?} pods on a node: give 1 to {MOST_PODS}"),
    }
}

impl ScaleArgs {
    /// Ends with a usage error when the arguments together have no sense.
    pub(super) fn require_sense(&self) {
        if let Err(problem) = self.check() {
            refuse("scale", &problem);
        }
    }

    fn check(&self) -> Result<()> {
        require_distinct("--pods", &self.pods)?;
        require_distinct("--mappings", &self.mappings)?;
        require_distinct("--leases", &self.leases)?;
        require_distinct("--only", &self.only)?;
        file::check(self.json.as_deref())?;
        if self.parts().contains(&Part::Leases) {
            require(&[ETCD]).context("--only pods,mappings needs none")?;
        }
        Ok(())
    }

    fn parts(&self) -> &[Part] {
        super::net::selected(&self.only)
    }
}

/// Measures, and prints the table.
///
/// # Errors
/// A program is missing, or a measured call fails: a benchmark of failures is none.
pub(super) fn run(bin_dir: &Path, args: &ScaleArgs) -> Result<()> {
    let compares = args.parts().iter().any(|part| *part != Part::Leases);
    let suites = compares.then(|| args.reference.suites(bin_dir));
    let suites = suites.transpose()?;
    let reference = compares.then_some(&args.reference);
    let mut record = Record::new(Benchmark::Scale, bin_dir, reference, METHOD)?;
    for part in args.parts() {
        let rows = measure(bin_dir, args, suites.as_ref(), *part)?;
        record.rows.extend(rows);
        record.write(args.json.as_deref())?;
    }
    output::print(&table(&record.rows).to_string())
}

fn measure(
    bin_dir: &Path,
    args: &ScaleArgs,
    suites: Option<&[Suite; 2]>,
    part: Part,
) -> Result<Vec<Row>> {
    let suites = suites.map(|suites| suites.each_ref());
    let suites = suites.context("no plugins");
    match part {
        Part::Pods => pods::measure(suites?, &sorted(&args.pods), args.repetitions),
        Part::Mappings => mappings::measure(suites?, &sorted(&args.mappings), args.repetitions),
        Part::Leases => {
            let leases = sorted(&args.leases);
            leases::measure(bin_dir, &leases, args.repetitions, args.change_time)
        }
    }
}

fn sorted<T: Ord + Copy>(numbers: &[T]) -> Vec<T> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers
}

/// Medians of each side, and how many times better the last is than the first.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "WHAT",
        "NUMBER",
        "REFERENCE",
        "PODWIRE",
        "RATIO",
        "SAMPLES",
        "UNIT",
    ]);
    for row in rows {
        let medians = row.sides.iter().map(|side| {
            let middle = median(&mut side.samples.clone());
            (side.side.as_str(), middle)
        });
        let medians: Vec<_> = medians.collect();
        let of = |name: &str| {
            let found = medians.iter().find(|(side, _)| *side == name);
            found.map_or("–".to_owned(), |(_, middle)| digits(*middle))
        };
        let ratio = match medians.as_slice() {
            [(_, reference), (_, ours)] => {
                format!("{:.1}x", row.better.ratio([*reference, *ours]))
            }
            _ => "–".to_owned(),
        };
        let samples = row.sides.iter().map(|side| side.samples.len()).min();
        table.row([
            row.what.clone(),
            row.number
                .map(|number| number.to_string())
                .unwrap_or_default(),
            of(super::suite::REFERENCE),
            of(super::suite::PODWIRE),
            ratio,
            samples.unwrap_or_default().to_string(),
            row.unit.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::{Better, Measured};

    fn row(better: Better, sides: &[(&str, &[f64])]) -> Row {
        let sides = sides.iter().map(|(side, samples)| Measured {
            side: (*side).to_owned(),
            samples: samples.to_vec(),
        });
        Row {
            section: "pods".to_owned(),
            what: "ADD x".to_owned(),
            number: Some(10),
            unit: "ms".to_owned(),
            better,
            sides: sides.collect(),
        }
    }

    #[test]
    fn the_table_has_medians_of_those_that_were_measured() {
        let both: [(&str, &[f64]); 2] = [
            ("reference", &[9.0, 4.0, 1.0]),
            ("podwire", &[2.0, 2.0, 8.0]),
        ];
        let rows = [
            row(Better::Less, &both),
            row(Better::More, &both),
            row(Better::Less, &both[1..]),
        ];
        let text = table(&rows).to_string();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().skip(2).collect())
            .collect();
        assert_eq!(lines[0], ["10", "4.00", "2.00", "2.0x", "3", "ms"]);
        assert_eq!(lines[1], ["10", "4.00", "2.00", "0.5x", "3", "ms"]);
        assert_eq!(lines[2], ["10", "–", "2.00", "–", "3", "ms"]);
    }

    #[test]
    fn a_node_has_no_more_pods_than_its_bridge_ports() {
        assert!(pods_on_node("1000").is_ok());
        for text in ["0", "1001", "x"] {
            assert!(pods_on_node(text).is_err(), "{text}");
        }
    }
}
