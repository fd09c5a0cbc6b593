//! Which objects are meant, by their names or labels.

use std::collections::BTreeMap;

use anyhow::{Error, Result};

use crate::failures::all_or_failures;
use crate::kubectl::labels::Selector;
use crate::node::Node;
use crate::pod::Pod;
use crate::state::{LabDir, Name};

/// What a lab has several of.
pub(in crate::kubectl) trait Object: Sized {
    /// # Errors
    /// There is none: says which there are.
    fn find(dir: &LabDir, name: &Name) -> Result<Self>;

    /// In the order in which they are listed.
    ///
    /// # Errors
    /// A state file cannot be read.
    fn all(dir: &LabDir) -> Result<Vec<Self>>;

    fn labels(&self) -> &BTreeMap<String, String>;
}

impl Object for Pod {
    fn find(dir: &LabDir, name: &Name) -> Result<Self> {
        Self::find(dir, name)
    }

    fn all(dir: &LabDir) -> Result<Vec<Self>> {
        let mut pods = Self::all(dir)?;
        // As kubectl sorts them.
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(pods)
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.workload.pod.metadata.labels
    }
}

impl Object for Node {
    fn find(dir: &LabDir, name: &Name) -> Result<Self> {
        Self::find(dir, name)
    }

    fn all(dir: &LabDir) -> Result<Vec<Self>> {
        Self::all(dir)
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }
}

/// Objects, and what is wrong with others that were asked for.
#[derive(Debug)]
pub(in crate::kubectl) struct Found<T> {
    pub(in crate::kubectl) objects: Vec<T>,
    pub(in crate::kubectl) failures: Vec<Error>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self {
            objects: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl<T> Extend<Result<T>> for Found<T> {
    fn extend<I: IntoIterator<Item = Result<T>>>(&mut self, outcomes: I) {
        for outcome in outcomes {
            match outcome {
                Ok(object) => self.objects.push(object),
                Err(failure) => self.failures.push(failure),
            }
        }
    }
}

impl<T> Found<T> {
    /// What is made of each.
    pub(in crate::kubectl) fn map<U>(self, make: impl Fn(&T) -> Result<U>) -> Found<U> {
        let mut made = Found {
            objects: Vec::new(),
            failures: self.failures,
        };
        made.extend(self.objects.iter().map(make));
        made
    }

    /// With others behind them.
    pub(in crate::kubectl) fn join(&mut self, others: Self) {
        self.objects.extend(others.objects);
        self.failures.extend(others.failures);
    }

    /// # Errors
    /// There are failures.
    pub(in crate::kubectl) fn all(self) -> Result<Vec<T>> {
        all_or_failures(self.failures, "\n")?;
        Ok(self.objects)
    }
}

/// Those that are named, in this order and as often as they are; without names all with the labels that are asked for.
///
/// # Errors
/// A state file cannot be read. That one that is named is not there is a failure of its own.
pub(in crate::kubectl) fn select<T: Object>(
    dir: &LabDir,
    names: &[Name],
    selector: Option<&Selector>,
) -> Result<Found<T>> {
    let mut found = Found::default();
    match names {
        [] => found.objects = marked(dir, selector)?,
        names => found.extend(names.iter().map(|name| T::find(dir, name))),
    }
    Ok(found)
}

/// Those with the labels that are asked for, or all.
///
/// # Errors
/// A state file cannot be read.
pub(in crate::kubectl) fn marked<T: Object>(
    dir: &LabDir,
    selector: Option<&Selector>,
) -> Result<Vec<T>> {
    let mut objects = T::all(dir)?;
    objects.retain(|each| selector.is_none_or(|selector| selector.matches(each.labels())));
    Ok(objects)
}

/// The names of such pods.
///
/// # Errors
/// As [`marked`].
pub(in crate::kubectl) fn marked_names(
    dir: &LabDir,
    selector: Option<&Selector>,
) -> Result<Vec<Name>> {
    let pods = marked::<Pod>(dir, selector)?;
    Ok(pods.into_iter().map(|pod| pod.name).collect())
}
