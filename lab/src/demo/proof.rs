//! The proof that nothing is left: the machine before, during and after.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::screen::Screen;
use super::snapshot::Snapshot;
use crate::output::Table;
use crate::pod::GROUP;
use crate::state::{LabDir, Name};

/// The machine before the lab.
pub(super) struct Before {
    lab: Name,
    before: Snapshot,
}

/// And with the lab.
pub(super) struct During {
    lab: Name,
    before: Snapshot,
    during: Snapshot,
}

impl Before {
    pub(super) fn look(lab: Name) -> Result<Self> {
        Ok(Self {
            before: Snapshot::take(&lab)?,
            lab,
        })
    }

    pub(super) fn and_during(self) -> Result<During> {
        Ok(During {
            during: Snapshot::take(&self.lab)?,
            before: self.before,
            lab: self.lab,
        })
    }
}

/// One line of the proof.
struct Finding {
    what: &'static str,
    counts: [usize; 3],
    /// Of the lab, and still there.
    left: Vec<String>,
    /// Different from before, and not of the lab: the machine has a life of its own.
    foreign: usize,
}

/// Shows what is left; anything of the lab is a failure.
///
/// # Errors
/// The machine cannot be looked at.
pub(super) fn prove(screen: &mut Screen, then: &During) -> Result<()> {
    screen.step("the proof: the machine before, with the lab, and after it");
    let mut findings = look(then)?;
    // The kernel takes namespaces apart after their last process has ended.
    let deadline = Instant::now() + Duration::from_secs(2);
    while findings.iter().any(|finding| !finding.left.is_empty()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        findings = look(then)?;
    }
    let mut table = Table::new(&["", "BEFORE", "DURING", "AFTER", ""]);
    for finding in &findings {
        let counts = finding.counts.map(|count| count.to_string());
        let verdict = verdict(screen, finding);
        table.row([&[finding.what.to_owned()], &counts[..], &[verdict]].concat());
    }
    screen.table(&table);
    for finding in findings.iter().filter(|finding| !finding.left.is_empty()) {
        screen.failed(format_args!(
            "{} left: {}",
            finding.what,
            finding.left.join(", ")
        ));
    }
    if LabDir::of(&then.lab).path("").exists() {
        screen.failed("the lab's directory is left");
    }
    screen.done();
    Ok(())
}

fn verdict(screen: &Screen, finding: &Finding) -> String {
    let paint = screen.paint();
    match (finding.left.len(), finding.foreign) {
        (0, 0) => paint.good("as before"),
        (0, foreign) => {
            let note = format!("({foreign} changed by others)");
            format!(
                "{} {}",
                paint.good("nothing of the lab left"),
                paint.dim(note)
            )
        }
        (left, _) => paint.bad(format_args!("{left} left")),
    }
}

fn look(then: &During) -> Result<Vec<Finding>> {
    let now = Snapshot::take(&then.lab)?;
    let (before, during) = (&then.before, &then.during);
    let own_namespaces: BTreeSet<String> = during
        .own_namespaces
        .union(&now.own_namespaces)
        .cloned()
        .collect();
    let own_processes: BTreeSet<_> = during
        .own_processes
        .union(&now.own_processes)
        .cloned()
        .collect();
    let all = |_: &String| true;
    Ok(vec![
        finding(
            "namespaces",
            [before, during, &now].map(|at| &at.namespaces),
            |name| own_namespaces.contains(name),
        ),
        finding(
            "processes",
            [before, during, &now].map(|at| &at.processes),
            |process| own_processes.contains(process),
        ),
        // Nobody else is expected to change these within a minute, and nothing tells whose a change is.
        finding("links", [before, during, &now].map(|at| &at.links), all),
        finding(
            "routes and rules",
            [before, during, &now].map(|at| &at.rules),
            all,
        ),
        finding("mounts", [before, during, &now].map(|at| &at.mounts), all),
        finding(
            "control groups",
            [before, during, &now].map(|at| &at.cgroups),
            |path| is_group_of(path, &then.lab),
        ),
    ])
}

/// The group of this lab, one below it, or the group of all labs that the last one left.
fn is_group_of(path: &Path, lab: &Name) -> bool {
    let own = Path::new(GROUP).join(lab.as_str());
    let is_empty = || {
        std::fs::read_dir(path).is_ok_and(|entries| {
            !entries
                .flatten()
                .any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        })
    };
    path.ancestors().any(|ancestor| ancestor.ends_with(&own))
        || (path.ends_with(GROUP) && is_empty())
}

/// Compares before (0) with after (2). What is new is the lab's when `is_own`; what is gone never
/// was the lab's, unless nothing may change at all.
fn finding<T: Ord + Debug>(
    what: &'static str,
    [before, during, after]: [&BTreeSet<T>; 3],
    is_own: impl Fn(&T) -> bool,
) -> Finding {
    let changed: Vec<&T> = before.symmetric_difference(after).collect();
    let (own, foreign): (Vec<&T>, Vec<&T>) = changed.into_iter().partition(|each| is_own(each));
    Finding {
        what,
        counts: [before, during, after].map(BTreeSet::len),
        left: own.iter().map(|each| format!("{each:?}")).collect(),
        foreign: foreign.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_and_ours_counts_as_left() {
        let set = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
        let (before, during, after): (BTreeSet<String>, _, _) = (
            set(&["a", "b"]),
            set(&["a", "b", "lab-1", "lab-2"]),
            set(&["a", "c", "lab-2"]),
        );
        let found = finding("things", [&before, &during, &after], |item| {
            item.starts_with("lab")
        });
        assert_eq!(found.counts, [2, 4, 3]);
        assert_eq!(found.left, ["\"lab-2\""]);
        assert_eq!(found.foreign, 2);
    }
}
