//! Manifests from their files: pods with the ConfigMaps that their volumes name.
//!
//! A file is read in three steps: text to values with their places (`tree`), those to the types of this crate
//! (`typed`), and the pods to what contradicts itself in them (`crate::check`). All that is wrong is told at once.

mod elsewhere;
mod left_out;
mod set;
mod tree;
mod typed;

use serde::de::DeserializeOwned;

use crate::path::Path;
use crate::problem::{Complaint, Problem, Refused};
use crate::{Pod, Workload};
use set::Set;
use tree::Place;

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
    read_checked(sources, |_| Vec::new())
}

/// The same, with further rules for pods, whose complaints are told beside all others. A pod that is not read without
/// complaint is checked as far as it was read.
///
/// # Errors
/// As [`read`]; `check` complains.
pub fn read_checked(
    sources: &[Source],
    check: impl Fn(&Pod) -> Vec<Complaint>,
) -> Result<Vec<Workload>, Refused> {
    let mut set = Set::default();
    for (number, source) in sources.iter().enumerate() {
        set.read(number, source);
    }
    set.workloads(sources, &check)
}

/// Reads a file of one document that is no manifest, as strictly; `check` says what types cannot.
///
/// # Errors
/// As [`read`]; the file has no document, or several.
pub fn read_document<T: DeserializeOwned>(
    source: &Source,
    check: impl FnOnce(&T) -> Vec<Complaint>,
) -> Result<T, Refused> {
    let refuse = |misplaced: Vec<(Place, Complaint)>| Refused::of(source, misplaced);
    let whole = |place, message: String| {
        let field = Path::default();
        refuse(vec![(place, Complaint { field, message })])
    };
    let mut documents = tree::documents(&source.text)
        .map_err(|(place, message)| whole(place, message))?
        .into_iter();
    let Some(document) = documents.next() else {
        return Err(whole(
            Place::START,
            "there is nothing in this file".to_owned(),
        ));
    };
    if let Some(second) = documents.next() {
        let message = "this file is one document: leave the others out".to_owned();
        return Err(whole(second.place, message));
    }
    let found = match typed::typed(&document).whole() {
        Ok(value) => match check(&value) {
            complaints if complaints.is_empty() => return Ok(value),
            complaints => complaints,
        },
        Err(complaints) => complaints,
    };
    let place = |complaint: Complaint| (tree::place(&document, &complaint.field), complaint);
    Err(refuse(found.into_iter().map(place).collect()))
}

impl Refused {
    /// Of one file, in the order of the places.
    fn of(source: &Source, mut misplaced: Vec<(Place, Complaint)>) -> Self {
        misplaced.sort_by_key(|(place, _)| *place);
        let problem = |(place, complaint)| Problem::at(source, place, complaint);
        Self(misplaced.into_iter().map(problem).collect())
    }
}

impl Problem {
    fn at(source: &Source, place: Place, complaint: Complaint) -> Self {
        Self {
            file: source.name.clone(),
            line: place.line,
            column: place.column,
            field: complaint.field.to_string(),
            message: complaint.message,
        }
    }
}
