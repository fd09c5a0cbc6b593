//! `lab wait`: until pods are in a condition, or gone.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sandbox::Interrupt;
use serde_json::Value;

use super::args::WaitArgs;
use super::selection::Selection;
use super::{object, print};
use crate::interrupt;
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
    /// The field with this JSON pointer has this value, as text; any value without one.
    Field(String, Option<String>),
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
                let (path, value) = match rest.split_once('=') {
                    Some((path, value)) => (path, Some(value.to_owned())),
                    None => (rest, None),
                };
                Ok(Self::Field(json_pointer(path)?, value))
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

/// `/status/containerStatuses/0/ready` of `{.status.containerStatuses[0].ready}`: names and numbers are what of
/// JSONPath one waits for.
fn json_pointer(path: &str) -> Result<String> {
    let refused = || {
        format!(
            "{path:?} is not a path: give names and numbers, like {{.status.containerStatuses[0].ready}}"
        )
    };
    let inner = path
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let inner = inner
        .unwrap_or(path)
        .strip_prefix('.')
        .with_context(refused)?;
    let mut pointer = String::new();
    for step in inner.split('.') {
        let (name, indices) = match step.split_once('[') {
            Some((name, indices)) => (name, indices.strip_suffix(']').with_context(refused)?),
            None => (step, ""),
        };
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if name.is_empty() || !is_word(name) {
            bail!(refused());
        }
        pointer.extend(["/", name]);
        for index in indices.split("][").filter(|index| !index.is_empty()) {
            let index: usize = index.parse().ok().with_context(refused)?;
            pointer.push_str(&format!("/{index}"));
        }
    }
    Ok(pointer)
}

/// # Errors
/// A pod is not there, unless its end is waited for; the time is over; Ctrl-C.
pub(super) fn wait(dir: &LabDir, args: &WaitArgs, interrupt: Interrupt) -> Result<()> {
    let named = Selection::of_pods(&args.what, args.all)?;
    dir.lab()?;
    let names = match named.is_empty() {
        true => Pod::all(dir)?.into_iter().map(|pod| pod.name).collect(),
        false => named,
    };
    let begin = Instant::now();
    for name in names {
        let _notice = notice({
            let text = format!("waiting for pod/{name}");
            move || text
        });
        let uid = uid(dir, &name)?;
        while !is_reached(dir, &name, uid.as_deref(), &args.goal)? {
            if begin.elapsed() >= args.timeout {
                bail!(
                    "timed out waiting for the condition on pods/{name}: `lab describe pod {name}` tells more"
                );
            }
            interrupt::pause(interrupt, PAUSE)?;
        }
        let reached = match args.goal {
            Goal::Deleted => "deleted",
            Goal::Condition(..) | Goal::Field(..) => "condition met",
        };
        print(&format!("pod/{name} {reached}\n"))?;
    }
    Ok(())
}

/// Of the pod that has this name now, if there is one.
fn uid(dir: &LabDir, name: &Name) -> Result<Option<String>> {
    let pod: Option<Pod> = state::read(&dir.pod(name).join("pod.json"))?;
    Ok(pod.map(|pod| pod.uid))
}

/// `before` is the pod's own when the waiting began: another pod may have got its name.
fn is_reached(dir: &LabDir, name: &Name, before: Option<&str>, goal: &Goal) -> Result<bool> {
    match goal {
        Goal::Deleted => Ok(uid(dir, name)?.is_none_or(|now| before != Some(&now))),
        Goal::Condition(condition, truth) => {
            Ok(Pod::find(dir, name)?.status(dir)?.is(*condition) == *truth)
        }
        Goal::Field(pointer, value) => {
            let object = object::pod(dir, &Pod::find(dir, name)?)?;
            let found = object.pointer(pointer);
            Ok(match (found, value) {
                (Some(found), Some(value)) => as_text(found) == *value,
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            })
        }
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals() {
        let field = |pointer: &str, value: Option<&str>| {
            Goal::Field(pointer.to_owned(), value.map(str::to_owned))
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
                field("/status/phase", Some("Running")),
            ),
            ("jsonpath=.status.podIP", field("/status/podIP", None)),
            (
                "jsonpath={.status.containerStatuses[0].ready}=true",
                field("/status/containerStatuses/0/ready", Some("true")),
            ),
        ] {
            assert_eq!(text.parse::<Goal>().unwrap(), goal, "{text}");
        }
        for (text, words) in [
            ("ready", "is nothing to wait for"),
            ("condition=Happy", "give one of Ready, Initialized"),
            ("condition=Ready=perhaps", "give true or false"),
            ("jsonpath={status}", "is not a path"),
            ("jsonpath={.a[*]}", "is not a path"),
            ("jsonpath={.a..b}", "is not a path"),
            ("jsonpath={.a[?(@.b)]}=c", "is not a path"),
        ] {
            let error = text.parse::<Goal>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
