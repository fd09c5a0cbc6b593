//! The wish that a pod end: written down before its supervisor is told to.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Pod, Timestamp};
use crate::state::{self as files, LabDir, Name};

/// A pod's end, asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// When.
    pub deletion_timestamp: Timestamp,
    /// What its containers have until they are killed, in seconds.
    pub deletion_grace_period_seconds: u64,
}

/// Unless the pod says otherwise (core/v1, "terminationGracePeriodSeconds").
const GRACE: u32 = 30;

impl Pod {
    /// How long its containers have to end once they are asked to.
    pub fn grace(&self) -> Duration {
        let seconds = self.spec().termination_grace_period_seconds;
        Duration::from_secs(seconds.unwrap_or(GRACE).into())
    }

    /// The wish that it end, if there is one: it is `Terminating` then.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn deletion(&self, dir: &LabDir) -> Result<Option<Deletion>> {
        files::read(&path(dir, &self.name))
    }
}

/// Writes it down.
pub(super) fn write(dir: &LabDir, name: &Name, grace: Duration) -> Result<()> {
    let deletion = Deletion {
        deletion_timestamp: Timestamp::now(),
        deletion_grace_period_seconds: grace.as_secs(),
    };
    files::write(&path(dir, name), &deletion)
}

fn path(dir: &LabDir, name: &Name) -> std::path::PathBuf {
    dir.pod(name).join("deletion.json")
}
