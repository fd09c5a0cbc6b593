//! What nodes, pods and containers use: `lab stats`, and the pages of `lab metrics`.
//!
//! Everything is read anew each time: what a control group used from the group, what a namespace carried from
//! `/proc` of a process in it. Nothing is kept but what the kernel counts.

mod network;
mod page;
mod read;
pub mod server;
pub mod stats;

pub use network::{Count, Traffic};
pub use page::page;
pub use read::{ContainerFigures, NodeFigures, PodFigures, Snapshot, Use};
