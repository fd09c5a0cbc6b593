//! Proof of the suite itself: every case passes on a real plugin and fails on each of its stubs.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    runner::{self, Instance, Outcome},
    stub,
};

/// What was found of one case.
pub struct Proof {
    /// The case's id.
    pub case: &'static str,
    /// Stubs that fail it, as their faults are written.
    pub failed_by: Vec<String>,
    /// Why it is not proven; empty when it is.
    pub doubts: Vec<String>,
}

/// Tries one instance on the real plugin and on each stub.
///
/// # Errors
/// When a stub directory cannot be made.
pub fn prove(instance: &Instance, real: &Path) -> Result<Proof> {
    let mut proof = Proof {
        case: instance.case.id,
        failed_by: Vec::new(),
        doubts: Vec::new(),
    };
    match runner::judge(instance, real).outcome {
        Outcome::Pass => {}
        other => proof
            .doubts
            .push(format!("the real plugin does not pass: {other:?}")),
    }
    for (number, fault) in instance.case.faults.iter().enumerate() {
        let name = format!("{fault:?}");
        match on_stub(instance, real, number)? {
            Outcome::Fail(failure) if failure.what != "the case itself" => {
                proof.failed_by.push(name)
            }
            outcome => proof
                .doubts
                .push(format!("{name} does not fail it: {outcome:?}")),
        }
    }
    Ok(proof)
}

fn on_stub(instance: &Instance, real: &Path, number: usize) -> Result<Outcome> {
    let id = instance.case.id.replace('/', "-");
    // In /tmp, because the world has its own /run; named by process, removed below.
    let dir = std::env::temp_dir().join(format!("spec-tests-{}-{id}-{number}", std::process::id()));
    std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
    let made = stub::make(&dir, instance.plugin.name, instance.case.id, number, real);
    let outcome = made.map(|()| runner::judge(instance, &dir).outcome);
    std::fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    outcome
}
