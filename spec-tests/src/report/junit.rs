//! JUnit XML as Jenkins and GitLab load it: `testsuites` of `testsuite` of `testcase`.
//!
//! What does not break conformance is `skipped` there, so that a CI system and the exit status
//! say the same.

use std::fmt::Write;

use super::{by_section, level, section};
use crate::{
    case::{Failure, Level},
    runner::{Outcome, Report},
    steps,
};

/// What a test case holds.
enum Element {
    Nothing,
    Failure(Failure),
    Error(Failure),
    Skipped(String),
}

pub(super) fn render(reports: &[Report]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = counts(reports);
    let _ = writeln!(out, "<testsuites name=\"cni\" {counts}>");
    for (name, reports) in by_section(reports) {
        suite(&mut out, name, &reports);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, name: &str, reports: &[&Report]) {
    let counts = counts(reports.iter().copied());
    let _ = writeln!(out, "  <testsuite name=\"{}\" {counts}>", attribute(name));
    for report in reports {
        case(out, report);
    }
    out.push_str("  </testsuite>\n");
}

fn counts<'a>(reports: impl IntoIterator<Item = &'a Report>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped, mut seconds) = (0, 0, 0, 0, 0.0);
    for report in reports {
        tests += 1;
        seconds += report.seconds;
        match element(report) {
            Element::Nothing => {}
            Element::Failure(_) => failures += 1,
            Element::Error(_) => errors += 1,
            Element::Skipped(_) => skipped += 1,
        }
    }
    format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.3}\""
    )
}

fn element(report: &Report) -> Element {
    match &report.outcome {
        Outcome::Pass => Element::Nothing,
        Outcome::Fail(failure) if report.level == Level::Should => {
            Element::Skipped(format!("SHOULD be otherwise: {}", sides(failure)))
        }
        Outcome::Fail(failure) if failure.is_of_the_case() => Element::Error(failure.clone()),
        Outcome::Fail(failure) => Element::Failure(failure.clone()),
        Outcome::Deviation { why, .. } => Element::Skipped(format!("known deviation: {why}")),
        Outcome::Skip { reason } => Element::Skipped(reason.clone()),
    }
}

fn case(out: &mut String, report: &Report) {
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        attribute(&section(report).replace('/', ".")),
        attribute(&report.id),
        report.seconds
    );
    let (tag, failure) = match element(report) {
        Element::Nothing => return out.push_str("/>\n"),
        Element::Skipped(reason) => {
            let _ = write!(out, "><skipped message=\"{}\"/>", attribute(&reason));
            return out.push_str("</testcase>\n");
        }
        Element::Failure(failure) => ("failure", failure),
        Element::Error(failure) => ("error", failure),
    };
    let body = format!("{}\n{}", sides(&failure), steps::script(&report.steps));
    let _ = write!(
        out,
        "><{tag} type=\"{}\" message=\"{}\">{}</{tag}>",
        level(report.level),
        attribute(report.rule),
        text(&body)
    );
    out.push_str("</testcase>\n");
}

fn sides(failure: &Failure) -> String {
    format!(
        "{}\nexpected: {}\nseen: {}",
        failure.what, failure.expected, failure.seen
    )
}

/// Text for an attribute, whose line ends a reader would make blanks.
fn attribute(value: &str) -> String {
    let escaped = text(value).replace('"', "&quot;");
    escaped.replace('\n', "&#10;").replace('\t', "&#9;")
}

/// Escapes text for XML and replaces what XML 1.0 cannot hold.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{report, reports},
        *,
    };

    #[test]
    fn suites_count_their_cases_and_only_what_breaks_conformance_fails() {
        let xml = render(&reports());
        for part in [
            "<testsuites name=\"cni\" tests=\"7\" failures=\"2\" errors=\"0\" skipped=\"4\" time=\"3.500\">\n",
            "<testsuite name=\"a/x\" tests=\"4\" failures=\"2\" errors=\"0\" skipped=\"1\" time=\"2.000\">\n",
            "<testcase classname=\"a.x\" name=\"a/x/1[p@1.0.0]\" time=\"0.500\"/>\n",
            "<failure type=\"MUST\" message=\"A rule.\">w\nexpected: &lt;e&gt;\n",
            "<skipped message=\"SHOULD be otherwise: w&#10;expected: &lt;e&gt;&#10;seen: s &quot;quoted&quot;&#10;in two lines\"/>",
            "<skipped message=\"needs nft\"/>",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
    }

    #[test]
    fn what_hinders_a_case_is_an_error() {
        let failure = Failure::from(anyhow::anyhow!("no \u{1} <ip>"));
        let xml = render(&[report(
            "a/x/1[p@1.0.0]",
            Level::Must,
            Outcome::Fail(failure),
        )]);
        assert!(xml.contains("errors=\"1\""), "{xml}");
        assert!(xml.contains("seen: no \u{fffd} &lt;ip&gt;"), "{xml}");
    }
}
