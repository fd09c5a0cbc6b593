//! Proof of the suite itself: every case passes on a real plugin and fails on each of its stubs.

use std::path::{Path, PathBuf};

use crate::{
    case::Case,
    deviations::Deviations,
    runner::{self, Instance, Outcome, Settings},
};

/// What was found of one case.
pub(crate) struct Proof {
    /// The case's id.
    pub case: &'static str,
    /// Stubs that fail it, as their faults are written.
    pub failed_by: Vec<String>,
    /// Why it is not proven; empty when it is.
    pub doubts: Vec<String>,
    /// Why it could not be tried on this machine with these plugins.
    pub untried: Option<String>,
}

/// An instance and the directory whose plugin it is tried on.
type Candidate = (Instance, PathBuf);

/// Tries a case on the first plugin that passes it and on each stub of it.
///
/// A fault that a plugin or version cannot show (a key that only old results have) may be
/// shown by another one.
#[must_use]
pub(crate) fn prove(
    case: &'static Case,
    dirs: &[PathBuf],
    known: Option<&Deviations>,
    settings: &Settings,
) -> Proof {
    let mut proof = Proof {
        case: case.id,
        failed_by: Vec::new(),
        doubts: Vec::new(),
        untried: None,
    };
    let mut candidates = candidates(case, dirs);
    let mut seen = Vec::new();
    while let Some((instance, dir)) = candidates.first() {
        let mut report = runner::judge(instance, dir, settings);
        if let Some(known) = known {
            known.apply(std::slice::from_mut(&mut report));
        }
        match report.outcome {
            Outcome::Pass => break,
            other => seen.push((other, instance.id())),
        }
        candidates.remove(0);
    }
    if candidates.is_empty() {
        explain(&mut proof, &seen);
        return proof;
    }
    for (number, fault) in case.faults.iter().enumerate() {
        let name = format!("{fault:?}");
        if shown(&candidates, number, settings) {
            proof.failed_by.push(name);
        } else {
            proof.doubts.push(format!("{name} does not fail it"));
        }
    }
    proof
}

/// Nobody passes: a doubt when somebody failed unexpectedly, otherwise the reason why the stubs
/// could not be tried.
fn explain(proof: &mut Proof, seen: &[(Outcome, String)]) {
    let failed = |(outcome, _): &&(Outcome, String)| matches!(outcome, Outcome::Fail(_));
    let deviates = |(outcome, _): &&(Outcome, String)| matches!(outcome, Outcome::Deviation { .. });
    if let Some((outcome, id)) = seen.iter().find(failed) {
        proof
            .doubts
            .push(format!("no plugin passes it: {id}: {outcome:?}"));
    } else if let Some((_, id)) = seen.iter().find(deviates) {
        proof.failed_by.push(format!("{id} itself"));
        proof.untried = Some("nobody passes it here: a known deviation".to_owned());
    } else if let Some((Outcome::Skip { reason }, _)) = seen.first() {
        proof.untried = Some(reason.clone());
    } else {
        proof.untried = Some("no directory has a plugin that it judges".to_owned());
    }
}

fn shown(candidates: &[Candidate], number: usize, settings: &Settings) -> bool {
    candidates.iter().any(|(instance, dir)| {
        let outcome = runner::judge_stub(instance, dir, number, settings).outcome;
        matches!(outcome, Outcome::Fail(failure) if failure.what != "the case itself")
            && matches!(
                runner::judge(instance, dir, settings).outcome,
                Outcome::Pass
            )
    })
}

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
    for doubt in &proof.doubts {
        text.push_str(&format!("    NOT PROVEN: {doubt}\n"));
    }
    if let Some(reason) = &proof.untried {
        text.push_str(&format!("    NOT TRIED: {reason}\n"));
    }
    text
}

/// The directories as absolute paths.
///
/// # Errors
/// When one does not exist.
pub(crate) fn absolute(dirs: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    dirs.iter()
        .map(|dir| {
            runner::check_machine(dir)?;
            Ok(Path::new(dir).canonicalize()?)
        })
        .collect()
}
