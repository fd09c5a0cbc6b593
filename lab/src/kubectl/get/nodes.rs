//! Nodes.

use anyhow::Result;

use super::select::Found;
use super::{Columns, Item, some_or_none};
use crate::fault;
use crate::kubectl::object;
use crate::kubectl::readiness::Readiness;
use crate::kubectl::selection::Kind;
use crate::netd;
use crate::node::Node;
use crate::state::LabDir;

/// Of the columns of `kubectl get nodes` those that differ between nodes of a lab.
pub(super) const COLUMNS: Columns = Columns {
    always: &["NAME", "STATUS"],
    wide: &["INTERNAL-IP", "POD-CIDR"],
};

/// # Errors
/// A state file cannot be read.
pub(super) fn items(dir: &LabDir, nodes: Found<Node>) -> Result<Found<Item>> {
    let all = Node::all(dir)?;
    let faults = fault::in_force(dir)?;
    Ok(nodes.map(|node| {
        let readiness = Readiness::of(node, &all, &faults);
        Ok(Item {
            kind: Kind::Node,
            name: node.name.to_string(),
            labels: node.labels.clone(),
            cells: vec![
                node.name.to_string(),
                readiness.word(),
                some_or_none(node.addresses.clone()),
                some_or_none(netd::subnets(node)),
            ],
            object: object::node(node, &readiness),
        })
    }))
}
