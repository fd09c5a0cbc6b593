//! What a case did, step by step, so that anybody can do it again in a shell.
//!
//! A process runs one case, so one record serves everything in it, also the helpers that look at
//! files without a [`crate::bench::Bench`] at hand.

mod script;

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use script::{quote, script};

/// One thing that a case did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Why.
    pub kind: Kind,
    /// The shell command that does the same.
    pub line: String,
    /// How a call of the plugin ended and what it printed on stdout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What later lines need of the output, because it is another each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gives: Vec<Given>,
}

/// Why a case does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// To bring the world into the state that the rule is about.
    Prepare,
    /// To call the plugin.
    Call,
    /// To see what the plugin left.
    Look,
}

/// A value that is another in each run: the name of a host end, a MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// The value of this run.
    pub value: String,
    /// Where it stands in the step's JSON output, as `jq` takes it.
    pub path: String,
}

static RECORD: Mutex<Vec<Step>> = Mutex::new(Vec::new());

fn record<T>(work: impl FnOnce(&mut Vec<Step>) -> T) -> T {
    work(&mut RECORD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Notes a step; returns its number.
pub(crate) fn did(kind: Kind, line: String) -> usize {
    record(|steps| {
        steps.push(Step {
            kind,
            line,
            answer: None,
            gives: Vec::new(),
        });
        steps.len() - 1
    })
}

/// Notes what step `number` printed.
pub(crate) fn printed(number: usize, stdout: &str) {
    let document: Value = serde_json::from_str(stdout).unwrap_or_default();
    let mut gives = Vec::new();
    changing(&document, &mut String::new(), &mut gives);
    record(|steps| {
        if let Some(step) = steps.get_mut(number) {
            step.gives = gives;
        }
    });
}

/// Notes how the call in step `number` ended.
pub(crate) fn answered(number: usize, status: Option<i32>, stdout: &str) {
    printed(number, stdout);
    let status = status.map_or("ended by a signal".to_owned(), |status| {
        format!("exit status {status}")
    });
    let said = match serde_json::from_str::<Value>(stdout) {
        Ok(document) => document.to_string(),
        Err(_) => stdout.trim().to_owned(),
    };
    let answer = if said.is_empty() {
        status
    } else {
        format!("{status}, {said}")
    };
    record(|steps| {
        if let Some(step) = steps.get_mut(number) {
            step.answer = Some(answer);
        }
    });
}

/// How many steps there are.
#[must_use]
pub(crate) fn count() -> usize {
    record(|steps| steps.len())
}

/// Forgets all but the first `count` steps.
pub(crate) fn forget_after(count: usize) {
    record(|steps| steps.truncate(count));
}

/// The last step's line.
#[must_use]
pub(crate) fn last_line() -> String {
    record(|steps| {
        steps
            .last()
            .map_or_else(String::new, |step| step.line.clone())
    })
}

/// All steps; of what they printed only what later lines need.
#[must_use]
pub(crate) fn take() -> Vec<Step> {
    let mut steps = record(std::mem::take);
    for at in 0..steps.len() {
        let gives = std::mem::take(&mut steps[at].gives);
        let (known, later) = steps.split_at(at + 1);
        let needed = |given: &Given| {
            !known.iter().any(|step| step.knows(&given.value))
                && later.iter().any(|step| step.line.contains(&given.value))
        };
        let mut kept: Vec<Given> = Vec::new();
        for given in gives {
            if needed(&given) && !kept.iter().any(|other| other.value == given.value) {
                kept.push(given);
            }
        }
        steps[at].gives = kept;
    }
    steps
}

impl Step {
    fn knows(&self, value: &str) -> bool {
        self.line.contains(value) || self.gives.iter().any(|given| given.value == value)
    }
}

/// Collects the texts of a document that are another in each run.
fn changing(value: &Value, path: &mut String, found: &mut Vec<Given>) {
    let here = path.len();
    match value {
        Value::String(text) if is_host_end(text) || is_mac(text) => found.push(Given {
            value: text.clone(),
            path: path.clone(),
        }),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                changing(item, path, found);
                path.truncate(here);
            }
        }
        Value::Object(keys) => {
            for (key, item) in keys {
                path.push_str(&format!("[{key:?}]"));
                changing(item, path, found);
                path.truncate(here);
            }
        }
        _ => {}
    }
}

/// `veth` and a hexadecimal number, as plugins name the host's end of a pair.
fn is_host_end(text: &str) -> bool {
    text.strip_prefix("veth")
        .is_some_and(|rest| rest.len() >= 6 && rest.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_mac(text: &str) -> bool {
    let byte = |part: &str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(byte) && text != "ff:ff:ff:ff:ff:ff"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_later_lines_need_are_kept() {
        let mut found = Vec::new();
        let result = serde_json::json!({ "interfaces": [{ "name": "cni0", "mac": "0a:00:00:00:00:01" },
            { "name": "veth0badcafe" }], "x": "ff:ff:ff:ff:ff:ff" });
        changing(&result, &mut String::new(), &mut found);
        let paths: Vec<_> = found.iter().map(|given| given.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "[\"interfaces\"][0][\"mac\"]",
                "[\"interfaces\"][1][\"name\"]"
            ]
        );
        let number = did(Kind::Call, "ADD".into());
        printed(number, &result.to_string());
        did(Kind::Look, "ip link show veth0badcafe".into());
        let steps = take();
        assert_eq!(steps[0].gives.len(), 1);
        let text = script(&steps);
        assert!(
            text.contains("veth1=$(echo \"$said\" | jq -r '.[\"interfaces\"][1][\"name\"]')"),
            "{text}"
        );
        assert!(text.contains("ip link show ${veth1}\n"), "{text}");
    }
}
