//! Who loads and who removes.

use std::fs::{File, TryLockError};
use std::path::Path;

use files::{LockError, PATIENCE};

use crate::error::{Error, Result, Step as _};

/// The store's lock; it goes with the file.
pub(super) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// With others who load.
    pub(super) fn shared(root: &Path) -> Result<Self> {
        Self::waited_for(root, files::lock_shared)
    }

    /// With nobody else.
    pub(super) fn exclusive(root: &Path) -> Result<Self> {
        Self::waited_for(root, files::lock)
    }

    /// With nobody else, if nobody has it.
    pub(super) fn exclusive_if_free(root: &Path) -> Result<Option<Self>> {
        let file = open(root)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(refused)) => Err(refused).step("lock", &root.join("lock")),
        }
    }

    fn waited_for(
        root: &Path,
        lock: impl FnOnce(&File, std::time::Duration) -> Result<(), LockError>,
    ) -> Result<Self> {
        let file = open(root)?;
        lock(&file, PATIENCE).map_err(|source| Error::Locked {
            path: root.join("lock"),
            source,
        })?;
        Ok(Self(file))
    }
}

fn open(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.open(&path).step("open", &path)
}
