//! Who loads and who removes.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use files::{Lock, LockError, PATIENCE};

use crate::error::{Error, Result, Step as _};

/// The store's lock, with others who load.
pub(super) fn shared(root: &Path) -> Result<Lock> {
    waited_for(root, Lock::shared)
}

/// With nobody else.
pub(super) fn exclusive(root: &Path) -> Result<Lock> {
    waited_for(root, Lock::exclusive)
}

/// With nobody else, if nobody has it.
pub(super) fn exclusive_if_free(root: &Path) -> Result<Option<Lock>> {
    Lock::if_free(open(root)?).step("lock", &root.join("lock"))
}

fn waited_for(
    root: &Path,
    lock: impl FnOnce(File, Duration) -> Result<Lock, LockError>,
) -> Result<Lock> {
    lock(open(root)?, PATIENCE).map_err(|source| Error::Locked {
        path: root.join("lock"),
        source,
    })
}

fn open(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.open(&path).step("open", &path)
}
