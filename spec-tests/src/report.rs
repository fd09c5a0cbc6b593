//! The report in the forms that people and CI systems read.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    case::{Failure, Level},
    runner::{Outcome, Report},
    steps,
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

/// The whole report as text of that format.
#[must_use]
pub(crate) fn render(reports: &[Report], format: Format) -> String {
    match format {
        Format::Text => text(reports),
        Format::Json => {
            serde_json::to_string_pretty(reports).unwrap_or_else(|error| error.to_string())
        }
        Format::Junit => junit(reports),
        Format::Tap => tap(reports),
    }
}

fn text(reports: &[Report]) -> String {
    let mut out = String::new();
    for report in reports {
        match &report.outcome {
            Outcome::Fail(failure) => failed(&mut out, report, failure),
            Outcome::Deviation { why, .. } => {
                let _ = writeln!(out, "deviation: {}: {why}", report.id);
            }
            Outcome::Skip { reason } => {
                let _ = writeln!(out, "skipped: {}: {reason}", report.id);
            }
            Outcome::Pass => {}
        }
    }
    table(&mut out, reports);
    let [pass, fail, deviation, skip] = totals(reports);
    let _ = writeln!(
        out,
        "{pass} passed, {fail} failed, {deviation} deviations, {skip} skipped"
    );
    out
}

/// One failure with both sides and the commands that repeat it.
fn failed(out: &mut String, report: &Report, failure: &Failure) {
    let level = format!("{:?}", report.level).to_uppercase();
    let _ = writeln!(out, "FAIL {} ({level}, {})", report.id, report.source);
    let _ = writeln!(out, "  rule:     {}", report.rule);
    let _ = writeln!(out, "  looked at {}", failure.what);
    let _ = writeln!(
        out,
        "  expected: {}\n  seen:     {}",
        failure.expected, failure.seen
    );
    if let Some(keeper) = report.kept {
        let _ = writeln!(
            out,
            "  kept:     nsenter --target {keeper} --net --mount; end it with: kill {keeper}"
        );
    }
    out.push_str(&steps::script(&report.steps));
}

/// Outcomes by section, a section being the first two words of a case's id.
fn table(out: &mut String, reports: &[Report]) {
    let mut sections: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for report in reports {
        let id = report.id.split('[').next().unwrap_or_default();
        let section = id.rsplit_once('/').map_or(id, |(section, _)| section);
        sections.entry(section.to_owned()).or_default()[column(&report.outcome)] += 1;
    }
    let _ = writeln!(
        out,
        "{:32} {:>6} {:>6} {:>10} {:>6}",
        "section", "pass", "fail", "deviation", "skip"
    );
    for (section, [pass, fail, deviation, skip]) in &sections {
        let _ = writeln!(
            out,
            "{section:32} {pass:>6} {fail:>6} {deviation:>10} {skip:>6}"
        );
    }
}

fn column(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Fail(_) => 1,
        Outcome::Deviation { .. } => 2,
        Outcome::Skip { .. } => 3,
    }
}

fn totals(reports: &[Report]) -> [usize; 4] {
    let mut totals = [0; 4];
    for report in reports {
        totals[column(&report.outcome)] += 1;
    }
    totals
}

fn junit(reports: &[Report]) -> String {
    let [_, failures, deviations, skipped] = totals(reports);
    let skipped = skipped + deviations;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests = reports.len();
    let _ = writeln!(
        out,
        "<testsuite name=\"cni\" tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\">"
    );
    for report in reports {
        let _ = write!(
            out,
            "  <testcase name=\"{}\" time=\"{:.3}\">",
            xml(&report.id),
            report.seconds
        );
        match &report.outcome {
            Outcome::Pass => {}
            Outcome::Fail(failure) => {
                let body = format!(
                    "{}\nexpected: {}\nseen: {}",
                    failure.what, failure.expected, failure.seen
                );
                let _ = write!(
                    out,
                    "<failure message=\"{}\">{}</failure>",
                    xml(report.rule),
                    xml(&body)
                );
            }
            Outcome::Deviation { why: reason, .. } | Outcome::Skip { reason } => {
                let _ = write!(out, "<skipped message=\"{}\"/>", xml(reason));
            }
        }
        out.push_str("</testcase>\n");
    }
    out.push_str("</testsuite>\n");
    out
}

/// Escapes text for XML and drops what XML 1.0 cannot hold.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(c),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn tap(reports: &[Report]) -> String {
    let mut out = format!("TAP version 13\n1..{}\n", reports.len());
    for (number, report) in (1..).zip(reports) {
        let _ = match &report.outcome {
            Outcome::Pass => writeln!(out, "ok {number} - {}", report.id),
            Outcome::Fail(failure) => writeln!(
                out,
                "not ok {number} - {}\n  ---\n  what: {:?}\n  expected: {:?}\n  seen: {:?}\n  ...",
                report.id, failure.what, failure.expected, failure.seen
            ),
            Outcome::Deviation { why, .. } => {
                writeln!(out, "not ok {number} - {} # TODO {why}", report.id)
            }
            Outcome::Skip { reason } => {
                writeln!(out, "ok {number} - {} # SKIP {reason}", report.id)
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> Vec<Report> {
        let report = |id: &str, level, outcome| Report {
            id: id.to_owned(),
            rule: "A rule.",
            level,
            source: "Section 2",
            outcome,
            steps: Vec::new(),
            kept: None,
            seconds: 0.5,
        };
        vec![
            report("a/1[x@1.0.0]", Level::Must, Outcome::Pass),
            report(
                "a/2[x@1.0.0]",
                Level::Should,
                Outcome::Fail(Failure::new("w", "<e>", "s")),
            ),
            report(
                "b/1[x@1.0.0]",
                Level::Must,
                Outcome::Skip {
                    reason: "needs nft".into(),
                },
            ),
        ]
    }

    #[test]
    fn a_failed_should_does_not_break_conformance_and_a_failed_must_does() {
        let mut reports = reports();
        assert!(conforms(&reports));
        reports[1].level = Level::Compat;
        assert!(!conforms(&reports));
    }

    #[test]
    fn every_format_counts_and_names_the_failure() {
        let reports = reports();
        assert!(
            render(&reports, Format::Text)
                .ends_with("1 passed, 1 failed, 0 deviations, 1 skipped\n")
        );
        assert!(render(&reports, Format::Tap).contains("not ok 2 - a/2[x@1.0.0]"));
        let junit = render(&reports, Format::Junit);
        assert!(
            junit.contains("tests=\"3\" failures=\"1\" skipped=\"1\"")
                && junit.contains("&lt;e&gt;")
        );
        let json: serde_json::Value =
            serde_json::from_str(&render(&reports, Format::Json)).unwrap();
        assert_eq!(json[1]["outcome"], "fail");
        assert_eq!(json[1]["expected"], "<e>");
    }
}
