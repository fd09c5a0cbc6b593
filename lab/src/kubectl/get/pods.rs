//! Pods.

use anyhow::Result;

use crate::kubectl::{age, word};
use crate::output::Table;
use crate::pod::Pod;
use crate::state::{LabDir, Name};

/// Those that are named, or all.
///
/// # Errors
/// One is not there.
pub(in crate::kubectl) fn select(dir: &LabDir, names: &[Name]) -> Result<Vec<Pod>> {
    if names.is_empty() {
        return Pod::all(dir);
    }
    names.iter().map(|name| Pod::find(dir, name)).collect()
}

/// The columns of `kubectl get pods`.
pub(super) fn table(dir: &LabDir, pods: &[Pod], is_wide: bool) -> Result<Table> {
    let mut headings = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if is_wide {
        headings.extend(["IP", "NODE"]);
    }
    let mut table = Table::new(&headings);
    for pod in pods {
        let status = pod.status(dir)?;
        let word = word::of(pod.spec(), &status, pod.deletion(dir)?.is_some());
        let age = age::human(pod.created.age());
        let mut row = vec![
            pod.name.to_string(),
            word.ready,
            word.status,
            word.restarts,
            age,
        ];
        if is_wide {
            let address = status.pod_ip.map(|address| address.to_string());
            row.push(address.unwrap_or_else(|| "<none>".to_owned()));
            row.push(pod.node.to_string());
        }
        table.row(row);
    }
    Ok(table)
}
