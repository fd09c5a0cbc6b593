//! `compare`: what is different between two JSON reports.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

type Outcomes = BTreeMap<String, String>;

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
        .map(|row| {
            Some((
                row["id"].as_str()?.to_owned(),
                row["outcome"].as_str()?.to_owned(),
            ))
        })
        .collect::<Option<_>>()
        .with_context(what)
}

fn differences(before: &Outcomes, after: &Outcomes) -> (String, bool) {
    let mut out = String::new();
    let mut changes: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let ids: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for id in ids {
        let of = |side: &'_ Outcomes| side.get(id).map_or("absent".to_owned(), Clone::clone);
        let (was, is) = (of(before), of(after));
        if was != is {
            let key = (name(&was), name(&is));
            changes.entry(key).or_default().push(id);
        }
    }
    for ((was, is), ids) in &changes {
        let _ = writeln!(out, "{was} -> {is}: {}", ids.len());
        for id in ids {
            let _ = writeln!(out, "  {id}");
        }
    }
    let different: usize = changes.values().map(Vec::len).sum();
    let _ = writeln!(
        out,
        "{} before, {} after, {different} different",
        before.len(),
        after.len()
    );
    (out, different > 0)
}

/// The outcome's name as a constant, so that it can be a key.
fn name(outcome: &str) -> &'static str {
    const NAMES: [&str; 5] = ["pass", "fail", "deviation", "skip", "absent"];
    NAMES
        .into_iter()
        .find(|name| *name == outcome)
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_changed_in_which_direction() {
        let of = |rows: &[(&str, &str)]| -> Outcomes {
            rows.iter()
                .map(|(id, outcome)| ((*id).to_owned(), (*outcome).to_owned()))
                .collect()
        };
        let before = of(&[("a", "pass"), ("b", "fail"), ("c", "pass")]);
        let after = of(&[("a", "pass"), ("b", "pass"), ("d", "skip")]);
        let (text, different) = differences(&before, &after);
        assert!(different);
        for part in [
            "fail -> pass: 1\n  b\n",
            "pass -> absent: 1\n  c\n",
            "absent -> skip: 1\n  d\n",
            "3 different",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!differences(&before, &before).1);
    }
}
