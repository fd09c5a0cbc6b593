//! What is found on the way.

use serde::Serialize;

/// One thing that a packet meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Where: `pod a`, `node n1`.
    pub at: String,
    /// What is there.
    pub what: String,
    /// Why the packet goes no further, and what would mend it.
    pub fault: Option<String>,
}
