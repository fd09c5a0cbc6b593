//! Proof of the suite itself: every case passes on a real plugin and fails on each of its stubs.
//!
//! Where the reference breaks the rule, the case's repairs are laid over it first. Where no
//! directory has the plugin at all, a model of it, in one more directory, takes its place.

use std::path::PathBuf;

use crate::{
    case::Case,
    deviations::Deviations,
    runner::{self, Instance, Outcome, Settings},
    stub::Overlay,
};

/// What was found of one case.
pub(crate) struct Proof {
    /// The case's id.
    pub case: &'static str,
    /// The plugin that had to be repaired to pass it.
    pub repaired: Option<String>,
    /// Stubs that fail it, as their faults are written.
    pub failed_by: Vec<String>,
    /// Why it is not proven; empty when it is.
    pub doubts: Vec<String>,
    /// What this machine lacks to try it.
    pub untried: Option<String>,
}

/// An instance and the directory whose plugin it is tried on.
type Candidate = (Instance, PathBuf);

/// Plugins of which the first passes the case, as they are or with its repairs.
struct Ground<'a> {
    candidates: &'a [Candidate],
    repaired: bool,
}

/// A case under proof and what came out of it so far.
struct Trial<'a> {
    case: &'static Case,
    known: Option<&'a Deviations>,
    settings: &'a Settings,
    /// What did not pass, and who that was.
    seen: Vec<(Outcome, String)>,
}

/// Tries a case on the first plugin that passes it and on each stub of it.
///
/// Where the case has repairs, the reference breaks its rule: then the plugin as it is must fail,
/// with the repairs laid over it must pass, and with each fault over these must fail again.
#[must_use]
pub(crate) fn prove(
    case: &'static Case,
    dirs: &[PathBuf],
    known: Option<&Deviations>,
    settings: &Settings,
) -> Proof {
    let mut proof = Proof {
        case: case.id,
        repaired: None,
        failed_by: Vec::new(),
        doubts: Vec::new(),
        untried: None,
    };
    let mut trial = Trial {
        case,
        known,
        settings,
        seen: Vec::new(),
    };
    let candidates = candidates(case, dirs);
    let Some(ground) = trial.ground(&candidates) else {
        trial.explain(&mut proof);
        return proof;
    };
    if ground.repaired {
        let id = ground.candidates[0].0.id();
        if trial.failed(&id) {
            proof.failed_by.push(format!("{id} unrepaired"));
        }
        proof.repaired = Some(id);
    }
    proof.doubts.extend(trial.unlisted());
    for (number, fault) in case.faults.iter().enumerate() {
        let name = format!("{fault:?}");
        if trial.shown(&ground, number) {
            proof.failed_by.push(name);
        } else {
            proof.doubts.push(format!("{name} does not fail it"));
        }
    }
    proof
}

