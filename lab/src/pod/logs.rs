//! What containers print: `pods/POD/logs/CONTAINER/START.PART.log`, where START counts the container's starts, of
//! which the last two are kept, and PART the files of one start, of which the last [`PARTS`] are.
//!
//! A file is never renamed and never shrinks: who follows a log goes on with the next part when there is one.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Pod;
use crate::state::LabDir;

/// Bytes of a part; it has some more when a line ends there. With [`PARTS`] of them, a start's log has 10 MiB at
/// most: as much as kubelet has in one file ("containerLogMaxSize"), since this lies in memory.
const PART: u64 = 2 << 20;
/// Parts of a start, as kubelet's "containerLogMaxFiles".
const PARTS: usize = 5;

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

/// Reads a log across its parts; what was dropped meanwhile is left out.
#[derive(Debug)]
pub struct LogReader {
    log: Log,
    /// The part that is read; none before there is one.
    part: Option<(u64, File)>,
}

impl LogReader {
    /// From its beginning, or so many lines from its end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(log: Log, tail: Option<usize>) -> Result<Self> {
        let part = match tail {
            None => log.after(None)?,
            Some(lines) => from_end(&log, lines)?,
        };
        Ok(Self { log, part })
    }

    /// The next bytes; none where there are no more for now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        loop {
            let length = self.read_part(bytes)?;
            if length > 0 {
                return Ok(length);
            }
            let Some(next) = self.log.after(self.part.as_ref().map(|(part, _)| *part))? else {
                return Ok(0);
            };
            // Nothing is added to a part once there is another one, but it may have been before that.
            let length = self.read_part(bytes)?;
            if length > 0 {
                return Ok(length);
            }
            self.part = Some(next);
        }
    }

    /// How many bytes there are to read now.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn ahead(&mut self) -> Result<u64> {
        let mut ahead = 0;
        if let Some((_, file)) = &mut self.part {
            let length = file.metadata().context("look at the log")?.len();
            ahead = length.saturating_sub(file.stream_position().context("read the log")?);
        }
        let own = self.part.as_ref().map(|(part, _)| *part);
        for next in self.log.parts()? {
            if own.is_none_or(|own| next > own)
                && let Some(file) = self.log.open(next)?
            {
                ahead += file.metadata().context("look at the log")?.len();
            }
        }
        Ok(ahead)
    }

    fn read_part(&mut self, bytes: &mut [u8]) -> Result<usize> {
        match &mut self.part {
            Some((_, file)) => file.read(bytes).context("read the log"),
            None => Ok(0),
        }
    }
}

/// The place from which so many lines follow: a part, and its file read up to there.
fn from_end(log: &Log, lines: usize) -> Result<Option<(u64, File)>> {
    let mut left = lines;
    let mut is_last = true;
    let mut first = None;
    for part in log.parts()?.into_iter().rev() {
        let Some(mut file) = log.open(part)? else {
            break;
        };
        let length = file.seek(SeekFrom::End(0)).context("read the log")?;
        let found = seek_lines(&mut file, length, &mut left, is_last).context("read the log")?;
        first = Some((part, file));
        if found {
            break;
        }
        is_last &= length == 0;
    }
    Ok(first)
}

/// Goes to where `left` lines follow, block by block from the end; whether there are as many. Else it is at the
/// beginning, and `left` says how many are missing.
fn seek_lines(file: &mut File, length: u64, left: &mut usize, is_last: bool) -> io::Result<bool> {
    const BLOCK: u64 = 64 << 10;
    if *left == 0 {
        return Ok(true);
    }
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        Read::by_ref(file)
            .take(end - begin)
            .read_to_end(&mut block)?;
        let lines = (0..block.len()).rev().filter(|at| block[*at] == b'\n');
        for next in lines.map(|at| begin + at as u64 + 1) {
            // The end of the last line of all begins no other.
            if is_last && next == length {
                continue;
            }
            *left -= 1;
            if *left == 0 {
                file.seek(SeekFrom::Start(next))?;
                return Ok(true);
            }
        }
        end = begin;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(false)
}

/// How much of a log is kept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    part: u64,
    parts: usize,
}

/// Writes the log of one start.
#[derive(Debug)]
pub(super) struct LogWriter {
    log: Log,
    bounds: Bounds,
    part: u64,
    file: File,
    length: u64,
}

