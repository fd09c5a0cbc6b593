//! `lab apply`: pods from manifests.

use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use manifest::Workload;
use sandbox::Interrupt;

use super::args::ApplyArgs;
use super::placement::Placement;
use super::rules::Rules;
use super::{files, print};
use crate::failures::all_or_failures;
use crate::interrupt;
use crate::keeper;
use crate::pod::{self, Exists, Pod};
use crate::state::{LabDir, Name};

/// So many pods are started at a time: most of it is waiting for other programs.
const AT_ONCE: usize = 4;

/// What is to happen to one pod.
enum Step {
    Start { node: Name, workload: Box<Workload> },
    Leave { name: Name },
}

/// Starts the pods that are not there yet, several at a time. Everything that can be wrong without the kernel is,
/// before the first one is made.
///
/// # Errors
/// As [`super::run()`]; a pod is there with another spec, or its node is not.
pub(super) fn apply(dir: &LabDir, args: &ApplyArgs, interrupt: Interrupt) -> Result<()> {
    dir.lab()?;
    keeper::require(dir)?;
    let rules = Rules::of(dir, args.node.as_ref())?;
    let workloads = files::workloads(&args.filename, |pod| rules.complaints(pod))?;
    let steps = plan(dir, args, workloads)?;
    let steps = Mutex::new(steps.into_iter());
    let next = || steps.lock().ok()?.next();
    let work = || -> Vec<anyhow::Error> {
        let taken = std::iter::from_fn(next);
        let outcomes = taken.map(|step| take(dir, step, args.node.as_ref(), interrupt));
        outcomes.filter_map(Result::err).collect()
    };
    let failures: Vec<anyhow::Error> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let outcomes = workers.into_iter().map(|worker| match worker.join() {
            Ok(failures) => failures,
            Err(_) => vec![anyhow!("the start of a pod panicked")],
        });
        outcomes.flatten().collect()
    });
    interrupt::check(interrupt)?;
    all_or_failures(failures, "\n")
}

/// What is to happen to one pod, happens.
fn take(dir: &LabDir, step: Step, asked: Option<&Name>, interrupt: Interrupt) -> Result<()> {
    interrupt::check(interrupt)?;
    match step {
        Step::Leave { name } => print(&format!("pod/{name} unchanged\n")),
        Step::Start { node, workload } => {
            let name = &workload.pod.metadata.name;
            match pod::run(dir, &node, &workload, interrupt) {
                Ok(_) => print(&format!("pod/{name} created\n")),
                // Another command was quicker.
                Err(error) if error.is::<Exists>() => {
                    require_same(&Pod::find(dir, &name.parse()?)?, &workload, asked)?;
                    print(&format!("pod/{name} unchanged\n"))
                }
                Err(error) => Err(error.context(format!("pod {name} on {node}"))),
            }
        }
    }
}

fn plan(dir: &LabDir, args: &ApplyArgs, workloads: Vec<Workload>) -> Result<Vec<Step>> {
    let mut placement = Placement::of(dir)?;
    let pods = Pod::all(dir)?;
    let mut step = |workload: Workload| -> Result<Step> {
        let name: Name = workload.pod.metadata.name.parse()?;
        if let Some(there) = pods.iter().find(|pod| pod.name == name) {
            require_same(there, &workload, args.node.as_ref())?;
            // Whether one that has not begun is still made, its start will see.
            if !there.is_unbegun(dir)? {
                return Ok(Step::Leave { name });
            }
        }
        let node = placement
            .place(wanted_node(args.node.as_ref(), &workload)?.as_ref())
            .with_context(|| format!("pod {name}"))?;
        let workload = Box::new(workload);
        Ok(Step::Start { node, workload })
    };
    let mut steps = Vec::new();
    let mut failures = Vec::new();
    for workload in workloads {
        match step(workload) {
            Ok(step) => steps.push(step),
            Err(failure) => failures.push(failure),
        }
    }
    all_or_failures(failures, "\n")?;
    Ok(steps)
}

/// The node that the command line or the manifest asks for; they do not differ ([`Rules`]).
fn wanted_node(asked: Option<&Name>, workload: &Workload) -> Result<Option<Name>> {
    let named = workload.pod.spec.node_name.as_deref();
    match (asked, named) {
        (Some(asked), _) => Ok(Some(asked.clone())),
        (None, named) => named.map(str::parse).transpose(),
    }
}

/// What a pod is cannot be changed while it runs, with few exceptions in Kubernetes, and none here.
fn require_same(there: &Pod, workload: &Workload, asked: Option<&Name>) -> Result<()> {
    let name = &there.name;
    if there.workload != *workload {
        bail!(
            "pod {name} exists already with another spec, which cannot be changed: `lab delete pod {name}` first"
        );
    }
    if let Some(asked) = asked.filter(|asked| **asked != there.node) {
        bail!(
            "pod {name} exists already on node {}, not on {asked}: `lab delete pod {name}` first",
            there.node
        );
    }
    Ok(())
}
