//! What a stranger may hand to podwire and netd, as functions of bytes: none of them panics or hangs, whatever
//! the bytes are. `tests/short.rs` feeds them changed copies of what is usual; `libfuzzer/` is the
//! same for cargo-fuzz, for hours (`make fuzz`).
//!
//! Plugins work in a [`Node`]: network and mounts of its own, everything but the state directories
//! read-only.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a fuzz target fails by panicking"
)]

mod leases;
pub mod mutate;
mod node;
mod targets;

pub use node::Node;
pub use targets::{TARGETS, Target};
