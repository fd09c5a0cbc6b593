//! What keeps a pod from being started here, told beside what is wrong with its manifest: nodes, networks, images and
//! namespaces that are not there.

use std::collections::BTreeSet;

use anyhow::Result;
use manifest::{Complaint, Path, Pod as Manifest};

use crate::network;
use crate::node::Node;
use crate::pod::{self, Pod};
use crate::state::{LabDir, Name};

/// What there is in a lab.
pub(super) struct Rules<'a> {
    dir: LabDir,
    nodes: Vec<Name>,
    /// They are as they are; whether another one is meant is asked later.
    pods: BTreeSet<Name>,
    /// The node that the command line names.
    asked: Option<&'a Name>,
}

impl<'a> Rules<'a> {
    /// # Errors
    /// A state file cannot be read.
    pub(super) fn of(dir: &LabDir, asked: Option<&'a Name>) -> Result<Self> {
        let nodes = Node::all(dir)?.into_iter().map(|node| node.name);
        let pods = Pod::all(dir)?.into_iter().map(|pod| pod.name);
        Ok(Self {
            dir: dir.clone(),
            nodes: nodes.collect(),
            pods: pods.collect(),
            asked,
        })
    }

    /// What keeps a pod from being started.
    pub(super) fn complaints(&self, pod: &Manifest) -> Vec<Complaint> {
        if self
            .pods
            .iter()
            .any(|there| there.as_str() == pod.metadata.name)
        {
            return Vec::new();
        }
        let spec = Path::default().field("spec");
        let wrong_node = pod.spec.node_name.as_deref();
        let wrong_node = wrong_node.and_then(|name| self.wrong_with_node(name));
        let mut complaints: Vec<Complaint> = wrong_node
            .map(|message| Complaint {
                field: spec.field("nodeName"),
                message,
            })
            .into_iter()
            .chain(network::complaint(&self.dir, pod))
            .chain(pod::missing_in_kernel(pod))
            .collect();
        for (list, containers) in [
            ("initContainers", &pod.spec.init_containers),
            ("containers", &pod.spec.containers),
        ] {
            for (number, container) in containers.iter().enumerate() {
                complaints.extend(pod::wrong_with(container).map(|(field, error)| Complaint {
                    field: spec.field(list).element(number).field(field),
                    message: format!("{error:#}"),
                }));
            }
        }
        complaints
    }

    fn wrong_with_node(&self, name: &str) -> Option<String> {
        if let Some(asked) = self.asked.filter(|asked| asked.as_str() != name) {
            return Some(format!(
                "this is {name}, and --node is {asked}: leave one of them out"
            ));
        }
        let is_there = self.nodes.iter().any(|node| node.as_str() == name);
        let names: Vec<&str> = self.nodes.iter().map(Name::as_str).collect();
        // What is no name at all is told without this.
        let is_missing = !is_there && name.parse::<Name>().is_ok();
        is_missing.then(|| {
            format!(
                "there is no node {name:?}: give one of {}",
                names.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_is_not_there_is_told_with_its_place() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let asked = name("n1");
        let mut rules = Rules {
            dir: LabDir::of(&name("nobodys")),
            nodes: vec![name("n1"), name("n2")],
            pods: BTreeSet::new(),
            asked: None,
        };
        let pod: Manifest = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
            "spec": { "nodeName": "n3", "containers": [
                { "name": "a", "command": ["sleep"] },
                { "name": "b", "image": "/nowhere/at/all" },
                { "name": "c", "image": "/" },
            ] },
        }))
        .unwrap();
        let said = |rules: &Rules<'_>| -> Vec<String> {
            let complaints = rules.complaints(&pod).into_iter();
            complaints
                .map(|each| format!("{}: {}", each.field, each.message))
                .collect()
        };
        let all = said(&rules);
        for (line, begin) in all.iter().zip([
            "spec.nodeName: there is no node \"n3\": give one of n1, n2",
            "spec.containers[1].image: image /nowhere/at/all: No such file",
            "spec.containers[2].command: neither it nor its image has a command",
        ]) {
            assert!(line.starts_with(begin), "{line}");
        }
        assert_eq!(all.len(), 3);
        rules.asked = Some(&asked);
        assert_eq!(
            said(&rules)[0],
            "spec.nodeName: this is n3, and --node is n1: leave one of them out"
        );
        rules.pods.insert(name("web"));
        assert_eq!(said(&rules), [""; 0]);
    }
}
