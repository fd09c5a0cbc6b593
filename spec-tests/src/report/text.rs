//! The report for people: the table, what was left out and why, then every failure.

use std::{collections::BTreeMap, fmt::Write};

use super::{by_section, case_of, conforms, instance_of, judged, level, totals};
use crate::{
    case::{Failure, Level},
    runner::{Outcome, Report},
    steps,
};

pub(super) fn render(reports: &[Report]) -> String {
    let mut out = String::new();
    table(&mut out, reports);
    skipped(&mut out, reports);
    deviations(&mut out, reports);
    failures(&mut out, reports);
    verdict(&mut out, reports);
    out
}

/// Outcomes by section.
fn table(out: &mut String, reports: &[Report]) {
    let _ = writeln!(
        out,
        "{:32} {:>6} {:>6} {:>10} {:>6}",
        "section", "pass", "fail", "deviation", "skip"
    );
    for (section, reports) in by_section(reports) {
        row(out, section, totals(reports));
    }
    row(out, "all", totals(reports));
}

fn row(out: &mut String, name: &str, [pass, fail, deviation, skip]: [usize; 4]) {
    let _ = writeln!(
        out,
        "{name:32} {pass:>6} {fail:>6} {deviation:>10} {skip:>6}"
    );
}

fn skipped(out: &mut String, reports: &[Report]) {
    let mut reasons: BTreeMap<&str, Vec<&Report>> = BTreeMap::new();
    for report in reports {
        if let Outcome::Skip { reason } = &report.outcome {
            reasons.entry(reason).or_default().push(report);
        }
    }
    for (reason, reports) in reasons {
        let first = &reports[0].id;
        let rest = match reports.len() {
            1 => first.clone(),
            count => format!("{count} times, the first is {first}"),
        };
        let _ = writeln!(out, "skipped: {reason}: {rest}");
    }
}

fn deviations(out: &mut String, reports: &[Report]) {
    let mut cases: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for report in reports {
        if let Outcome::Deviation { why, .. } = &report.outcome {
            let instances = cases.entry((case_of(report), why)).or_default();
            instances.push(instance_of(report));
        }
    }
    for ((case, why), instances) in cases {
        let _ = writeln!(out, "deviation: {case} {}: {why}", instances.join(" "));
    }
}

/// Each failed case once with the commands that repeat it; other plugins and versions that fail
/// it behind, with what is different there.
fn failures(out: &mut String, reports: &[Report]) {
    let mut cases: BTreeMap<&str, Vec<(&Report, &Failure)>> = BTreeMap::new();
    for report in reports {
        if let Outcome::Fail(failure) = &report.outcome {
            cases
                .entry(case_of(report))
                .or_default()
                .push((report, failure));
        }
    }
    for failed in cases.into_values() {
        let (first, failure) = failed[0];
        let _ = writeln!(
            out,
            "\nFAIL {} ({}, {})",
            first.id,
            level(first.level),
            first.source
        );
        let _ = writeln!(out, "  rule:     {}", first.rule);
        sides(out, failure);
        keeper(out, first);
        out.push_str(&steps::script(&first.steps));
        for (other, again) in &failed[1..] {
            let _ = writeln!(out, "  FAIL also {}", other.id);
            if again.what != failure.what || again.expected != failure.expected {
                sides(out, again);
            } else if again.seen != failure.seen {
                let _ = writeln!(out, "  seen:     {}", again.seen);
            }
            keeper(out, other);
        }
    }
}

fn sides(out: &mut String, failure: &Failure) {
    let _ = writeln!(out, "  looked at {}", failure.what);
    let _ = writeln!(out, "  expected: {}", failure.expected);
    let _ = writeln!(out, "  seen:     {}", failure.seen);
}

fn keeper(out: &mut String, report: &Report) {
    if let Some(keeper) = report.kept {
        let _ = writeln!(
            out,
            "  kept:     nsenter --target {keeper} --net --mount; end it with: kill {keeper}"
        );
    }
}

fn verdict(out: &mut String, reports: &[Report]) {
    let [pass, fail, deviation, skip] = totals(reports);
    let of = |wanted| {
        let failed = |report: &&Report| matches!(report.outcome, Outcome::Fail(_));
        let failed = reports.iter().filter(failed);
        failed.filter(|report| report.level == wanted).count()
    };
    let by_level = match fail {
        0 => String::new(),
        _ => format!(
            " ({} MUST, {} COMPAT, {} SHOULD)",
            of(Level::Must),
            of(Level::Compat),
            of(Level::Should)
        ),
    };
    let verdict = if !judged(reports) {
        "nothing was judged"
    } else if conforms(reports) {
        "conforms"
    } else {
        "does not conform"
    };
    let _ = writeln!(
        out,
        "\n{verdict}: {pass} passed, {fail} failed{by_level}, {deviation} deviations, {skip} skipped"
    );
}

#[cfg(test)]
mod tests {
    use super::{super::tests::reports, *};

    #[test]
    fn each_failed_case_stands_once_and_everything_is_counted() {
        let text = render(&reports());
        for part in [
            "a/x                                   1      3          0      0\n",
            "all                                   1      3          1      2\n",
            "skipped: needs nft: 2 times, the first is b/y/2[p@1.0.0]\n",
            "deviation: b/y/1 [p@1.0.0]: It always did.\n",
            "\nFAIL a/x/3[p@1.0.0] (MUST, Section 2)\n  rule:     A rule.\n",
            "  FAIL also a/x/3[p@1.1.0]\n",
            "\ndoes not conform: 1 passed, 3 failed (2 MUST, 0 COMPAT, 1 SHOULD), 1 deviations, 2 skipped\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("\nFAIL ").count(), 2);
    }
}
