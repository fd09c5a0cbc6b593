//! The side that writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::entry::{self, Entries, Stream};
use super::{Log, directory, files};
use crate::pod::Pod;
use crate::state::LabDir;

/// How much of a log is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub part: u64,
    pub parts: usize,
}

/// As many parts as kubelet's "containerLogMaxFiles", and together 10 MiB: as much as kubelet has in one of them
/// ("containerLogMaxSize"), since this lies in memory.
const KEPT: Bounds = Bounds {
    part: 2 << 20,
    parts: 5,
};

/// Writes the log of one start.
#[derive(Debug)]
pub(in crate::pod) struct LogWriter {
    pub(super) log: Log,
    bounds: Bounds,
    part: u64,
    file: File,
    length: u64,
    /// Whether an entry was not written as a whole: nothing comes behind it in this part.
    is_torn: bool,
}

impl LogWriter {
    /// For one start of a container; logs of all but the one before are forgotten.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(in crate::pod) fn create(
        dir: &LabDir,
        pod: &Pod,
        container: &str,
        start: u32,
    ) -> Result<Self> {
        let directory = directory(dir, pod, container);
        fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        for old in files(&directory)? {
            if old.start + 1 < start {
                let _ = fs::remove_file(old.path);
            }
        }
        Ok(Self::begin(Log { directory, start }, KEPT)?)
    }

    /// For tests of who has one.
    #[cfg(test)]
    pub(in crate::pod) fn at(directory: &Path) -> io::Result<Self> {
        let directory = directory.to_owned();
        Self::begin(
            Log {
                directory,
                start: 0,
            },
            KEPT,
        )
    }

    pub(super) fn begin(log: Log, bounds: Bounds) -> io::Result<Self> {
        let file = create(&log.path(0))?;
        Ok(Self {
            log,
            bounds,
            part: 0,
            file,
            length: 0,
            is_torn: false,
        })
    }

    /// Adds what was printed to a stream until `time`.
    ///
    /// # Errors
    /// There is no room: what did not find any is lost.
    pub(in crate::pod) fn write(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        time: SystemTime,
    ) -> io::Result<()> {
        let made = Entries::at(time, stream);
        let mut entries = Vec::with_capacity(bytes.len() + entry::HEAD + 1);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let pieces = made.of(line);
            let length: usize = pieces.iter().map(|piece| piece.len()).sum();
            let present = self.length + entries.len() as u64;
            if present > 0 && present + length as u64 > self.bounds.part {
                self.add(&entries)?;
                entries.clear();
                self.begin_part()?;
            }
            pieces
                .iter()
                .for_each(|piece| entries.extend_from_slice(piece));
        }
        self.add(&entries)
    }

    fn add(&mut self, entries: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.begin_part()?;
        }
        let written = self.file.write_all(entries);
        self.is_torn = written.is_err();
        self.length += entries.len() as u64;
        written
    }

    fn begin_part(&mut self) -> io::Result<()> {
        let next = self.part + 1;
        if let Some(oldest) = next.checked_sub(self.bounds.parts as u64) {
            let _ = fs::remove_file(self.log.path(oldest));
        }
        self.file = create(&self.log.path(next))?;
        (self.part, self.length, self.is_torn) = (next, 0, false);
        Ok(())
    }
}

/// Whoever writes it never overwrites what is there.
fn create(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}
