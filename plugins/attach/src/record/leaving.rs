//! Rules that go, and the records that name them.

use std::{collections::BTreeSet, path::PathBuf};

use super::{Record, RecordError, Rules, restore, store};
use crate::{Identity, owner::Garbage};

/// What is remembered of an attachment whose rules go.
#[derive(Debug)]
pub struct Remembered<'a, W> {
    /// What ADDs made: the last one, and those before it that no DEL has undone.
    pub records: &'a [Record<W>],
    /// Whether there can be no other rules: the last ADD's record is among them, and each was read.
    pub is_all: bool,
}

impl<'a, W> Remembered<'a, W> {
    /// This record, which told of all rules when it was read.
    pub fn only(record: &'a Record<W>) -> Self {
        Self {
            records: std::slice::from_ref(record),
            is_all: true,
        }
    }
}

/// Records that are aside, until their rules are gone.
struct Leaving<R: Rules> {
    records: Vec<Record<R::Wanted>>,
    /// Where those lie.
    places: Vec<PathBuf>,
    is_all: bool,
    refused: Option<RecordError>,
}

impl<R: Rules> Leaving<R> {
    /// Those of these names. `is_all` if the last ADD's are among them.
    fn of<'n>(names: impl IntoIterator<Item = &'n str>, is_all: bool) -> Self {
        let mut leaving = Self {
            records: Vec::new(),
            places: Vec::new(),
            is_all,
            refused: None,
        };
        for (place, record) in names.into_iter().flat_map(store::read_aside::<R>) {
            if let Some(record) = leaving.noted(record) {
                leaving.records.push(record);
                leaving.places.push(place);
            }
        }
        leaving
    }

    /// What cannot be read stays: it may name rules that nothing else does.
    fn noted<T>(&mut self, outcome: Result<T, RecordError>) -> Option<T> {
        match outcome {
            Ok(found) => return Some(found),
            // However often DEL came, it would not be read: the log must do.
            Err(error @ RecordError::NoRecord { .. }) => error.tell(),
            Err(error) => self.refused = Some(error),
        }
        self.is_all = false;
        None
    }

    /// Has `remove` take the rules away, and removes the records when it has.
    fn finish<E: From<RecordError>>(
        self,
        remove: impl FnOnce(&Remembered<'_, R::Wanted>) -> Result<(), E>,
    ) -> Result<(), E> {
        remove(&Remembered {
            records: &self.records,
            is_all: self.is_all,
        })?;
        if let Some(error) = self.refused {
            return Err(error.into());
        }
        // Those behind others first: whoever reads meanwhile begins with the first.
        for (place, record) in self.places.iter().zip(&self.records).rev() {
            store::remove_aside::<R>(place, record);
        }
        Ok(())
    }

    /// The same for those of one attachment, where nobody knows more. There may be none any more: DEL was faster.
    fn finish_alone(self, identity: Identity<'_>) -> Result<(), cni::Error> {
        match (self.records.is_empty(), self.refused) {
            (true, None) => Ok(()),
            (true, Some(error)) => Err(error.into()),
            (false, refused) => {
                Self { refused, ..self }.finish(|remembered| R::remove(identity, remembered))
            }
        }
    }
}

/// Has `remove` take an attachment's rules away, by all that is remembered of them: what the last ADD kept,
/// and what an earlier DEL could not remove. From before it the record counts no longer; it is gone when
/// `remove` succeeded.
///
/// # Errors
/// That of `remove`; a record cannot be read, and stays for the next DEL.
pub fn forget<R: Rules, E: From<RecordError>>(
    identity: Identity<'_>,
    remove: impl FnOnce(&Remembered<'_, R::Wanted>) -> Result<(), E>,
) -> Result<(), E> {
    let name = identity.hash_pair();
    store::remove_temporary::<R>(&name);
    let was_kept = store::set_aside::<R>(&name);
    let mut leaving = Leaving::<R>::of([name.as_str()], matches!(was_kept, Ok(true)));
    leaving.noted(was_kept);
    leaving.finish(remove)
}

/// GC: as [`forget`], for all attachments of `network` that are not in `valid` (container ID, interface).
///
/// # Errors
/// As [`forget`].
pub fn forget_others<R: Rules, E: From<RecordError>>(
    network: &str,
    valid: &[(&str, &str)],
    remove: impl FnOnce(&[Record<R::Wanted>]) -> Result<(), E>,
) -> Result<(), E> {
    let garbage = Garbage::of(network, valid);
    let all = store::all_names::<R>();
    let (mut names, listed) = match all {
        Ok(names) => (names, Ok(())),
        Err(error) => (BTreeSet::new(), Err(error)),
    };
    names.retain(|name| garbage.has(Some(name)));
    let set_aside: Vec<_> = names
        .iter()
        .map(|name| store::set_aside::<R>(name))
        .collect();
    let mut leaving = Leaving::<R>::of(names.iter().map(String::as_str), false);
    leaving.noted(listed);
    for outcome in set_aside {
        leaving.noted(outcome);
    }
    leaving.finish(|remembered| remove(remembered.records))?;
    for name in &names {
        store::remove_temporary::<R>(name);
    }
    Ok(())
}

/// What an earlier DEL could not remove goes before an ADD of the same attachment.
pub(super) fn finish_del<R: Rules>(identity: Identity<'_>) {
    let name = identity.hash_pair();
    let leaving = Leaving::<R>::of([name.as_str()], false);
    if let Err(error) = leaving.finish_alone(identity) {
        tracing::warn!(%error, "what DEL left of {} cannot be removed", R::KIND);
    }
}

/// Removes the rules of an attachment that does not live, as its DEL would. Where an ADD has
/// made it anew nothing is done: the DEL of that goes by all records.
///
/// # Errors
/// They cannot be removed, and the record is aside then.
pub fn remove_gone<R: Rules>(record: &Record<R::Wanted>) -> Result<(), cni::Error> {
    let identity = record.identity();
    let name = identity.hash_pair();
    let was_kept = match store::read_kept::<R>(&name)? {
        None => false,
        Some(kept) if kept == *record => store::set_aside::<R>(&name)?,
        Some(_) => return Ok(()),
    };
    let leaving = Leaving::<R>::of([name.as_str()], was_kept);
    if was_kept
        && leaving.records.last() != Some(record)
        && let Some(place) = leaving.places.last()
    {
        // That of an ADD which came between the two looks.
        return Ok(store::put_back::<R>(place, &name)?);
    }
    leaving.finish_alone(identity)?;
    // Rules of an ADD that came meanwhile bear the same names.
    match store::read_kept::<R>(&name)? {
        Some(kept) => restore::make::<R>(&kept),
        None => Ok(()),
    }
}
