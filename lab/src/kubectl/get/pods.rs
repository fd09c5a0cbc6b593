//! Pods.

use anyhow::Result;

use super::select::Object;
use super::{Columns, Item};
use crate::kubectl::selection::Kind;
use crate::kubectl::{age, object, word};
use crate::pod::Pod;
use crate::state::LabDir;

/// The columns of `kubectl get pods`.
pub(super) const COLUMNS: Columns = Columns {
    always: &["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
    wide: &["IP", "NODE"],
};
/// Which of them is STATUS.
pub(super) const STATUS: usize = 2;

/// # Errors
/// A state file cannot be read.
pub(super) fn item(dir: &LabDir, pod: &Pod) -> Result<Item> {
    let status = pod.status(dir)?;
    let word = word::of(pod.spec(), &status, pod.deletion(dir)?.is_some());
    let address = status.pod_ip.map(|address| address.to_string());
    Ok(Item {
        kind: Kind::Pod,
        name: pod.name.to_string(),
        labels: pod.labels().clone(),
        cells: vec![
            pod.name.to_string(),
            word.ready,
            word.status,
            word.restarts,
            age::human(pod.created.age()),
            address.unwrap_or_else(|| "<none>".to_owned()),
            pod.node.to_string(),
        ],
        object: object::pod(dir, pod)?,
    })
}
