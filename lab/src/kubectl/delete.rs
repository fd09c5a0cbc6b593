//! `lab delete`: the end of pods.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, anyhow};
use sandbox::Interrupt;

use super::args::DeleteArgs;
use super::get::marked_names;
use super::selection::{Others, Selection};
use super::{files, print};
use crate::failures::all_or_failures;
use crate::interrupt::Interrupted;
use crate::output::warn;
use crate::pod::{self, Pod};
use crate::state::{LabDir, Name};

/// Ends pods, all at the same time, since each may take its grace period. A signal ends that waiting; nothing that has
/// begun after it is left half-done.
///
/// # Errors
/// A pod is not there, or could not be removed; the others are removed all the same. Ctrl-C.
pub(super) fn delete(dir: &LabDir, args: &DeleteArgs, interrupt: Interrupt) -> Result<()> {
    dir.lab()?;
    let mut failures = Vec::new();
    let mut found = Vec::new();
    for name in names(dir, args)? {
        match Pod::find(dir, &name) {
            Ok(_) => found.push(name),
            Err(_) if args.ignore_not_found => {}
            Err(error) => failures.push(error),
        }
    }
    failures.extend(remove(dir, &found, grace(args), interrupt));
    if let Some(position) = failures.iter().position(|each| each.is::<Interrupted>()) {
        return Err(failures.swap_remove(position));
    }
    all_or_failures(failures, "\n")
}

fn names(dir: &LabDir, args: &DeleteArgs) -> Result<BTreeSet<Name>> {
    if !args.filename.is_empty() {
        let workloads = files::workloads(&args.filename, |_| Vec::new())?;
        return workloads
            .iter()
            .map(|each| each.pod.metadata.name.parse())
            .collect();
    }
    let others = Others::new(args.all, args.selector.as_ref())?;
    let mut names = Selection::of_pods(&args.what, others)?;
    if names.is_empty() {
        names = marked_names(dir, others.selector())?;
        if names.is_empty() {
            warn("No resources found");
        }
    }
    Ok(names.into_iter().collect())
}

fn grace(args: &DeleteArgs) -> Option<Duration> {
    let seconds = args.grace_period.or(args.now.then_some(1));
    seconds.map(|seconds| Duration::from_secs(seconds.into()))
}

/// What could not be done.
fn remove(
    dir: &LabDir,
    names: &[Name],
    grace: Option<Duration>,
    interrupt: Interrupt,
) -> Vec<anyhow::Error> {
    let remove = |name: &Name| -> Result<()> {
        pod::remove(dir, name, grace, Some(interrupt))?;
        print(&format!("pod {:?} deleted\n", name.as_str()))
    };
    std::thread::scope(|scope| {
        let remove = &remove;
        let threads: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || remove(name)))
            .collect();
        let outcomes = threads.into_iter().map(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow!("the removal of a pod panicked")),
        });
        outcomes.filter_map(Result::err).collect()
    })
}
