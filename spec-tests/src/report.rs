//! The report in the forms that people and CI systems read.

mod junit;
mod tap;
mod text;

use std::collections::BTreeMap;

use crate::{
    case::Level,
    runner::{Outcome, Report},
};

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table by section, then the failures with both sides and how to repeat them
    Text,
    /// One JSON document
    Json,
    /// JUnit XML
    Junit,
    /// Test Anything Protocol, version 13
    Tap,
}

/// Whether every MUST and COMPAT case passed, was skipped or is a known deviation.
#[must_use]
pub(crate) fn conforms(reports: &[Report]) -> bool {
    !reports
        .iter()
        .any(|report| matches!(report.outcome, Outcome::Fail(_)) && report.level != Level::Should)
}

/// Whether any case passed or failed; a report of skipped cases says nothing about a plugin.
#[must_use]
pub(crate) fn judged(reports: &[Report]) -> bool {
    !reports
        .iter()
        .all(|report| matches!(report.outcome, Outcome::Skip { .. }))
}

/// The whole report as text of that format.
#[must_use]
pub(crate) fn render(reports: &[Report], format: Format) -> String {
    match format {
        Format::Text => text::render(reports),
        Format::Json => {
            let text = serde_json::to_string_pretty(reports);
            text.unwrap_or_else(|error| error.to_string()) + "\n"
        }
        Format::Junit => junit::render(reports),
        Format::Tap => tap::render(reports),
    }
}

/// `MUST`, `SHOULD` or `COMPAT`.
#[must_use]
pub(crate) fn level(level: Level) -> String {
    format!("{level:?}").to_uppercase()
}

/// The section that a report belongs to: `spec/add`, `bridge/mtu`.
fn section(report: &Report) -> &str {
    let id = case_of(report);
    let end = id.match_indices('/').nth(1).map_or(id.len(), |(at, _)| at);
    &id[..end]
}

/// The case's id, without plugin and version.
fn case_of(report: &Report) -> &str {
    report.id.split('[').next().unwrap_or_default()
}

/// `[plugin@version]` and what follows.
fn instance_of(report: &Report) -> &str {
    &report.id[case_of(report).len()..]
}

fn by_section(reports: &[Report]) -> BTreeMap<&str, Vec<&Report>> {
    let mut sections: BTreeMap<&str, Vec<&Report>> = BTreeMap::new();
    for report in reports {
        sections.entry(section(report)).or_default().push(report);
    }
    sections
}

/// How many passed, failed, deviate and were skipped.
fn totals<'a>(reports: impl IntoIterator<Item = &'a Report>) -> [usize; 4] {
    let mut totals = [0; 4];
    for report in reports {
        let column = match &report.outcome {
            Outcome::Pass => 0,
            Outcome::Fail(_) => 1,
            Outcome::Deviation { .. } => 2,
            Outcome::Skip { .. } => 3,
        };
        totals[column] += 1;
    }
    totals
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::Failure;

    pub(super) fn report(id: &str, level: Level, outcome: Outcome) -> Report {
        Report {
            id: id.to_owned(),
            rule: "A rule.",
            level,
            source: "Section 2",
            outcome,
            steps: Vec::new(),
            kept: None,
            seconds: 0.5,
        }
    }

    pub(super) fn fail() -> Outcome {
        Outcome::Fail(Failure::new("w", "<e>", "s \"quoted\"\nin two lines"))
    }

    /// One of every outcome and level that matters.
    pub(crate) fn reports() -> Vec<Report> {
        let skip = || Outcome::Skip {
            reason: "needs nft".into(),
        };
        let deviation = Outcome::Deviation {
            why: "It always did.".into(),
            failure: Failure::new("w", "e", "s"),
        };
        vec![
            report("a/x/1[p@1.0.0]", Level::Must, Outcome::Pass),
            report("a/x/2[p@1.0.0]", Level::Should, fail()),
            report("a/x/3[p@1.0.0]", Level::Must, fail()),
            report("a/x/3[p@1.1.0]", Level::Must, fail()),
            report("b/y/1[p@1.0.0]", Level::Compat, deviation),
            report("b/y/2[p@1.0.0]", Level::Must, skip()),
            report("b/y/2[p@1.1.0]", Level::Must, skip()),
        ]
    }

    #[test]
    fn a_failed_should_does_not_break_conformance_and_a_failed_must_does() {
        let mut reports = vec![report("a/2[x@1.0.0]", Level::Should, fail())];
        assert!(conforms(&reports));
        reports[0].level = Level::Compat;
        assert!(!conforms(&reports));
    }

    #[test]
    fn json_holds_both_sides_of_a_failure() {
        let json: serde_json::Value =
            serde_json::from_str(&render(&reports(), Format::Json)).unwrap();
        assert_eq!(json[1]["outcome"], "fail");
        assert_eq!(json[1]["expected"], "<e>");
    }

    #[test]
    fn sections_are_the_first_two_words() {
        let of = |id| section(&report(id, Level::Must, Outcome::Pass)).to_owned();
        assert_eq!(of("spec/add/result/01[bridge@1.0.0]"), "spec/add");
        assert_eq!(of("bridge/mtu/02[bridge@1.0.0] after /x/y/z"), "bridge/mtu");
    }
}
