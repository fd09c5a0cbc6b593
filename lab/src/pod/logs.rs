//! What containers print: `pods/POD/logs/CONTAINER/START.PART.log`, where START counts the container's starts, of
//! which the last two are kept, and PART the files of one start, of which the last five are.
//!
//! A part has whole entries ([`Entry`]) but where there was no room for the last one. A file is never renamed and never
//! shrinks: who follows a log goes on with the next part when there is one.

mod entry;
mod reader;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(super) use entry::Stream;
pub use entry::{Entry, time_text};
pub use reader::LogReader;
pub(super) use writer::LogWriter;

use super::Pod;
use crate::state::LabDir;

/// The log of one start of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    directory: PathBuf,
    start: u32,
}

impl Log {
    /// Of a container (of the first one without a name): of its present start, or of the `previous` one.
    ///
    /// # Errors
    /// There is no such container, or it was not started (again).
    pub fn find(dir: &LabDir, pod: &Pod, container: Option<&str>, previous: bool) -> Result<Self> {
        let name = &pod.container(container)?.name;
        let directory = directory(dir, pod, name);
        let mut starts: Vec<u32> = files(&directory)?.iter().map(|each| each.start).collect();
        starts.dedup();
        match starts.into_iter().rev().nth(usize::from(previous)) {
            Some(start) => Ok(Self { directory, start }),
            None if previous => bail!(
                "container {name} of pod {} has no previous log: it was not started again",
                pod.name
            ),
            None => bail!(
                "container {name} of pod {} has no log: it was not started yet",
                pod.name
            ),
        }
    }

    /// The numbers of its parts that are there, in order.
    fn parts(&self) -> Result<Vec<u64>> {
        let mut files = files(&self.directory)?;
        files.retain(|file| file.start == self.start);
        Ok(files.into_iter().map(|file| file.part).collect())
    }

    fn path(&self, part: u64) -> PathBuf {
        let Self { directory, start } = self;
        directory.join(format!("{start}.{part}.log"))
    }

    /// A part; nothing of one that was dropped.
    fn open(&self, part: u64) -> Result<Option<File>> {
        let path = self.path(part);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened
                .map(Some)
                .with_context(|| format!("open {}", path.display())),
        }
    }

    /// The first part behind `part` that is still there.
    fn after(&self, part: Option<u64>) -> Result<Option<(u64, File)>> {
        for next in self.parts()? {
            if part.is_none_or(|part| next > part)
                && let Some(file) = self.open(next)?
            {
                return Ok(Some((next, file)));
            }
        }
        Ok(None)
    }
}

fn directory(dir: &LabDir, pod: &Pod, container: &str) -> PathBuf {
    dir.pod(&pod.name).join("logs").join(container)
}

/// A file of a log.
struct LogFile {
    start: u32,
    part: u64,
    path: PathBuf,
}

/// The files of all starts, in order; none before the first start.
fn files(directory: &Path) -> Result<Vec<LogFile>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", directory.display())),
    };
    let file = |entry: fs::DirEntry| -> Option<LogFile> {
        let name = entry.file_name();
        let (start, part) = name.to_str()?.strip_suffix(".log")?.split_once('.')?;
        Some(LogFile {
            start: start.parse().ok()?,
            part: part.parse().ok()?,
            path: entry.path(),
        })
    };
    let mut files: Vec<LogFile> = entries.flatten().filter_map(file).collect();
    files.sort_unstable_by_key(|file| (file.start, file.part));
    Ok(files)
}
