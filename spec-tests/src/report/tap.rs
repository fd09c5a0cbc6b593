//! Test Anything Protocol, version 13: a failure that does not break conformance is a TODO.

use std::fmt::Write;

use super::level;
use crate::{
    case::{Failure, Level},
    runner::{Outcome, Report},
};

pub(super) fn render(reports: &[Report]) -> String {
    let mut out = format!("TAP version 13\n1..{}\n", reports.len());
    for (number, report) in (1..).zip(reports) {
        point(&mut out, number, report);
    }
    out
}

fn point(out: &mut String, number: usize, report: &Report) {
    let id = &report.id;
    let (result, directive, failure) = match &report.outcome {
        Outcome::Pass => ("ok", String::new(), None),
        Outcome::Skip { reason } => ("ok", format!(" # SKIP {}", line(reason)), None),
        Outcome::Deviation { why, failure } => {
            ("not ok", format!(" # TODO {}", line(why)), Some(failure))
        }
        Outcome::Fail(failure) if report.level == Level::Should => (
            "not ok",
            " # TODO recommended, not demanded".to_owned(),
            Some(failure),
        ),
        Outcome::Fail(failure) => ("not ok", String::new(), Some(failure)),
    };
    let _ = writeln!(out, "{result} {number} - {id}{directive}");
    if let Some(failure) = failure {
        diagnosis(out, report, failure);
    }
}

/// A YAML block; JSON texts are YAML.
fn diagnosis(out: &mut String, report: &Report, failure: &Failure) {
    out.push_str("  ---\n");
    for (key, value) in [
        ("message", report.rule),
        ("severity", &level(report.level)),
        ("source", report.source),
        ("what", &failure.what),
        ("expected", &failure.expected),
        ("seen", &failure.seen),
    ] {
        let _ = writeln!(out, "  {key}: {}", serde_json::Value::from(value));
    }
    let _ = writeln!(out, "  duration_ms: {:.0}\n  ...", report.seconds * 1000.0);
}

/// One line, so that it cannot end the test point.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::reports, *};

    #[test]
    fn points_are_numbered_and_failures_explained() {
        let tap = render(&reports());
        for part in [
            "TAP version 13\n1..7\nok 1 - a/x/1[p@1.0.0]\n",
            "not ok 2 - a/x/2[p@1.0.0] # TODO recommended, not demanded\n  ---\n",
            "not ok 3 - a/x/3[p@1.0.0]\n  ---\n  message: \"A rule.\"\n  severity: \"MUST\"\n",
            "  seen: \"s \\\"quoted\\\"\\nin two lines\"\n  duration_ms: 500\n  ...\n",
            "not ok 5 - b/y/1[p@1.0.0] # TODO It always did.\n",
            "ok 6 - b/y/2[p@1.0.0] # SKIP needs nft\n",
        ] {
            assert!(tap.contains(part), "{part}: {tap}");
        }
    }
}
