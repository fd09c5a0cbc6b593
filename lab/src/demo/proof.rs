//! The proof that nothing is left: the machine before, during and after.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use sandbox::PATIENCE;

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
            before: Snapshot::take(&lab, &BTreeSet::new())?,
            lab,
        })
    }

    pub(super) fn and_during(self) -> Result<During> {
        Ok(During {
            during: Snapshot::take(&self.lab, &BTreeSet::new())?,
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
    let deadline = Instant::now() + PATIENCE;
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
    let now = Snapshot::take(&then.lab, &then.during.own_processes)?;
    let (before, during) = (&then.before, &then.during);
    Ok(vec![
        // By the processes in them: the kernel gives the number of one that is gone to a new one.
        finding(
            "namespaces",
            [before, during, &now].map(|at| &at.namespaces),
            |name, is_new| is_new && now.own_namespaces.contains(name),
        ),
        finding(
            "processes",
            [before, during, &now].map(|at| &at.processes),
            |process, is_new| is_new && now.own_processes.contains(process),
        ),
        // Nothing tells whose a change of these is, and nobody else is expected to make one.
        finding(
            "links",
            [before, during, &now].map(|at| &at.links),
            |_, _| true,
        ),
        finding(
            "routes and rules",
            [before, during, &now].map(|at| &at.rules),
            |_, _| true,
        ),
        finding(
            "mounts",
            [before, during, &now].map(|at| &at.mounts),
            |_, _| true,
        ),
        finding(
            "control groups",
            [before, during, &now].map(|at| &at.cgroups),
            |path, is_new| is_new && is_group_of(path, &then.lab),
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

/// Compares before (0) with after (2). `is_own` says of what is new (true) or gone (false) whether
/// the lab is to blame.
fn finding<T: Ord + Debug>(
    what: &'static str,
    [before, during, after]: [&BTreeSet<T>; 3],
    is_own: impl Fn(&T, bool) -> bool,
) -> Finding {
    let new = after.difference(before).map(|each| (each, true));
    let gone = before.difference(after).map(|each| (each, false));
    let (own, foreign): (Vec<_>, Vec<_>) =
        new.chain(gone).partition(|(each, new)| is_own(each, *new));
    Finding {
        what,
        counts: [before, during, after].map(BTreeSet::len),
        left: own.iter().map(|(each, _)| format!("{each:?}")).collect(),
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
        let sets = [&before, &during, &after];
        let found = finding("things", sets, |item, is_new| {
            is_new && item.starts_with("lab")
        });
        assert_eq!(found.counts, [2, 4, 3]);
        assert_eq!(found.left, ["\"lab-2\""]);
        assert_eq!(found.foreign, 2);
        let strict = finding("things", sets, |_, _| true);
        assert_eq!(strict.left, ["\"c\"", "\"lab-2\"", "\"b\""]);
    }
}
