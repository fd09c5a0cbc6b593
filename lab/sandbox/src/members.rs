//! The processes in a namespace: who belongs together where no control group says so.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kernel::{Error, Result};

use crate::{Namespace, Process};

/// A namespace, held open: the kernel gives its number to no other one meanwhile.
#[derive(Debug)]
pub struct HeldNamespace {
    kind: Namespace,
    file: File,
}

impl HeldNamespace {
    /// That of a process.
    ///
    /// # Errors
    /// The process has ended.
    pub fn of(process: &Process, kind: Namespace) -> Result<Self> {
        Self::at(
            kind,
            format!("/proc/{}/ns/{}", process.pid, kind.as_str()).as_ref(),
        )
    }

    /// One that is bound to a file.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn at(kind: Namespace, path: &Path) -> Result<Self> {
        let file = File::open(path)
            .map_err(|cause| Error::new("open namespace", path.display(), cause))?;
        Ok(Self { kind, file })
    }

    /// The processes whose first thread is in it.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let failed = |cause| Error::new("list processes in", "/proc", cause);
        let own = identity(&self.file.metadata().map_err(failed)?);
        let entries = fs::read_dir("/proc").map_err(failed)?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let inside = pids.filter_map(|pid| {
            // Identified first: one that ends meanwhile is then not taken for a later one.
            let process = Process::of(pid).ok()?;
            // The kernel's own processes, those that have ended, and those of others show none.
            let theirs = fs::metadata(format!("/proc/{pid}/ns/{}", self.kind.as_str())).ok()?;
            (identity(&theirs) == own).then_some(process)
        });
        Ok(inside.collect())
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
