//! What there is to see of a lab at one moment, for those who show it again and again: `lab top` and `lab ui`.

mod gather;
mod netds;
mod path;
mod snapshot;

pub(crate) use gather::Gatherer;
#[cfg(test)]
pub(crate) use snapshot::{Container, Repair};
pub(crate) use snapshot::{Lease, Mood, Netd, NodeRow, PodCount, PodRow, Problem, Rate, Snapshot};
