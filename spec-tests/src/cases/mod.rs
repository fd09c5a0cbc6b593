//! The cases, a file per subject. Each registers itself where it stands.

mod attach;
mod environment;
mod format;
mod ipam;
mod versions;

/// What the case files share.
mod prelude {
    pub(super) use cni::SpecVersion;
    pub(super) use inventory::submit;
    pub(super) use serde_json::{Value, json};

    pub(super) use crate::{
        bench::{Bench, Reply, expect, expect_that},
        case::{CASE, Case, Failure, Judges, Level},
        stub::Fault,
    };
}
