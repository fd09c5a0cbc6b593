//! `lab wait`: until pods are in a condition, or gone.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sandbox::Interrupt;

use super::args::WaitArgs;
use super::get::marked_names;
use super::jsonpath::{Query, as_text, length_of_braces};
use super::selection::{Others, Selection};
use super::{object, print};
use crate::failures::all_or_failures;
use crate::interrupt::{self, Interrupted};
use crate::pod::{ConditionType, Pod};
use crate::progress::notice;
use crate::state::{self, LabDir, Name};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The pod is gone.
    Deleted,
    /// This is true of it, or not.
    Condition(ConditionType, bool),
    /// What this path leads to has this value, as text; any value without one.
    Field(Query, Option<String>),
}

impl FromStr for Goal {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            None if text == "delete" => Ok(Self::Deleted),
            Some(("condition", condition)) => {
                let (name, truth) = condition.split_once('=').unwrap_or((condition, "true"));
                Ok(Self::Condition(condition_type(name)?, parse_truth(truth)?))
            }
            Some(("jsonpath", rest)) => {
                let (path, value) = path_and_value(rest)?;
                Ok(Self::Field(path.parse()?, value.map(str::to_owned)))
            }
            _ => bail!(
                "{text:?} is nothing to wait for: give condition=Ready, delete, or \
                 jsonpath={{.status.phase}}=Running"
            ),
        }
    }
}

const CONDITIONS: [(&str, ConditionType); 4] = [
    ("Ready", ConditionType::Ready),
    ("Initialized", ConditionType::Initialized),
    ("ContainersReady", ConditionType::ContainersReady),
    ("PodScheduled", ConditionType::PodScheduled),
];

fn condition_type(name: &str) -> Result<ConditionType> {
    let known = CONDITIONS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, condition)| *condition).with_context(|| {
        let names = CONDITIONS.map(|(name, _)| name).join(", ");
        format!("{name:?} is no condition of a pod: give one of {names}")
    })
}

fn parse_truth(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => bail!("{text:?} is no status of a condition: give true or false"),
    }
}

/// `{.status.phase}=Running`; in braces there may be `=`, too.
fn path_and_value(text: &str) -> Result<(&str, Option<&str>)> {
    let length = match text.starts_with('{') {
        true => length_of_braces(text).context("a { is not closed")?,
        false => text.find('=').unwrap_or(text.len()),
    };
    let (path, rest) = text.split_at(length);
    match rest.strip_prefix('=') {
        None if rest.is_empty() => Ok((path, None)),
        None => bail!("behind the braces goes =VALUE, or nothing"),
        value => Ok((path, value)),
    }
}

/// A pod, and which one had its name when the waiting began: another one may get it.
struct Awaited {
    name: Name,
    uid: Option<String>,
}

/// # Errors
/// A pod is not there, unless its end is waited for; the time is over; the others are waited for all the same. Ctrl-C.
pub(super) fn wait(dir: &LabDir, args: &WaitArgs, interrupt: Interrupt) -> Result<()> {
    let others = Others::new(args.all, args.selector.as_ref())?;
    let mut names = Selection::of_pods(&args.what, others)?;
    dir.lab()?;
    if names.is_empty() {
        names = marked_names(dir, others.selector())?;
        if names.is_empty() && args.goal != Goal::Deleted {
            bail!("there is no such pod: `lab get pods --show-labels` lists those there are");
        }
    }
    // All before the first is waited for.
    let awaited = names.into_iter().map(|name| awaited(dir, name));
    let awaited: Vec<Awaited> = awaited.collect::<Result<_>>()?;
    let begin = Instant::now();
    let reached = match args.goal {
        Goal::Deleted => "deleted",
        Goal::Condition(..) | Goal::Field(..) => "condition met",
    };
    let mut failures = Vec::new();
    for pod in awaited {
        match wait_for(dir, &pod, args, begin, interrupt) {
            Ok(()) => print(&format!("pod/{} {reached}\n", pod.name))?,
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    all_or_failures(failures, "\n")
}

fn awaited(dir: &LabDir, name: Name) -> Result<Awaited> {
    let uid = uid(dir, &name)?;
    Ok(Awaited { name, uid })
}

fn wait_for(
    dir: &LabDir,
    pod: &Awaited,
    args: &WaitArgs,
    begin: Instant,
    interrupt: Interrupt,
) -> Result<()> {
    let name = &pod.name;
    let _notice = notice({
        let text = format!("waiting for pod/{name}");
        move || text
    });
    while !is_reached(dir, pod, &args.goal)? {
        if begin.elapsed() >= args.timeout {
            bail!(
                "timed out waiting for the condition on pods/{name}: `lab describe pod {name}` tells more"
            );
        }
        interrupt::pause(interrupt, PAUSE)?;
    }
    Ok(())
}

/// Of the pod that has this name now, if there is one.
fn uid(dir: &LabDir, name: &Name) -> Result<Option<String>> {
    let pod: Option<Pod> = state::read(&dir.pod(name).join("pod.json"))?;
    Ok(pod.map(|pod| pod.uid))
}

fn is_reached(dir: &LabDir, Awaited { name, uid: before }: &Awaited, goal: &Goal) -> Result<bool> {
    match goal {
        Goal::Deleted => Ok(uid(dir, name)?.is_none_or(|now| before.as_ref() != Some(&now))),
        Goal::Condition(condition, truth) => {
            Ok(Pod::find(dir, name)?.status(dir)?.is(*condition) == *truth)
        }
        Goal::Field(path, value) => {
            let object = object::pod(dir, &Pod::find(dir, name)?)?;
            Ok(match (&path.values(&object)?[..], value) {
                ([found], Some(value)) => as_text(found) == *value,
                (found, None) => !found.is_empty(),
                ([], Some(_)) => false,
                (several, Some(_)) => bail!(
                    "pod {name} has {} values there, and one is compared: choose it, as by [0]",
                    several.len()
                ),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals() {
        let field = |path: &str, value: Option<&str>| {
            Goal::Field(path.parse().unwrap(), value.map(str::to_owned))
        };
        for (text, goal) in [
            ("delete", Goal::Deleted),
            (
                "condition=Ready",
                Goal::Condition(ConditionType::Ready, true),
            ),
            (
                "condition=ready=False",
                Goal::Condition(ConditionType::Ready, false),
            ),
            (
                "condition=Initialized=true",
                Goal::Condition(ConditionType::Initialized, true),
            ),
            (
                "jsonpath={.status.phase}=Running",
                field(".status.phase", Some("Running")),
            ),
            ("jsonpath=.status.podIP", field("{.status.podIP}", None)),
            ("jsonpath={.status.podIP}", field("{.status.podIP}", None)),
            (
                "jsonpath={.status.reason}=",
                field(".status.reason", Some("")),
            ),
            (
                "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True",
                field(
                    ".status.conditions[?(@.type==\"Ready\")].status",
                    Some("True"),
                ),
            ),
        ] {
            assert_eq!(text.parse::<Goal>().unwrap(), goal, "{text}");
        }
        for (text, words) in [
            ("ready", "is nothing to wait for"),
            ("condition=Happy", "give one of Ready, Initialized"),
            ("condition=Ready=perhaps", "give true or false"),
            ("jsonpath={.status", "a { is not closed"),
            ("jsonpath={.status} x", "behind the braces"),
            ("jsonpath={.a b}=c", "is no JSONPath"),
        ] {
            let error = text.parse::<Goal>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