impl LogWriter {
    /// For one start of a container; logs of all but the one before are forgotten.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn create(dir: &LabDir, pod: &Pod, container: &str, start: u32) -> Result<Self> {
        let directory = directory(dir, pod, container);
        fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        for old in files(&directory)? {
            if old.start + 1 < start {
                let _ = fs::remove_file(old.path);
            }
        }
        let bounds = Bounds {
            part: PART,
            parts: PARTS,
        };
        Ok(Self::begin(Log { directory, start }, bounds)?)
    }

    fn begin(log: Log, bounds: Bounds) -> io::Result<Self> {
        let file = create(&log.path(0))?;
        Ok(Self {
            log,
            bounds,
            part: 0,
            file,
            length: 0,
        })
    }

    /// Adds what was printed. A full part ends with a line, where one ends in `bytes`.
    ///
    /// # Errors
    /// There is no room: what did not find any is lost.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length + (bytes.len() as u64) <= self.bounds.part {
            return self.add(bytes);
        }
        let line = bytes.iter().rposition(|byte| *byte == b'\n');
        let (old, new) = bytes.split_at(line.map_or(0, |end| end + 1));
        self.add(old)?;
        self.begin_part()?;
        self.add(new)
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn begin_part(&mut self) -> io::Result<()> {
        let next = self.part + 1;
        if let Some(oldest) = next.checked_sub(self.bounds.parts as u64) {
            let _ = fs::remove_file(self.log.path(oldest));
        }
        self.file = create(&self.log.path(next))?;
        (self.part, self.length) = (next, 0);
        Ok(())
    }
}

/// Whoever writes it never overwrites what is there.
fn create(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Three parts of ten bytes.
    fn written(directory: &Path, texts: &[&str]) -> LogWriter {
        let log = Log {
            directory: directory.to_owned(),
            start: 0,
        };
        let bounds = Bounds { part: 10, parts: 3 };
        let mut writer = LogWriter::begin(log, bounds).unwrap();
        texts
            .iter()
            .for_each(|text| writer.write(text.as_bytes()).unwrap());
        writer
    }

    /// What there is to read, three bytes at a time.
    fn rest(reader: &mut LogReader) -> String {
        let (mut all, mut some) = (Vec::new(), [0; 3]);
        loop {
            match reader.read(&mut some).unwrap() {
                0 => return String::from_utf8(all).unwrap(),
                length => all.extend_from_slice(&some[..length]),
            }
        }
    }

    fn read(log: &Log, tail: Option<usize>) -> String {
        rest(&mut LogReader::open(log.clone(), tail).unwrap())
    }

    #[test]
    fn the_last_parts_are_kept_and_begin_with_lines() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = written(directory.path(), &["one\n", "two\n", "three\nfo", "ur\n"]);
        assert_eq!(writer.log.parts().unwrap(), [0, 1]);
        assert_eq!(read(&writer.log, None), "one\ntwo\nthree\nfour\n");
        for number in 5..=9 {
            writer
                .write(format!("number {number}\n").as_bytes())
                .unwrap();
        }
        assert_eq!(writer.log.parts().unwrap(), [2, 3, 4]);
        let numbers = [6, 7, 8, 9].map(|number| format!("number {number}\n"));
        assert_eq!(read(&writer.log, None), numbers.concat());
        // A line that never ends is cut.
        (0..40).for_each(|_| writer.write(b"x").unwrap());
        assert_eq!(read(&writer.log, None), "x".repeat(30));
    }

    #[test]
    fn who_follows_goes_on_with_the_next_part() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = written(directory.path(), &["one\n"]);
        let mut reader = LogReader::open(writer.log.clone(), None).unwrap();
        assert_eq!(reader.ahead().unwrap(), 4);
        assert_eq!(rest(&mut reader), "one\n");
        assert_eq!(reader.ahead().unwrap(), 0);
        for text in ["two\n", "three\nfour\n", "five\n", "six\n", "seven\n"] {
            writer.write(text.as_bytes()).unwrap();
            assert_eq!(reader.ahead().unwrap(), text.len() as u64);
            assert_eq!(rest(&mut reader), text);
        }
        // Who is too slow lacks what was dropped.
        (0..9).for_each(|number| writer.write(format!("late {number}\n").as_bytes()).unwrap());
        let late = rest(&mut reader);
        assert!(late.lines().all(|line| line.starts_with("late ")), "{late}");
        assert!(late.lines().count() < 9, "{late}");
        assert!(late.ends_with("late 7\nlate 8\n"), "{late}");
    }

    #[test]
    fn the_end_of_a_log() {
        for (texts, number, expected) in [
            (&["a\nb\nc\n"][..], 0, ""),
            (&["a\nb\nc\n"], 1, "c\n"),
            (&["a\nb\nc"], 2, "b\nc"),
            (&["a\nb\nc\n"], 3, "a\nb\nc\n"),
            (&["a\nb\nc\n"], 9, "a\nb\nc\n"),
            (&["a\n\n"], 1, "\n"),
            (&[], 1, ""),
            // In several parts.
            (&["first\n", "second\n", "third\n"], 1, "third\n"),
            (&["first\n", "second\n", "third\n"], 2, "second\nthird\n"),
            (
                &["first\n", "second\n", "third\n"],
                3,
                "first\nsecond\nthird\n",
            ),
            (&["first\n", "second\n", "third\n"], 0, ""),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let log = written(directory.path(), texts).log;
            assert_eq!(read(&log, Some(number)), expected, "{texts:?} {number}");
        }
    }
}
