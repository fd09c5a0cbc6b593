//! `list` and `show`: what the suite holds, without judging anybody.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cni::SpecVersion;
use serde_json::{Value, json};

use crate::{
    case::{self, Case, Judges, Set},
    machine,
    report::{self, Format},
    runner::{self, Instance, Outcome, Report, Settings},
    steps,
};

/// Where plugins usually stand, for `show` without a directory.
const USUAL_DIRS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];

/// The list of cases in that format.
///
/// # Errors
/// When JSON cannot be written.
pub(crate) fn list(cases: &[&'static Case], format: Format) -> Result<String> {
    let mut out = String::new();
    match format {
        Format::Text => {
            for case in cases {
                let level = report::level(case.level);
                let _ = writeln!(out, "{:32} {level:6} {}", case.id, case.rule);
            }
            let _ = writeln!(out, "{} cases", cases.len());
        }
        Format::Json => {
            let rows: Vec<_> = cases.iter().map(|case| describe(case)).collect();
            out = serde_json::to_string_pretty(&rows)? + "\n";
        }
        Format::Junit | Format::Tap => {
            let reports: Vec<_> = cases.iter().map(|case| not_run(case)).collect();
            out = report::render(&reports, format);
        }
    }
    Ok(out)
}

/// The case in a report of cases that nobody ran.
fn not_run(case: &Case) -> Report {
    Report {
        id: case.id.to_owned(),
        rule: case.rule,
        level: case.level,
        source: case.source,
        outcome: Outcome::Skip {
            reason: case.rule.to_owned(),
        },
        steps: Vec::new(),
        kept: None,
        seconds: 0.0,
    }
}

fn describe(case: &Case) -> Value {
    let judges = match case.judges {
        Judges::Every | Judges::All => vec!["every plugin"],
        Judges::Only(names) => names.to_vec(),
    };
    json!({
        "id": case.id, "rule": case.rule, "level": case.level, "source": case.source,
        "plugins": judges, "since": case.versions[0].as_str(), "until": case.versions[1].as_str(),
        "needs": case.needs, "set": case.set,
        "stubs": case.faults.iter().map(|fault| format!("{fault:?}")).collect::<Vec<_>>(),
        "repairs": case.repairs.iter().map(|repair| format!("{repair:?}")).collect::<Vec<_>>(),
    })
}

/// One case: the rule, and from a run of it what is prepared, called and looked at, as shell
/// commands that do the same by hand.
///
/// # Errors
/// When there is no such case.
pub(crate) fn show(id: &str, dir: Option<&Path>) -> Result<String> {
    let case =
        case::find(id).with_context(|| format!("no case {id:?}; 'spec-tests list' names them"))?;
    let dir = dir.map(|dir| machine::plugins_in(dir, "--plugin-dir"));
    let dir = dir.transpose()?;
    let mut out = facts(case);
    match tried(case, dir.as_deref()) {
        Ok((instance, dir, report)) => {
            let _ = writeln!(
                out,
                "\n{} of {} {}:",
                instance.id(),
                dir.display(),
                outcome(&report.outcome)
            );
            out.push_str(&steps::script(&report.steps));
        }
        Err(reason) => {
            let _ = writeln!(out, "\nno commands to show: {reason:#}");
        }
    }
    Ok(out)
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Pass => "passes".to_owned(),
        Outcome::Fail(failure) | Outcome::Deviation { failure, .. } => format!(
            "fails; {}: expected {}, seen {}",
            failure.what, failure.expected, failure.seen
        ),
        Outcome::Skip { reason } => format!("is skipped: {reason}"),
    }
}

fn facts(case: &Case) -> String {
    let facts = describe(case);
    let mut out = String::new();
    for (name, key) in [
        ("case", "id"),
        ("rule", "rule"),
        ("level", "level"),
        ("source", "source"),
        ("judges", "plugins"),
        ("since", "since"),
        ("until", "until"),
        ("needs", "needs"),
        ("stubs", "stubs"),
        ("repairs", "repairs"),
    ] {
        let text = match &facts[key] {
            Value::Array(items) => items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", "),
            value => value.as_str().unwrap_or_default().to_owned(),
        };
        if !text.is_empty() {
            let _ = writeln!(out, "{:8}{text}", format!("{name}:"));
        }
    }
    out
}

/// Runs the case once, on the first plugin that it judges.
fn tried(case: &'static Case, dir: Option<&Path>) -> Result<(Instance, PathBuf, Report)> {
    let usual = USUAL_DIRS.iter().map(Path::new);
    let dirs: Vec<&Path> = dir.map_or_else(|| usual.collect(), |dir| vec![dir]);
    for dir in dirs.into_iter().filter(|dir| dir.is_dir()) {
        let mut all = runner::instances(&[case], dir, &[], SpecVersion::ALL);
        all.sort_by_key(|instance| instance.version != SpecVersion::V1_0_0);
        let Some(instance) = all.first() else {
            continue;
        };
        machine::makes_worlds()?;
        let dir = dir.canonicalize()?;
        let takeover = (case.set == Set::Takeover).then(|| dir.clone());
        let settings = Settings {
            other_dir: takeover,
            ..Settings::default()
        };
        let report = runner::judge(instance, &dir, &settings);
        return Ok((*instance, dir, report));
    }
    anyhow::bail!("no directory holds a plugin that it judges: give one with --plugin-dir")
}