impl Trial<'_> {
    /// Where the stubs can be tried: on a plugin that the repairs mend when there is one, so that
    /// they stay right, else on one that passes as it is.
    fn ground<'c>(&mut self, candidates: &'c [Candidate]) -> Option<Ground<'c>> {
        let mut passes = None;
        let mut unmended = false;
        for (at, candidate) in candidates.iter().enumerate() {
            let candidates = &candidates[at..];
            match self.outcome(candidate, Overlay::NONE) {
                Outcome::Pass if self.case.repairs.is_empty() => {
                    return Some(Ground {
                        candidates,
                        repaired: false,
                    });
                }
                Outcome::Pass => passes = passes.or(Some(candidates)),
                _ if self.case.repairs.is_empty() => {}
                Outcome::Skip { reason } if reason.starts_with("needs ") => {}
                // A version that the plugin does not list may be among what is repaired.
                seen => {
                    if let Outcome::Pass = self.outcome(candidate, REPAIRED) {
                        return Some(Ground {
                            candidates,
                            repaired: true,
                        });
                    }
                    unmended |= !matches!(seen, Outcome::Skip { .. });
                }
            }
        }
        let candidates = passes.filter(|_| !unmended)?;
        Some(Ground {
            candidates,
            repaired: false,
        })
    }

    /// Whether that instance was judged as it is and failed, rather than left out.
    fn failed(&self, id: &str) -> bool {
        let is_it = |(outcome, seen): &(Outcome, String)| {
            seen == id && !matches!(outcome, Outcome::Skip { .. })
        };
        self.seen.iter().any(is_it)
    }

    /// The outcome, noted when it is not a pass.
    fn outcome(&mut self, (instance, dir): &Candidate, overlay: Overlay) -> Outcome {
        let mut report = runner::judge_overlaid(instance, dir, overlay, self.settings);
        let mut id = report.id.clone();
        if overlay.is_none() {
            if let Some(known) = self.known {
                known.apply(std::slice::from_mut(&mut report));
            }
        } else {
            id.push_str(" repaired");
        }
        if !matches!(report.outcome, Outcome::Pass) {
            self.seen.push((report.outcome.clone(), id));
        }
        report.outcome
    }

    /// Nobody passes: something that the machine lacks, or a doubt.
    fn explain(&self, proof: &mut Proof) {
        let lacking: Option<Vec<_>> = self.seen.iter().map(|(seen, _)| lack(seen)).collect();
        proof.untried = lacking.and_then(|reasons| reasons.first().map(|&why| why.to_owned()));
        if proof.untried.is_some() {
            return;
        }
        proof.doubts.push(match self.seen.last() {
            Some((outcome, id)) => format!("no plugin passes it; {id}: {outcome:?}"),
            None => "no directory has a plugin that it judges, nor a model of one".to_owned(),
        });
    }

    /// A doubt for a plugin that fails the case as it is, which no list of deviations says.
    fn unlisted(&self) -> Option<String> {
        let is_fail = |(outcome, _): &&(Outcome, String)| matches!(outcome, Outcome::Fail(_));
        let (outcome, id) = self.seen.iter().find(is_fail)?;
        self.known?;
        Some(format!("{id} is not listed as a deviation: {outcome:?}"))
    }

    /// Whether this fault fails the case. One that a plugin or version cannot show (a key that
    /// only old results have) may be shown by another.
    fn shown(&self, ground: &Ground<'_>, number: usize) -> bool {
        let whole = Overlay {
            repaired: ground.repaired,
            fault: None,
        };
        let broken = Overlay {
            fault: Some(number),
            ..whole
        };
        let outcome = |(instance, dir): &Candidate, overlay| {
            runner::judge_overlaid(instance, dir, overlay, self.settings).outcome
        };
        let fails = |candidate| {
            let outcome = outcome(candidate, broken);
            matches!(outcome, Outcome::Fail(failure) if !failure.is_of_the_case())
        };
        // That the first one passes is known.
        let passes = |at, candidate| at == 0 || matches!(outcome(candidate, whole), Outcome::Pass);
        let mut candidates = ground.candidates.iter().enumerate();
        candidates.any(|(at, candidate)| fails(candidate) && passes(at, candidate))
    }
}

/// What the machine lacks to try it: a program or a kind of link. A plugin that is not there could
/// be given.
fn lack(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Skip { reason } => Some(reason.as_str())
            .filter(|reason| reason.starts_with("needs ") && !reason.contains(" plugin ")),
        _ => None,
    }
}

const REPAIRED: Overlay = Overlay {
    repaired: true,
    fault: None,
};

/// Where the case could be tried: 1.0.0 first, the version that every plugin of today lists.
fn candidates(case: &'static Case, dirs: &[PathBuf]) -> Vec<Candidate> {
    let of = |dir: &PathBuf| -> Vec<Candidate> {
        let all = runner::instances(&[case], dir, &[], cni::SpecVersion::ALL);
        all.into_iter()
            .map(|instance| (instance, dir.clone()))
            .collect()
    };
    let mut all: Vec<Candidate> = dirs.iter().flat_map(of).collect();
    all.sort_by_key(|(instance, _)| instance.version != cni::SpecVersion::V1_0_0);
    all
}

/// The text of one proof.
#[must_use]
pub(crate) fn line(proof: &Proof) -> String {
    let mut text = format!("{:32} {}\n", proof.case, proof.failed_by.join(", "));
    if let Some(id) = &proof.repaired {
        text.push_str(&format!("    REPAIRED: {id}\n"));
    }
    for doubt in &proof.doubts {
        text.push_str(&format!("    NOT PROVEN: {doubt}\n"));
    }
    if let Some(reason) = &proof.untried {
        text.push_str(&format!("    NOT TRIED: {reason}\n"));
    }
    text
}
