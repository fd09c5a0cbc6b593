//! Manifests from their files: pods with the ConfigMaps that their volumes name.
//!
//! A file is read in three steps: text to values with their places (`tree`), those to the types of this crate
//! (`typed`), and the pods to what contradicts itself in them (`crate::check`). All that is wrong is told at once.

mod elsewhere;
mod set;
mod tree;
mod typed;

use crate::Workload;
use crate::problem::Refused;
use set::Set;

/// A file's text, and what to call the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// For who reads what is wrong with it.
    pub name: String,
    /// YAML or JSON, of one or several documents.
    pub text: String,
}

/// Reads the pods of a set of files, in their order.
///
/// The files may have documents of `v1/Pod`, `v1/ConfigMap`, whose content goes to the pods that name it in
/// their volumes, and `v1/List` of both.
///
/// # Errors
/// A file is no YAML, or has something that the lab does not carry out or that contradicts itself: all of it,
/// with its places.
pub fn read(sources: &[Source]) -> Result<Vec<Workload>, Refused> {
    let mut set = Set::default();
    for (number, source) in sources.iter().enumerate() {
        set.read(number, source);
    }
    set.workloads(sources)
}
