//! `compare`: what is different between two JSON reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

use anyhow::{Context, Result};
use serde_json::Value;

/// Outcome and, of a failure, both sides, by id.
type Outcomes = BTreeMap<String, Row>;

#[derive(Clone, Default)]
struct Row {
    outcome: String,
    sides: Option<[String; 2]>,
}

/// The text of the comparison, and whether there is any difference.
///
/// # Errors
/// When a file is no report of `run --output json`.
pub(crate) fn compare(before: &Path, after: &Path) -> Result<(String, bool)> {
    Ok(differences(&read(before)?, &read(after)?))
}

fn read(path: &Path) -> Result<Outcomes> {
    let what = || {
        format!(
            "{}: not a report of 'spec-tests run --output json'",
            path.display()
        )
    };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let rows: Vec<Value> = serde_json::from_str(&text).with_context(what)?;
    rows.iter()
        .map(row)
        .collect::<Option<_>>()
        .with_context(what)
}

fn row(row: &Value) -> Option<(String, Row)> {
    let text = |key: &str| row[key].as_str().map(str::to_owned);
    let sides = text("expected").zip(text("seen"));
    Some((
        text("id")?,
        Row {
            outcome: text("outcome")?,
            sides: sides.map(|(expected, seen)| [expected, seen]),
        },
    ))
}

/// What became of a case, the gravest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Worse,
    Gone,
    Other,
    New,
    Better,
}

impl Change {
    /// `None` when nothing changed.
    fn of(before: Option<&Row>, after: Option<&Row>) -> Option<Self> {
        let rank = |row: &Row| {
            ["fail", "deviation", "pass"]
                .iter()
                .position(|name| *name == row.outcome)
        };
        match (before, after) {
            (Some(before), Some(after)) if before.outcome == after.outcome => None,
            (Some(before), Some(after)) => Some(match (rank(before), rank(after)) {
                (Some(was), Some(is)) if is < was => Self::Worse,
                (Some(_), Some(_)) => Self::Better,
                _ => Self::Other,
            }),
            (Some(_), None) => Some(Self::Gone),
            (None, Some(_)) => Some(Self::New),
            (None, None) => None,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Gone => "gone",
            Self::Other => "skipped before or now",
            Self::New => "new",
            Self::Better => "better",
        }
    }
}

fn differences(before: &Outcomes, after: &Outcomes) -> (String, bool) {
    let ids: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes: BTreeMap<Change, BTreeMap<String, Vec<&String>>> = BTreeMap::new();
    for id in ids {
        let (was, is) = (before.get(id), after.get(id));
        if let Some(change) = Change::of(was, is) {
            let from_to = format!("{} -> {}", name(was), name(is));
            let kinds = changes.entry(change).or_default();
            kinds.entry(from_to).or_default().push(id);
        }
    }
    let mut out = String::new();
    for (change, kinds) in &changes {
        for (from_to, ids) in kinds {
            let _ = writeln!(out, "{}: {from_to}: {}", change.title(), ids.len());
            for id in ids {
                let _ = writeln!(out, "  {id}");
                if let Some([expected, seen]) = after.get(*id).and_then(|row| row.sides.as_ref()) {
                    let _ = writeln!(out, "    expected: {expected}\n    seen:     {seen}");
                }
            }
        }
    }
    let different: usize = changes
        .values()
        .flat_map(BTreeMap::values)
        .map(Vec::len)
        .sum();
    let _ = writeln!(
        out,
        "{} before, {} after, {different} different",
        before.len(),
        after.len()
    );
    (out, different > 0)
}

fn name(row: Option<&Row>) -> &str {
    row.map_or("absent", |row| row.outcome.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_changed_in_which_direction() {
        let of = |rows: &[(&str, &str)]| -> Outcomes {
            let row = |outcome: &str| Row {
                outcome: outcome.to_owned(),
                sides: (outcome == "fail").then(|| ["1".to_owned(), "2".to_owned()]),
            };
            rows.iter()
                .map(|(id, outcome)| ((*id).to_owned(), row(outcome)))
                .collect()
        };
        let before = of(&[
            ("a", "pass"),
            ("b", "fail"),
            ("c", "pass"),
            ("e", "pass"),
            ("f", "skip"),
        ]);
        let after = of(&[
            ("a", "pass"),
            ("b", "pass"),
            ("d", "skip"),
            ("e", "fail"),
            ("f", "pass"),
        ]);
        let (text, different) = differences(&before, &after);
        assert!(different);
        for part in [
            "worse: pass -> fail: 1\n  e\n    expected: 1\n    seen:     2\n",
            "gone: pass -> absent: 1\n  c\n",
            "skipped before or now: skip -> pass: 1\n  f\n",
            "new: absent -> skip: 1\n  d\n",
            "better: fail -> pass: 1\n  b\n",
            "5 before, 5 after, 5 different\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!differences(&before, &before).1);
    }
}
