//! `lab report`: one page of what `lab bench net` measured.

mod comparison;
mod file;
mod html;
mod markdown;
mod noise;
pub(crate) mod numbers;
mod palette;
mod plot;
mod tables;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use comparison::Comparison;

/// `lab report`
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// What `lab bench net --json FILE` wrote; several are compared, each with the first
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
/// A file is not what `lab bench net` writes, or the report cannot be written.
pub fn run(args: &ReportArgs) -> Result<()> {
    let files = args.files.iter().map(|file| {
        let report = file::read(file)?;
        Ok((file.clone(), report))
    });
    let files: Vec<_> = files.collect::<Result<_>>()?;
    let comparison = Comparison::new(&files)?;
    let text = match args.format {
        Format::Html => html::page(&comparison)?,
        Format::Markdown => markdown::text(&comparison),
    };
    match &args.output {
        None => std::io::stdout()
            .write_all(text.as_bytes())
            .context("print"),
        Some(output) => {
            keep_samples(output, &args.files)?;
            std::fs::write(output, text).with_context(|| format!("write {}", output.display()))
        }
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
