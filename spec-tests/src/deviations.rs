//! Known deviations: cases that a directory's plugins fail, each with its reason.

use std::path::Path;

use anyhow::{Context, Result};
use toml_edit::{DocumentMut, Item, Table};

use crate::{
    case,
    runner::{Outcome, Report},
};

/// The entries of a deviations file.
pub(crate) struct Deviations {
    entries: Vec<Entry>,
}

struct Entry {
    case: String,
    why: String,
}

impl Deviations {
    /// Reads a file of `[[deviation]]` tables with `case`, an id or a glob over ids with plugin
    /// and version (`bridge/mtu/02[bridge@*]`), and `why`.
    ///
    /// # Errors
    /// Says what is wrong with the file, and where.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--deviations {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("--deviations {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let document: DocumentMut = text.parse()?;
        let tables = document.get("deviation").and_then(Item::as_array_of_tables);
        let entries = tables
            .into_iter()
            .flatten()
            .map(entry)
            .collect::<Result<_>>()?;
        Ok(Self { entries })
    }

    /// Marks the failures that are listed, and returns a remark for each entry that failed
    /// nowhere although its cases ran.
    pub(crate) fn apply(&self, reports: &mut [Report]) -> Vec<String> {
        self.entries
            .iter()
            .filter_map(|entry| entry.apply(reports))
            .collect()
    }
}

fn entry(table: &Table) -> Result<Entry> {
    let text = |key: &str| -> Result<String> {
        let value = table.get(key).and_then(Item::as_str).unwrap_or_default();
        anyhow::ensure!(
            !value.is_empty(),
            "a [[deviation]] without the text {key:?}"
        );
        Ok(value.to_owned())
    };
    Ok(Entry {
        case: text("case")?,
        why: text("why")?,
    })
}

impl Entry {
    fn apply(&self, reports: &mut [Report]) -> Option<String> {
        let (mut passed, mut failed) = (0, 0);
        for report in reports.iter_mut().filter(|report| self.names(&report.id)) {
            match &report.outcome {
                Outcome::Pass => passed += 1,
                Outcome::Fail(failure) => {
                    failed += 1;
                    let failure = failure.clone();
                    report.outcome = Outcome::Deviation {
                        why: self.why.clone(),
                        failure,
                    };
                }
                Outcome::Deviation { .. } => failed += 1,
                Outcome::Skip { .. } => {}
            }
        }
        (failed == 0 && passed > 0).then(|| {
            format!(
                "{}: listed as a deviation, but it passes: take it off the list",
                self.case
            )
        })
    }

    fn names(&self, id: &str) -> bool {
        let bare = id.split('[').next().unwrap_or_default();
        case::matches(&self.case, id) || case::matches(&self.case, bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Failure, Level};

    fn report(id: &str, outcome: Outcome) -> Report {
        Report {
            id: id.to_owned(),
            rule: "A rule.",
            level: Level::Must,
            source: "Section 2",
            outcome,
            steps: Vec::new(),
            kept: None,
            seconds: 0.0,
        }
    }

    #[test]
    fn listed_failures_become_deviations_and_listed_passes_are_reported() {
        let list = Deviations::parse(
            "[[deviation]]\ncase = \"a/1\"\nwhy = \"x\"\n\
             [[deviation]]\ncase = \"a/2[q@*]\"\nwhy = \"y\"\n",
        )
        .unwrap();
        let fail = Outcome::Fail(Failure::new("w", "e", "s"));
        let mut reports = [
            report("a/1[p@1.0.0]", fail.clone()),
            report("a/2[p@1.0.0]", fail),
            report("a/2[q@1.0.0]", Outcome::Pass),
        ];
        let remarks = list.apply(&mut reports);
        assert!(matches!(&reports[0].outcome, Outcome::Deviation { why, .. } if why == "x"));
        assert!(matches!(reports[1].outcome, Outcome::Fail(_)));
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].starts_with("a/2[q@*]"));
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        for text in [
            "[[deviation]]\ncase = \"a\"",
            "[[deviation]]\nwhy = \"a\"",
            "deviation =",
        ] {
            assert!(Deviations::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_list_of_the_reference_names_cases_that_exist() {
        let text = include_str!("../reference-deviations.toml");
        for entry in Deviations::parse(text).unwrap().entries {
            let bare = entry.case.split('[').next().unwrap_or_default();
            let known = case::all().iter().any(|case| case::matches(bare, case.id));
            assert!(known, "{}", entry.case);
        }
    }

    #[test]
    fn only_cases_that_the_reference_fails_have_repairs() {
        let list = Deviations::parse(include_str!("../reference-deviations.toml")).unwrap();
        let is_listed = |case: &case::Case| {
            list.entries.iter().any(|entry| {
                let bare = entry.case.split('[').next().unwrap_or_default();
                case::matches(bare, case.id)
            })
        };
        let repaired = |case: &&case::Case| !case.repairs.is_empty();
        for case in case::all().into_iter().filter(repaired) {
            assert!(is_listed(case), "{}", case.id);
        }
    }
}
