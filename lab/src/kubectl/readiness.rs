//! Whether a node takes part in the network, and why not.

use std::collections::BTreeSet;

use crate::called::as_called;
use crate::fault::Fault;
use crate::node::Node;
use crate::state::Name;
use crate::store::ETCD_PORT;

/// Whether a node takes part in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    unready: Option<Unready>,
    node: Name,
}

/// Why it does not, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unready {
    /// Its namespaces have gone.
    Ended,
    /// It has no netd: it was stopped or killed.
    Stopped,
    /// Its processes stand still.
    Paused,
    /// No packet goes to etcd, or to any other node.
    CutOff,
}

impl Readiness {
    /// Of a node among `all`, with the faults in force.
    pub(super) fn of(node: &Node, all: &[Node], faults: &[Fault]) -> Self {
        let name = &node.name;
        let concerns = |fault: &Fault| fault.places().contains(&name);
        let has = |is: fn(&Fault) -> bool| faults.iter().any(|fault| is(fault) && concerns(fault));
        let others = all
            .iter()
            .map(|other| &other.name)
            .filter(|other| *other != name);
        let unready = if !node.holder.is_alive() {
            Some(Unready::Ended)
        } else if has(|fault| matches!(fault, Fault::Stopped { .. })) {
            Some(Unready::Stopped)
        } else if has(|fault| matches!(fault, Fault::Paused { .. })) {
            Some(Unready::Paused)
        } else if is_cut_off(name, &others.collect::<Vec<_>>(), faults) {
            Some(Unready::CutOff)
        } else {
            None
        };
        Self {
            unready,
            node: name.clone(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.unready.is_none()
    }

    /// Whether a pod can be started on it: of two nodes that are parted neither is worse than the other.
    pub(super) fn takes_pods(&self) -> bool {
        matches!(self.unready, None | Some(Unready::CutOff))
    }

    /// As in kubectl's STATUS, where reasons follow after a comma: `NotReady,Paused`.
    pub(super) fn word(&self) -> String {
        match self.reason() {
            None => "Ready".to_owned(),
            Some(reason) => format!("NotReady,{reason}"),
        }
    }

    /// In one word.
    pub(super) fn reason(&self) -> Option<&'static str> {
        self.unready.map(|unready| match unready {
            Unready::Ended => "Ended",
            Unready::Stopped => "Stopped",
            Unready::Paused => "Paused",
            Unready::CutOff => "CutOff",
        })
    }

    /// With what mends it.
    pub(super) fn message(&self) -> Option<String> {
        let node = &self.node;
        let message = self.unready.map(|unready| match unready {
            Unready::Ended => "its namespaces have gone: `lab down`".to_owned(),
            Unready::Stopped => format!("netd does not run: `lab node start {node}`"),
            Unready::Paused => {
                format!("its processes stand still: `lab fault resume-node {node}`")
            }
            Unready::CutOff => {
                format!("no packet goes to etcd or to any other node: `lab fault heal {node}`")
            }
        });
        message.map(|message| as_called(&message).into_owned())
    }
}

fn is_cut_off(node: &Name, others: &[&Name], faults: &[Fault]) -> bool {
    let parted: BTreeSet<&Name> = faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Partition { nodes } if nodes.contains(node) => {
                nodes.iter().find(|other| *other != node)
            }
            _ => None,
        })
        .collect();
    let is_alone = !others.is_empty() && others.iter().all(|other| parted.contains(other));
    is_alone || parted.iter().any(|other| other.as_str() == ETCD_PORT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_node_is_not_ready_for_the_worst_reason() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let node = |text: &str| Node {
            name: name(text),
            addresses: Vec::new(),
            labels: BTreeMap::new(),
            holder: sandbox::Process::of(std::process::id()).unwrap(),
        };
        let all = ["n1", "n2", "n3"].map(node);
        let parted = |one: &str, other: &str| Fault::partition(&name(one), &name(other));
        let paused = Fault::Paused { node: name("n1") };
        let stopped = Fault::Stopped { node: name("n1") };
        for (faults, word, takes_pods) in [
            (vec![], "Ready", true),
            (vec![parted("n1", "n2")], "Ready", true),
            (
                vec![parted("n2", "n3"), parted("n3", "etcd")],
                "Ready",
                true,
            ),
            (
                vec![parted("n1", "n2"), parted("n3", "n1")],
                "NotReady,CutOff",
                true,
            ),
            (vec![parted("etcd", "n1")], "NotReady,CutOff", true),
            (
                vec![parted("etcd", "n1"), paused.clone()],
                "NotReady,Paused",
                false,
            ),
            (vec![paused, stopped], "NotReady,Stopped", false),
        ] {
            let readiness = Readiness::of(&all[0], &all, &faults);
            assert_eq!(readiness.word(), word, "{faults:?}");
            assert_eq!(readiness.takes_pods(), takes_pods, "{faults:?}");
            assert_eq!(readiness.message().is_none(), readiness.is_ready());
        }
        let alone = Readiness::of(&all[0], &all[..1], &[]);
        assert!(alone.is_ready());
    }
}
