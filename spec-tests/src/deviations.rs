//! Known deviations: cases that a directory's plugins fail, each with its reason.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use toml_edit::{DocumentMut, Item, Table};

use crate::{
    case, plugins,
    runner::{Outcome, Report},
};

/// The entries of a deviations file that speak of one release.
pub(crate) struct Deviations {
    entries: Vec<Entry>,
}

struct Entry {
    case: String,
    why: String,
    /// Releases that deviate; without any, every one that the file is about.
    releases: Vec<String>,
}

impl Deviations {
    /// Reads a file of `[[deviation]]` tables with `case`, an id or a glob over ids with plugin
    /// and version (`bridge/mtu/02[bridge@*]`), and `why`.
    ///
    /// A file about several releases of the plugins names them in `releases`, the usual one first;
    /// there each table may name its own, and is about the usual one when it does not. What is no
    /// case for anybody, and why, stands in `[[not_a_case]]` tables with `what` and `why`.
    ///
    /// # Errors
    /// Says what is wrong with the file, and where.
    pub(crate) fn read(path: &Path, release: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--deviations {}", path.display()))?;
        Self::parse(&text, release).with_context(|| format!("--deviations {}", path.display()))
    }

    fn parse(text: &str, release: Option<&str>) -> Result<Self> {
        let document: DocumentMut = text.parse()?;
        only(
            document.as_table(),
            "the file",
            &["releases", "deviation", "not_a_case"],
        )?;
        let about = texts(document.as_table(), "releases")?;
        for table in tables(&document, "not_a_case")? {
            only(table, "a [[not_a_case]]", &["what", "why"])?;
            line(table, "a [[not_a_case]]", "what")?;
            line(table, "a [[not_a_case]]", "why")?;
        }
        let mut entries = tables(&document, "deviation")?
            .into_iter()
            .map(|table| entry(table, &about))
            .collect::<Result<Vec<_>>>()?;
        if let Some(release) = release {
            known(release, &about).context("--release")?;
        }
        let usual = about.first().map(String::as_str);
        if let Some(release) = release.or(usual) {
            entries.retain(|entry| entry.releases.iter().any(|own| own == release));
        }
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

fn entry(table: &Table, about: &[String]) -> Result<Entry> {
    const WHAT: &str = "a [[deviation]]";
    only(table, WHAT, &["case", "why", "releases"])?;
    let (case, why) = (line(table, WHAT, "case")?, line(table, WHAT, "why")?);
    names_a_case(&case)?;
    let mut releases = texts(table, "releases")?;
    for release in &releases {
        known(release, about).with_context(|| case.clone())?;
    }
    if releases.is_empty() {
        releases.extend(about.first().cloned());
    }
    Ok(Entry {
        case,
        why,
        releases,
    })
}

/// The pattern matches the id of a case, and its plugin, when it names one, is one of the suite's.
fn names_a_case(pattern: &str) -> Result<()> {
    let (id, plugin) = pattern.split_once('[').unwrap_or((pattern, "*@"));
    let plugin = plugin.split('@').next().unwrap_or_default();
    ensure!(
        case::all().iter().any(|case| case::matches(id, case.id)),
        "{pattern:?} matches no case; 'spec-tests list' names them"
    );
    ensure!(
        plugins::all().any(|known| case::matches(plugin, known.name)),
        "{pattern:?}: the suite knows no plugin {plugin:?}"
    );
    Ok(())
}

fn known(release: &str, about: &[String]) -> Result<()> {
    ensure!(
        about.iter().any(|known| known == release),
        "release {release:?} is not one of those that the file is about: {about:?}"
    );
    Ok(())
}

/// The tables `[[name]]`.
fn tables<'a>(document: &'a DocumentMut, name: &str) -> Result<Vec<&'a Table>> {
    let Some(item) = document.get(name) else {
        return Ok(Vec::new());
    };
    let tables = item
        .as_array_of_tables()
        .with_context(|| format!("{name:?} is not written as [[{name}]]"))?;
    Ok(tables.iter().collect())
}

/// Nothing but these keys: what is misspelt would be overlooked.
fn only(table: &Table, what: &str, keys: &[&str]) -> Result<()> {
    let unknown = table.iter().find(|(key, _)| !keys.contains(key));
    ensure!(
        unknown.is_none(),
        "{what} with the unknown key {:?}; known are {keys:?}",
        unknown.map_or("", |(key, _)| key)
    );
    Ok(())
}

fn line(table: &Table, what: &str, key: &str) -> Result<String> {
    let value = table.get(key).and_then(Item::as_str).unwrap_or_default();
    ensure!(!value.is_empty(), "{what} without the text {key:?}");
    Ok(value.to_owned())
}

