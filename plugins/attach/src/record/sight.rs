//! How a path is seen: in another mount namespace it may lead elsewhere, or nowhere.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use serde::{Deserialize, Serialize};

/// The calling thread's mount namespace.
const MOUNTS: &str = "/proc/thread-self/ns/mnt";

/// What tells files apart that are there at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn at(path: impl AsRef<Path>) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
        })
    }
}

/// From where a path was seen, and where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    mounts: FileId,
    root: FileId,
    /// The directory that the path is in.
    directory: FileId,
}

/// What is at a path now instead of what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    Nothing,
    Another,
}

impl Sight {
    /// How the calling thread sees the path; none where that cannot be told.
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(Self {
            mounts: FileId::at(MOUNTS)?,
            root: FileId::at("/")?,
            directory: FileId::at(Path::new(path).parent()?)?,
        })
    }

    /// Whether what the path led to is gone, because the calling thread sees this instead. It is where all
    /// mounts are those of then, or the path was removed from its directory, which is one wherever it is
    /// seen. A file there says nothing: what is mounted on it may be mounted elsewhere only.
    pub(super) fn proves_gone(&self, path: &str, instead: Instead) -> bool {
        let is_at = |known: FileId, path: &Path| FileId::at(path) == Some(known);
        let has_same_mounts =
            is_at(self.mounts, Path::new(MOUNTS)) && is_at(self.root, Path::new("/"));
        let directory = Path::new(path).parent();
        has_same_mounts
            || instead == Instead::Nothing
                && directory.is_some_and(|directory| is_at(self.directory, directory))
    }
}
