//! Who loads and who removes.

use std::fs::File;
use std::path::Path;

use files::{LockError, PATIENCE};

use crate::error::{Error, Result, Step as _};

/// The store's lock.
pub(super) struct Lock(#[expect(dead_code, reason = "held, not used")] files::Lock);

impl Lock {
    /// With others who load.
    pub(super) fn shared(root: &Path) -> Result<Self> {
        Self::waited_for(root, files::Lock::shared)
    }

    /// With nobody else.
    pub(super) fn exclusive(root: &Path) -> Result<Self> {
        Self::waited_for(root, files::Lock::exclusive)
    }

    /// With nobody else, if nobody has it.
    pub(super) fn exclusive_if_free(root: &Path) -> Result<Option<Self>> {
        let locked = files::Lock::if_free(open(root)?).step("lock", &root.join("lock"))?;
        Ok(locked.map(Self))
    }

    fn waited_for(
        root: &Path,
        lock: impl FnOnce(File, std::time::Duration) -> Result<files::Lock, LockError>,
    ) -> Result<Self> {
        let locked = lock(open(root)?, PATIENCE).map_err(|source| Error::Locked {
            path: root.join("lock"),
            source,
        })?;
        Ok(Self(locked))
    }
}

fn open(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.open(&path).step("open", &path)
}
