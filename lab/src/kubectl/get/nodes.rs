//! Nodes.

use anyhow::Result;

use crate::kubectl::placement;
use crate::netd;
use crate::node::Node;
use crate::output::Table;
use crate::state::{LabDir, Name};

/// Those that are named, or all.
///
/// # Errors
/// One is not there.
pub(super) fn select(dir: &LabDir, names: &[Name]) -> Result<Vec<Node>> {
    if names.is_empty() {
        return Node::all(dir);
    }
    names.iter().map(|name| Node::find(dir, name)).collect()
}

/// Of the columns of `kubectl get nodes` those that differ between nodes of a lab.
pub(super) fn table(dir: &LabDir, nodes: &[Node], is_wide: bool) -> Result<Table> {
    let mut headings = vec!["NAME", "STATUS"];
    if is_wide {
        headings.extend(["INTERNAL-IP", "POD-CIDR"]);
    }
    let mut table = Table::new(&headings);
    for node in nodes {
        let status = match placement::is_ready(dir, node)? {
            true => "Ready",
            false => "NotReady",
        };
        let mut row = vec![node.name.to_string(), status.to_owned()];
        if is_wide {
            row.push(all(&node.addresses));
            row.push(all(&netd::subnets(node)));
        }
        table.row(row);
    }
    Ok(table)
}

/// Of each family one.
fn all<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    match values.is_empty() {
        true => "<none>".to_owned(),
        false => values.join(","),
    }
}
