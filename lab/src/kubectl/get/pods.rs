//! Pods.

use anyhow::Result;

use super::{Columns, Item};
use crate::kubectl::labels::Selector;
use crate::kubectl::{age, object, word};
use crate::pod::Pod;
use crate::state::{LabDir, Name};

/// The columns of `kubectl get pods`.
pub(super) const COLUMNS: Columns = Columns {
    always: &["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
    wide: &["IP", "NODE"],
};
/// Which of them is STATUS.
pub(super) const STATUS: usize = 2;

/// Those that are named, or all with the labels that are asked for; all by name, as kubectl sorts them.
///
/// # Errors
/// One is not there.
pub(in crate::kubectl) fn select(
    dir: &LabDir,
    names: &[Name],
    selector: Option<&Selector>,
) -> Result<Vec<Pod>> {
    if !names.is_empty() {
        return names.iter().map(|name| Pod::find(dir, name)).collect();
    }
    let mut pods = Pod::all(dir)?;
    pods.retain(|pod| selector.is_none_or(|selector| selector.matches(labels(pod))));
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(pods)
}

/// The same, where no name is needed that leads to none.
///
/// # Errors
/// A state file cannot be read.
pub(in crate::kubectl) fn marked(dir: &LabDir, selector: Option<&Selector>) -> Result<Vec<Name>> {
    let pods = select(dir, &[], selector)?;
    Ok(pods.into_iter().map(|pod| pod.name).collect())
}

fn labels(pod: &Pod) -> &std::collections::BTreeMap<String, String> {
    &pod.workload.pod.metadata.labels
}

/// # Errors
/// A state file cannot be read.
pub(super) fn item(dir: &LabDir, pod: &Pod) -> Result<Item> {
    let status = pod.status(dir)?;
    let word = word::of(pod.spec(), &status, pod.deletion(dir)?.is_some());
    let address = status.pod_ip.map(|address| address.to_string());
    Ok(Item {
        name: pod.name.to_string(),
        labels: labels(pod).clone(),
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
