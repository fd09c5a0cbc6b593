//! Manifests that a command line names.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use manifest::{Complaint, Pod, Source, Workload};

/// The pods of files, of directories' files, and of standard input; `check` has rules beside those of manifests.
///
/// # Errors
/// A file cannot be read; a manifest is refused ([`manifest::Refused`]); there are no pods.
pub(super) fn workloads(
    paths: &[PathBuf],
    check: impl Fn(&Pod) -> Vec<Complaint>,
) -> Result<Vec<Workload>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(standard_input()?);
        } else if path.is_dir() {
            for file in manifests_in(path)? {
                sources.push(source(&file)?);
            }
        } else {
            sources.push(source(path)?);
        }
    }
    let workloads = manifest::read_checked(&sources, check)?;
    if workloads.is_empty() {
        let names: Vec<&str> = sources.iter().map(|each| each.name.as_str()).collect();
        bail!("there are no pods in {}", names.join(", "));
    }
    Ok(workloads)
}

fn standard_input() -> Result<Source> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("read standard input")?;
    let name = "standard input".to_owned();
    Ok(Source { name, text })
}

fn source(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("read {name}"))?;
    Ok(Source { name, text })
}

/// In the order of their names.
fn manifests_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    let is_manifest = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml" | "json"))
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths.filter(is_manifest).collect();
    found.sort();
    if found.is_empty() {
        bail!(
            "there is no *.yaml, *.yml or *.json in {}",
            directory.display()
        );
    }
    Ok(found)
}
