//! Nodes.

use anyhow::Result;

use super::{Columns, Item, some_or_none};
use crate::fault;
use crate::kubectl::labels::Selector;
use crate::kubectl::object;
use crate::kubectl::readiness::Readiness;
use crate::netd;
use crate::node::Node;
use crate::state::{LabDir, Name};

/// Of the columns of `kubectl get nodes` those that differ between nodes of a lab.
pub(super) const COLUMNS: Columns = Columns {
    always: &["NAME", "STATUS"],
    wide: &["INTERNAL-IP", "POD-CIDR"],
};

/// Those that are named, or all with the labels that are asked for.
///
/// # Errors
/// One is not there.
pub(in crate::kubectl) fn nodes(
    dir: &LabDir,
    names: &[Name],
    selector: Option<&Selector>,
) -> Result<Vec<Node>> {
    if !names.is_empty() {
        return names.iter().map(|name| Node::find(dir, name)).collect();
    }
    let mut nodes = Node::all(dir)?;
    nodes.retain(|node| selector.is_none_or(|selector| selector.matches(&node.labels)));
    Ok(nodes)
}

/// # Errors
/// As [`nodes`].
pub(super) fn items(
    dir: &LabDir,
    names: &[Name],
    selector: Option<&Selector>,
) -> Result<Vec<Item>> {
    let all = Node::all(dir)?;
    let faults = fault::in_force(dir)?;
    let item = |node: &Node| {
        let readiness = Readiness::of(node, &all, &faults);
        Item {
            name: node.name.to_string(),
            labels: node.labels.clone(),
            cells: vec![
                node.name.to_string(),
                readiness.word(),
                some_or_none(node.addresses.clone()),
                some_or_none(netd::subnets(node)),
            ],
            object: object::node(node, &readiness),
        }
    };
    Ok(nodes(dir, names, selector)?.iter().map(item).collect())
}
