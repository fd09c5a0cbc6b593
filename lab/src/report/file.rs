//! A file that a benchmark wrote.

use std::path::Path as FilePath;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::bench::net::report::{FORMAT, Report, Sample};
use crate::bench::net::variants::Variant;
use crate::bench::record::{self, Benchmark, Record};

/// No machine gives more of anything.
const MOST: f64 = 1e15;

/// What every form of the file says first.
#[derive(Deserialize)]
struct Form {
    format: u64,
    /// Those of `lab bench net` do not say.
    benchmark: Option<Benchmark>,
}

/// What files hold.
pub(super) enum Samples {
    /// Of `lab bench net`.
    Net(Box<Report>),
    /// Of `lab bench attach` and `lab bench scale`.
    Rows(Box<Record>),
}

/// Reads and checks it.
///
/// # Errors
/// The file cannot be read, is no such file, is of another form, or holds what no measurement gives.
pub(super) fn read(file: &FilePath) -> Result<Samples> {
    let text = crate::bench::file::read(file)?;
    parse(&text).with_context(|| file.display().to_string())
}

fn parse(text: &[u8]) -> Result<Samples> {
    let wrong = "is not what `lab bench net --json FILE`, or that of attach or scale, writes";
    let form: Form = serde_json::from_slice(text).context(wrong)?;
    let newest = match form.benchmark {
        None => FORMAT,
        Some(_) => record::FORMAT,
    };
    ensure!(
        (1..=newest).contains(&form.format),
        "\"format\" is {}, and this lab reads 1 to {newest}: use the lab that wrote the file",
        form.format
    );
    match form.benchmark {
        None => {
            let report: Report = serde_json::from_slice(text).context(wrong)?;
            check(&report)?;
            Ok(Samples::Net(Box::new(report)))
        }
        Some(_) => {
            let record: Record = serde_json::from_slice(text).context(wrong)?;
            check_rows(&record)?;
            Ok(Samples::Rows(Box::new(record)))
        }
    }
}

fn check_rows(record: &Record) -> Result<()> {
    ensure!(
        !record.rows.is_empty(),
        "\"rows\" is empty: measure at least one thing"
    );
    for (at, row) in record.rows.iter().enumerate() {
        for side in &row.sides {
            check_side(&side.side, &side.samples).with_context(|| format!("rows[{at}]"))?;
        }
    }
    Ok(())
}

fn check_side(side: &str, samples: &[f64]) -> Result<()> {
    ensure!(
        !samples.is_empty(),
        "the side {side:?} has no samples: leave it out"
    );
    for &value in samples {
        ensure!(
            (0.0..=MOST).contains(&value),
            "a sample of {side:?} is {value}: a measurement is between 0 and {MOST:e}"
        );
    }
    Ok(())
}

fn check(report: &Report) -> Result<()> {
    ensure!(
        !report.samples.is_empty(),
        "\"samples\" is empty: measure at least one path"
    );
    check_variants(&report.variants)?;
    for (at, left_out) in report.left_out.iter().enumerate() {
        check_variant(report, &left_out.variant).with_context(|| format!("left_out[{at}]"))?;
    }
    for (at, sample) in report.samples.iter().enumerate() {
        let checked = check_variant(report, &sample.variant).and_then(|()| check_sample(sample));
        checked.with_context(|| format!("samples[{at}]"))?;
    }
    Ok(())
}

fn check_variants(variants: &[Variant]) -> Result<()> {
    for (at, variant) in variants.iter().enumerate() {
        let before = &variants[..at];
        ensure!(
            before.iter().all(|other| other.name != variant.name),
            "\"variants\" has {:?} twice: each has a name of its own",
            variant.name
        );
    }
    Ok(())
}

fn check_variant(report: &Report, name: &str) -> Result<()> {
    let names: Vec<&str> = report
        .variants
        .iter()
        .map(|variant| &*variant.name)
        .collect();
    ensure!(
        names.contains(&name),
        "\"variant\" is {name:?}, which \"variants\" does not have; it has {names:?}"
    );
    Ok(())
}

fn check_sample(sample: &Sample) -> Result<()> {
    for column in sample.load.columns() {
        if !sample.figures.contains_key(column.key) {
            bail!(
                "\"figures\" has no {}, which {} gives",
                column.key,
                sample.load
            );
        }
    }
    let figures = sample.figures.iter();
    let figures = figures.map(|(key, &value)| (key.as_str(), value));
    let cost = sample.cpu_seconds_per_gigabit;
    let cost = cost.map(|cost| ("cpu_seconds_per_gigabit", cost));
    let latencies = sample.latencies_microseconds.iter();
    let latencies = latencies.map(|&latency| ("latencies_microseconds", latency));
    for (key, value) in figures.chain(cost).chain(latencies) {
        ensure!(
            (0.0..=MOST).contains(&value),
            "\"{key}\" is {value}: a measurement is between 0 and {MOST:e}"
        );
    }
    Ok(())
}
