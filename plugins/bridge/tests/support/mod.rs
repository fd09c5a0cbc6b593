//! The harness, with the plugin under test.
#![allow(
    unused_imports,
    dead_code,
    reason = "each test program uses another part"
)]

pub use harness::*;

/// A host with `bridge`.
pub type Host = harness::Host<bridge::Bridge>;
