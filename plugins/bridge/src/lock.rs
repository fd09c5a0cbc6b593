//! One ADD at a time looks at and changes what all ADDs share: the bridge and its addresses.

use std::fs::File;

use crate::error::{Error, Result};

/// The file that is locked.
pub(crate) const NAMESPACE: &str = "/proc/thread-self/ns/net";

/// Held while this value lives, by one process per network namespace.
pub(crate) struct HostLock {
    _lock: files::Lock,
}

impl HostLock {
    /// Waits for it: `flock` on the namespace's own file, which is there without anyone making
    /// it, and let go of with the process.
    ///
    /// # Errors
    /// `/proc` is not mounted; somebody keeps the lock.
    pub(crate) fn take() -> Result<Self> {
        let lock = || files::Lock::exclusive(File::open(NAMESPACE)?, files::PATIENCE);
        Ok(Self {
            _lock: lock().map_err(Error::Lock)?,
        })
    }
}
