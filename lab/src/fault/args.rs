//! The command line of `lab fault`.

use clap::{Args, Subcommand, ValueEnum};
use ipnetwork::IpNetwork;

use super::Fault;
use crate::cli::ListArgs;
use crate::size::{parse_delay, parse_loss, parse_rate};
use crate::state::Name;

/// `lab fault ...`
#[derive(Debug, Subcommand)]
pub enum FaultCommand {
    /// List the faults that are in force
    #[command(after_help = "Example: lab fault ls -o json")]
    Ls(ListArgs),
    /// Something goes wrong, or is mended.
    #[command(flatten)]
    Action(FaultAction),
}

/// What changes a lab.
#[derive(Debug, Subcommand)]
pub enum FaultAction {
    /// No packet between two nodes, or a node and etcd, until it is healed; others still reach both
    #[command(after_help = "Example: lab fault partition n1 n2")]
    Partition {
        /// A node
        one: Name,
        /// Another, or etcd where the lab's store is one
        other: Name,
    },
    /// End what lasts: a partition, a paused node, a full subnet, a bad link
    Heal(HealArgs),
    /// A power cut: every process of the node is killed, netd and its pods too, and its cable is out
    #[command(after_help = "Example: lab fault kill-node n1; lab node start n1")]
    KillNode {
        /// The node
        node: Name,
    },
    /// Every process of the node stands still, netd and its pods too
    #[command(after_help = "Example: lab fault pause-node n1")]
    PauseNode {
        /// The node
        node: Name,
    },
    /// What stood still goes on
    #[command(after_help = "Example: lab fault resume-node n1")]
    ResumeNode {
        /// The node
        node: Name,
    },
    /// No address is left for another pod of the node
    #[command(after_help = "Example: lab fault fill-subnet n1")]
    FillSubnet {
        /// The node
        node: Name,
    },
    /// Delete netd's routes on a node, or one of them, as a careless hand does; netd mends it
    #[command(after_help = "Example: lab fault delete-route n1 10.244.2.0/24")]
    DeleteRoute {
        /// The node
        node: Name,
        /// The subnet of another node [default: all of them]
        prefix: Option<IpNetwork>,
    },
    /// Packets from and to the node take longer
    #[command(after_help = "Example: lab fault delay n1 20")]
    Delay {
        /// The node
        node: Name,
        /// How much longer, in each direction, in milliseconds
        #[arg(value_parser = parse_delay)]
        milliseconds: u32,
    },
    /// Packets from and to the node get lost
    #[command(after_help = "Example: lab fault loss n1 0.5")]
    Loss {
        /// The node
        node: Name,
        /// How many of a hundred, in each direction (5, 0.1)
        #[arg(value_parser = parse_loss)]
        percent: f64,
    },
    /// The node's link carries no more than so much
    #[command(after_help = "Example: lab fault rate n1 10M")]
    Rate {
        /// The node
        node: Name,
        /// Bits per second, in each direction (500K, 10M, 1G)
        #[arg(value_parser = parse_rate)]
        bits: u64,
    },
    /// Kill a part of the cluster and start it again, on what it had written
    #[command(after_help = "Example: lab fault restart etcd")]
    Restart {
        /// What
        what: Part,
    },
}

/// What can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The etcd server of a lab with `--store etcd`.
    Etcd,
}

/// `lab fault heal`
#[derive(Debug, Args)]
#[command(after_help = "Examples: lab fault heal, lab fault heal n1, lab fault heal n1 n2")]
pub struct HealArgs {
    /// A node and all its faults, or `all`, which is the default
    pub one: Option<Name>,
    /// The other node of a partition: then that partition alone
    pub other: Option<Name>,
}

impl HealArgs {
    /// Whether everything is meant.
    pub(super) fn is_all(&self) -> bool {
        self.other.is_none() && self.one.as_ref().is_none_or(|one| one.as_str() == "all")
    }

    /// Those that are named.
    pub(super) fn places(&self) -> Vec<&Name> {
        match self.is_all() {
            true => Vec::new(),
            false => self.one.iter().chain(&self.other).collect(),
        }
    }

    /// Whether a fault is meant.
    pub(super) fn concerns(&self, fault: &Fault) -> bool {
        match (&self.one, &self.other) {
            (Some(one), Some(other)) => *fault == Fault::partition(one, other),
            (Some(one), None) => self.is_all() || fault.places().contains(&one),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_healed() {
        let args = |one: Option<&str>, other: Option<&str>| HealArgs {
            one: one.map(name),
            other: other.map(name),
        };
        let apart = Fault::partition(&name("n2"), &name("n1"));
        let paused = Fault::Paused { node: name("n1") };
        for (args, of_both) in [
            (args(None, None), [true, true]),
            (args(Some("all"), None), [true, true]),
            (args(Some("n1"), None), [true, true]),
            (args(Some("n2"), None), [true, false]),
            (args(Some("n1"), Some("n2")), [true, false]),
            (args(Some("n1"), Some("n3")), [false, false]),
            (args(Some("n3"), None), [false, false]),
        ] {
            let concerned = [&apart, &paused].map(|fault| args.concerns(fault));
            assert_eq!(concerned, of_both, "{args:?}");
        }
    }
}
