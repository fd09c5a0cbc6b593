//! `lab report`: one page of what `lab bench net`, `attach` or `scale` measured.

mod comparison;
mod file;
mod html;
mod markdown;
mod noise;
pub(crate) mod numbers;
mod palette;
mod plot;
mod rows;
mod tables;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::bench::net::report::Report;
use crate::bench::record::{Benchmark, Record};
use crate::output;
use comparison::Comparison;
use file::Samples;

/// `lab report`
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// What `lab bench net`, `attach` or `scale` wrote with `--json FILE`; several of one are compared, each with the
    /// first
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What to write: one page with plots, which fetches nothing, or tables alone
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One page with plots
    Html,
    /// Tables
    Markdown,
}

/// Reads the files and writes the report.
///
/// # Errors
/// A file is not what a benchmark writes, or the report cannot be written.
pub fn run(args: &ReportArgs) -> Result<()> {
    let (mut of_net, mut of_rows) = (Vec::new(), Vec::new());
    for file in &args.files {
        match file::read(file)? {
            Samples::Net(report) => of_net.push((file.clone(), *report)),
            Samples::Rows(record) => of_rows.push((file.clone(), *record)),
        }
    }
    let text = match (of_net.first(), of_rows.first()) {
        (Some((net, _)), Some((other, record))) => bail!(
            "{} is of lab bench {}, and {} of lab bench net: give files of one benchmark",
            other.display(),
            record.benchmark,
            net.display()
        ),
        (_, Some((_, first))) => of_those_rows(&of_rows, first.benchmark, args.format)?,
        (_, None) => of_paths(&of_net, args.format)?,
    };
    match &args.output {
        None => output::print(&text),
        Some(output) => {
            keep_samples(output, &args.files)?;
            std::fs::write(output, text).with_context(|| format!("write {}", output.display()))
        }
    }
}

fn of_paths(files: &[(PathBuf, Report)], format: Format) -> Result<String> {
    let comparison = Comparison::new(files)?;
    match format {
        Format::Html => html::page(&comparison),
        Format::Markdown => Ok(markdown::text(&comparison)),
    }
}

fn of_those_rows(
    files: &[(PathBuf, Record)],
    benchmark: Benchmark,
    format: Format,
) -> Result<String> {
    let comparison = rows::Comparison::new(files, benchmark)?;
    match format {
        Format::Html => rows::page(&comparison),
        Format::Markdown => Ok(rows::text(&comparison)),
    }
}

/// A report is made again in a second, its samples in hours.
fn keep_samples(output: &Path, files: &[PathBuf]) -> Result<()> {
    let Ok(output) = output.canonicalize() else {
        return Ok(());
    };
    for file in files {
        if file.canonicalize().is_ok_and(|file| file == output) {
            bail!(
                "--output {} is the file of samples: name another",
                output.display()
            );
        }
    }
    Ok(())
}
