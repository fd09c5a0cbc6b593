//! What is wrong with a cable: packets wait, get lost, or are more than it carries. It is so from the start where the
//! cluster file says it, or for a while where `lab fault` does.

mod qdiscs;

use std::fmt;

use anyhow::{Context, Result};
use kernel::Netlink;
use sandbox::{Namespace, run_in_new};
use serde::{Deserialize, Serialize};

use crate::topology::Topology;

pub use self::qdiscs::Ends;

/// What is wrong with a cable, in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Impairment {
    /// Packets wait so long, in milliseconds.
    pub delay_ms: Option<u32>,
    /// So many of a hundred packets are lost.
    pub loss_percent: Option<f64>,
    /// It carries so many bits per second.
    pub rate_bits: Option<u64>,
}

impl Impairment {
    /// With what `other` says of that of which this says nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            delay_ms: self.delay_ms.or(other.delay_ms),
            loss_percent: self.loss_percent.or(other.loss_percent),
            rate_bits: self.rate_bits.or(other.rate_bits),
        }
    }

    /// # Errors
    /// The kernel lacks a qdisc that it is made of: says which, and what has it.
    pub fn require_support(&self, netlink: &Netlink) -> Result<()> {
        qdiscs::require_support(self, netlink)
    }
}

/// `50 ms later, 5 % lost, at most 10000000 bit/s`
impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delay = self.delay_ms.map(|delay| format!("{delay} ms later"));
        let loss = self.loss_percent.map(|loss| format!("{loss} % lost"));
        let rate = self.rate_bits.map(|rate| format!("at most {rate} bit/s"));
        let all: Vec<String> = [delay, loss, rate].into_iter().flatten().collect();
        f.write_str(&all.join(", "))
    }
}

/// Whether the kernel can make all cables of a topology what they are to be, before the first of them is laid.
///
/// # Errors
/// It cannot: whose cable needs what.
pub fn require_support(topology: &Topology) -> Result<()> {
    let underlays = topology.underlays.iter();
    let underlays = underlays.map(|each| ("underlay", &each.name, each.impairment));
    let nodes = topology.nodes.iter();
    let nodes = nodes.map(|each| ("node", &each.name, each.impairment));
    let mut impaired = underlays
        .chain(nodes)
        .filter(|(_, _, impairment)| *impairment != Impairment::default())
        .peekable();
    if impaired.peek().is_none() {
        return Ok(());
    }
    // Asked where no link is anybody's.
    let netlink = run_in_new(&[Namespace::Network], Netlink::open)??;
    impaired.try_for_each(|(kind, name, impairment)| {
        let supported = impairment.require_support(&netlink);
        supported.with_context(|| format!("the cables of {kind} {name}"))
    })
}
