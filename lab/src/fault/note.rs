//! The faults that last, as noted in `faults.json`.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::called::as_called;
use crate::impairment::Impairment;
use crate::node::ENDED;
use crate::state::{self, LabDir, Name};

/// A fault that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// No packet goes between two.
    Partition {
        /// Which two, in order.
        nodes: [Name; 2],
    },
    /// The processes of a node stand still.
    Paused {
        /// The node.
        node: Name,
    },
    /// A node has no address left for pods.
    FullSubnet {
        /// The node.
        node: Name,
        /// How many were taken away, at most.
        addresses: u32,
    },
    /// The link of a node is bad.
    Link {
        /// The node.
        node: Name,
        /// How bad.
        #[serde(flatten)]
        link: Impairment,
    },
    /// A node has no netd: it was stopped or killed. Not noted, but seen.
    Stopped {
        /// The node.
        node: Name,
    },
    /// The process that held a node's namespaces has ended. Not noted, but seen.
    Ended {
        /// The node.
        node: Name,
    },
}

impl Fault {
    /// Between these two, in whichever order they are named.
    pub fn partition(one: &Name, other: &Name) -> Self {
        let mut nodes = [one.clone(), other.clone()];
        nodes.sort();
        Self::Partition { nodes }
    }

    /// Its kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Partition { .. } => "partition",
            Self::Paused { .. } => "paused",
            Self::FullSubnet { .. } => "full-subnet",
            Self::Link { .. } => "link",
            Self::Stopped { .. } => "stopped",
            Self::Ended { .. } => "ended",
        }
    }

    /// Whether packets of pods suffer from it.
    pub(crate) fn hinders_packets(&self) -> bool {
        !matches!(self, Self::FullSubnet { .. })
    }

    /// The command that ends it.
    pub(crate) fn ended_by(&self) -> String {
        match self {
            Self::Partition {
                nodes: [one, other],
            } => format!("lab fault heal {one} {other}"),
            Self::Paused { node } => format!("lab fault resume-node {node}"),
            Self::FullSubnet { node, .. } | Self::Link { node, .. } => {
                format!("lab fault heal {node}")
            }
            Self::Stopped { node } => format!("lab node start {node}"),
            Self::Ended { .. } => "lab down".to_owned(),
        }
    }

    /// Whom it concerns.
    pub fn places(&self) -> Vec<&Name> {
        match self {
            Self::Partition { nodes } => nodes.iter().collect(),
            Self::Paused { node }
            | Self::FullSubnet { node, .. }
            | Self::Link { node, .. }
            | Self::Stopped { node }
            | Self::Ended { node } => vec![node],
        }
    }
}

/// A fault as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// Its kind, as in JSON.
    pub fault: &'static str,
    /// Whom it concerns.
    pub places: Vec<String>,
    /// What it does.
    pub what: String,
}

impl From<&Fault> for InForce {
    fn from(fault: &Fault) -> Self {
        Self {
            fault: fault.kind(),
            places: fault
                .places()
                .into_iter()
                .map(ToString::to_string)
                .collect(),
            what: fault.to_string(),
        }
    }
}

/// What it does, in words.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition { .. } => f.write_str("no packet goes between them"),
            Self::Paused { .. } => f.write_str("its processes stand still"),
            Self::FullSubnet { .. } => f.write_str("no address is left for a pod"),
            Self::Link { link, .. } => link.fmt(f),
            Self::Ended { .. } => f.write_str(&as_called(ENDED)),
            Self::Stopped { .. } => {
                let text = format!("no netd; `{}`", self.ended_by());
                f.write_str(&as_called(&text))
            }
        }
    }
}

/// All that is noted, in the order in which it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Notes(pub(super) Vec<Fault>);

impl Notes {
    /// A lab without the file has no faults.
    pub(super) fn read(dir: &LabDir) -> Result<Self> {
        Ok(state::read(&dir.path("faults.json"))?.unwrap_or_default())
    }

    pub(super) fn write(&self, dir: &LabDir) -> Result<()> {
        state::write(&dir.path("faults.json"), self)
    }

    /// Adds it, unless it is there.
    pub(super) fn add(&mut self, fault: Fault) {
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    pub(super) fn remove(&mut self, fault: &Fault) {
        self.0.retain(|noted| noted != fault);
    }

    /// How many addresses of a node are noted as taken.
    pub(super) fn filled(&self, node: &Name) -> Option<u32> {
        self.0.iter().find_map(|fault| match fault {
            Fault::FullSubnet {
                node: noted,
                addresses,
            } if noted == node => Some(*addresses),
            _ => None,
        })
    }

    /// Notes that many as taken.
    pub(super) fn fill(&mut self, node: &Name, addresses: u32) {
        self.0.retain(
            |fault| !matches!(fault, Fault::FullSubnet { node: noted, .. } if noted == node),
        );
        self.0.push(Fault::FullSubnet {
            node: node.clone(),
            addresses,
        });
    }

    /// What is wrong with a node's link.
    pub(super) fn link(&self, node: &Name) -> Impairment {
        let link = self.0.iter().find_map(|fault| match fault {
            Fault::Link { node: noted, link } if noted == node => Some(*link),
            _ => None,
        });
        link.unwrap_or_default()
    }

    /// Notes what is wrong with it.
    pub(super) fn set_link(&mut self, node: &Name, link: Impairment) {
        self.0
            .retain(|fault| !matches!(fault, Fault::Link { node: noted, .. } if noted == node));
        self.0.push(Fault::Link {
            node: node.clone(),
            link,
        });
    }
}
