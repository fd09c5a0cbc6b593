//! What was remembered of an attachment before an ADD that may fail.

use super::{Record, Rules, settle, store};
use crate::Identity;

/// What was remembered, or that nothing was.
#[derive(Debug)]
pub struct Earlier<R: Rules> {
    name: String,
    record: Option<Record<R::Wanted>>,
}

impl<R: Rules> Earlier<R> {
    /// What cannot be read is set aside: the attachment's DEL must know that it is there.
    pub(super) fn of(identity: Identity<'_>) -> Self {
        let name = identity.hash_pair();
        let record = store::read_kept::<R>(&name).unwrap_or_else(|error| {
            error.tell();
            set_aside::<R>(&name);
            None
        });
        Self { name, record }
    }

    /// The next ADD remembers another, or none if that cannot be. What only this record names would be known
    /// to no DEL if it were written over, and nobody shall take it for the next one's.
    pub(super) fn make_way(&self, next: Option<&Record<R::Wanted>>) {
        if self.is_some() && self.record.as_ref() != next {
            set_aside::<R>(&self.name);
        }
    }

    /// Whether an ADD before this one made rules, which no DEL has removed since.
    pub fn is_some(&self) -> bool {
        self.record.is_some()
    }

    /// Has it be so again, with the rules: the inverse of [`keep`](super::keep). Rules that the ADD has made
    /// besides must be gone.
    ///
    /// # Errors
    /// The rules cannot be made again.
    pub fn come_back(self) -> Result<(), cni::Error> {
        let Some(record) = self.record else {
            store::remove_kept::<R>(&self.name);
            return Ok(());
        };
        store::write::<R>(&record).map_err(cni::Error::internal)?;
        for (place, _) in store::read_aside::<R>(&self.name) {
            store::remove_aside::<R>(&place, &record);
        }
        R::make(&record)?;
        settle::<R>(&record)
    }
}

fn set_aside<R: Rules>(name: &str) {
    if let Err(error) = store::set_aside::<R>(name) {
        error.tell();
    }
}
