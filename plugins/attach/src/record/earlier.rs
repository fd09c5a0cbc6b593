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
    pub(super) fn of(identity: Identity<'_>) -> Self {
        let name = identity.hash_pair();
        Self {
            record: store::read_one::<R>(&name),
            name,
        }
    }

    /// Has it be so again, with the rules: the inverse of [`keep`](super::keep). Rules that the ADD has made
    /// besides must be gone.
    ///
    /// # Errors
    /// The rules cannot be made again.
    pub fn come_back(self) -> Result<(), cni::Error> {
        let Some(record) = self.record else {
            store::remove::<R>(&self.name);
            return Ok(());
        };
        store::write::<R>(&record).map_err(cni::Error::internal)?;
        R::make(&record)?;
        settle::<R>(&record)
    }
}