/// A list of texts; none when it is not there.
fn texts(table: &Table, key: &str) -> Result<Vec<String>> {
    let Some(item) = table.get(key) else {
        return Ok(Vec::new());
    };
    let texts = item.as_array().and_then(|array| {
        let texts = array.iter().map(|value| value.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    texts.with_context(|| format!("{key:?} is not a list of texts"))
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

    const REFERENCE: &str = include_str!("../reference-deviations.toml");

    #[test]
    fn listed_failures_become_deviations_and_listed_passes_are_reported() {
        let list = Deviations::parse(
            "[[deviation]]\ncase = \"bridge/mtu/01\"\nwhy = \"x\"\n\
             [[deviation]]\ncase = \"bridge/mtu/02[ptp@*]\"\nwhy = \"y\"\n",
            None,
        )
        .unwrap();
        let fail = Outcome::Fail(Failure::new("w", "e", "s"));
        let mut reports = [
            report("bridge/mtu/01[bridge@1.0.0]", fail.clone()),
            report("bridge/mtu/02[bridge@1.0.0]", fail),
            report("bridge/mtu/02[ptp@1.0.0]", Outcome::Pass),
        ];
        let remarks = list.apply(&mut reports);
        assert!(matches!(&reports[0].outcome, Outcome::Deviation { why, .. } if why == "x"));
        assert!(matches!(reports[1].outcome, Outcome::Fail(_)));
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].starts_with("bridge/mtu/02[ptp@*]"));
    }

    #[test]
    fn what_is_misspelt_is_refused_and_named() {
        for (text, named) in [
            ("[[deviation]]\ncase = \"bridge/mtu/01\"", "\"why\""),
            ("[[deviation]]\nwhy = \"a\"", "\"case\""),
            (
                "[[deviation]]\ncase = \"bridge/mtu/99\"\nwhy = \"a\"",
                "bridge/mtu/99",
            ),
            (
                "[[deviation]]\ncase = \"bridge/mtu/01[brigde@*]\"\nwhy = \"a\"",
                "brigde",
            ),
            (
                "[[deviation]]\ncase = \"bridge/mtu/01\"\nwyh = \"a\"",
                "wyh",
            ),
            (
                "[[deviatoin]]\ncase = \"bridge/mtu/01\"\nwhy = \"a\"",
                "deviatoin",
            ),
            (
                "[deviation]\ncase = \"bridge/mtu/01\"\nwhy = \"a\"",
                "[[deviation]]",
            ),
            (
                "releases = [\"1\"]\n[[deviation]]\ncase = \"bridge/mtu/01\"\nwhy = \"a\"\nreleases = [\"2\"]",
                "\"2\"",
            ),
            ("releases = \"1\"", "releases"),
            ("[[not_a_case]]\nwhat = \"x\"", "\"why\""),
            ("deviation =", "deviation ="),
        ] {
            let error = Deviations::parse(text, None).err().expect(text);
            assert!(format!("{error:#}").contains(named), "{text}: {error:#}");
        }
    }

    #[test]
    fn an_entry_counts_for_its_releases() {
        let text = "releases = [\"1.1.1\", \"1.9.1\"]\n\
                    [[deviation]]\ncase = \"bridge/mtu/01\"\nwhy = \"old\"\n\
                    [[deviation]]\ncase = \"bridge/mtu/01\"\nwhy = \"new\"\nreleases = [\"1.9.1\"]\n\
                    [[deviation]]\ncase = \"bridge/mtu/01\"\nwhy = \"both\"\nreleases = [\"1.1.1\", \"1.9.1\"]\n";
        let reasons = |release| -> Vec<String> {
            let list = Deviations::parse(text, release).unwrap();
            list.entries.into_iter().map(|entry| entry.why).collect()
        };
        assert_eq!(reasons(None), ["old", "both"]);
        assert_eq!(reasons(Some("1.1.1")), ["old", "both"]);
        assert_eq!(reasons(Some("1.9.1")), ["new", "both"]);
        assert!(Deviations::parse(text, Some("1.2")).is_err());
    }

    #[test]
    fn the_list_of_the_reference_can_be_read() {
        assert!(Deviations::parse(REFERENCE, None).is_ok());
        assert!(Deviations::parse(REFERENCE, Some("1.9.1")).is_ok());
    }

    #[test]
    fn only_cases_that_the_reference_fails_have_repairs() {
        let list = Deviations::parse(REFERENCE, None).unwrap();
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
