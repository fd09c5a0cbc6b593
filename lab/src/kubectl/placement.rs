//! Which node a pod goes to.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::readiness::Readiness;
use crate::fault;
use crate::node::Node;
use crate::pod::Pod;
use crate::state::{LabDir, Name};

/// Nodes with the number of their pods.
#[derive(Debug)]
pub(super) struct Placement {
    /// All nodes, in their order, and whether they take new pods.
    nodes: Vec<(Name, bool)>,
    pods: BTreeMap<Name, usize>,
}

impl Placement {
    /// Of a lab, as it is now.
    ///
    /// # Errors
    /// A state file cannot be read.
    pub(super) fn of(dir: &LabDir) -> Result<Self> {
        let all = Node::all(dir)?;
        let faults = fault::in_force(dir)?;
        let takes_pods = |node: &Node| Readiness::of(node, &all, &faults).takes_pods();
        let nodes = all.iter().map(|node| (node.name.clone(), takes_pods(node)));
        let nodes = nodes.collect();
        let mut pods = BTreeMap::new();
        for pod in Pod::all(dir)? {
            *pods.entry(pod.node).or_default() += 1;
        }
        Ok(Self { nodes, pods })
    }

    /// The node for one more pod: the one that is asked for, or the first of those with the fewest pods.
    ///
    /// # Errors
    /// There is no such node, or none that runs.
    pub(super) fn place(&mut self, wanted: Option<&Name>) -> Result<Name> {
        let count = |name: &Name| self.pods.get(name).copied().unwrap_or(0);
        let node = match wanted {
            Some(wanted) => {
                if !self.nodes.iter().any(|(name, _)| name == wanted) {
                    let names: Vec<&str> =
                        self.nodes.iter().map(|(name, _)| name.as_str()).collect();
                    bail!(
                        "there is no node {:?}; there are: {}",
                        wanted.as_str(),
                        names.join(", ")
                    );
                }
                wanted
            }
            None => {
                let ready = self.nodes.iter().filter(|(_, is_ready)| *is_ready);
                let fewest = ready.map(|(name, _)| name).min_by_key(|name| count(name));
                fewest.context("no node is ready: `lab get nodes` says why not")?
            }
        };
        let node = node.clone();
        *self.pods.entry(node.clone()).or_default() += 1;
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn pods_go_to_the_node_that_has_fewest() {
        let node = |text: &str, is_ready| (name(text), is_ready);
        let mut placement = Placement {
            nodes: vec![node("n1", true), node("n2", false), node("n3", true)],
            pods: BTreeMap::from([(name("n1"), 1)]),
        };
        let chosen: Vec<Name> = (0..4).map(|_| placement.place(None).unwrap()).collect();
        assert_eq!(chosen, ["n3", "n1", "n3", "n1"].map(name));
        // One may insist.
        assert_eq!(placement.place(Some(&name("n2"))).unwrap(), name("n2"));
        let error = placement.place(Some(&name("n9"))).unwrap_err().to_string();
        assert_eq!(error, "there is no node \"n9\"; there are: n1, n2, n3");
        placement.nodes.retain(|(_, is_ready)| !is_ready);
        let error = placement.place(None).unwrap_err().to_string();
        assert!(error.contains("no node is ready"), "{error}");
    }
}
