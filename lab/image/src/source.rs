//! The files of an image as it comes: a directory, or an archive of one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use files::Links;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::archive::{Archive, Input, Kind};
use crate::compression;
use crate::error::{Error, Result, Step as _};
use crate::limits::{Meter, Metered};

/// No index, manifest or configuration is larger, 4 MiB.
const DOCUMENT_LIMIT: u64 = 4 << 20;
/// Members of an archive of images: a hundred images of the most layers there may be have fewer.
const MOST_MEMBERS: usize = 1 << 16;

/// Links that are followed within an archive.
const MOST_LINKS: usize = 8;

/// Where an image comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A directory or an archive.
    Path(&'a Path),
    /// An archive that is open already and has no name of its own, as standard input: a file, or what is read once.
    Open {
        /// Read from where it is.
        file: &'a File,
        /// What errors call it.
        called: &'a Path,
    },
}

impl<'a> Origin<'a> {
    pub(crate) fn path(self) -> &'a Path {
        match self {
            Self::Path(path) | Self::Open { called: path, .. } => path,
        }
    }
}

/// Where an image is read from.
pub(crate) struct Source {
    path: PathBuf,
    files: Files,
}

enum Files {
    Directory,
    Archive {
        /// Not a pipe's, whose name says nothing of it.
        is_named: bool,
        file: Arc<File>,
        members: HashMap<String, Place>,
    },
}

enum Place {
    Data { offset: u64, size: u64 },
    Link(String),
}

impl Source {
    /// Opens a directory or an archive, which may come by a pipe or a socket. What cannot be read in any order as it
    /// is, or is compressed, is copied to a file below `work`.
    ///
    /// # Errors
    /// It cannot be read, is no archive, or holds more than the limit.
    pub(crate) fn open(origin: Origin<'_>, work: &Path, meter: &Meter<'_>) -> Result<Self> {
        let path = origin.path();
        let own = path.to_owned();
        let files = match origin {
            Origin::Path(_) => {
                let kind = std::fs::metadata(path).step("read", path)?.file_type();
                if kind.is_dir() {
                    Files::Directory
                } else if kind.is_fifo() {
                    let file = copied(move || File::open(own), path, work, meter)?;
                    archive(file, false, path, meter)?
                } else {
                    let file = files::open(path, Links::Follow, OpenOptions::new().read(true));
                    let file = in_any_order(file.step("read", path)?, path, work, meter)?;
                    archive(file, true, path, meter)?
                }
            }
            Origin::Open { file, .. } => {
                let file = file.try_clone().step("read", path)?;
                let file = match is_whole(&file).step("read", path)? {
                    true => in_any_order(file, path, work, meter)?,
                    false => copied(move || Ok(file), path, work, meter)?,
                };
                archive(file, false, path, meter)?
            }
        };
        Ok(Self {
            path: path.to_owned(),
            files,
        })
    }

    /// The directory or archive.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its file, if that says something.
    pub(crate) fn file_name(&self) -> Option<&str> {
        match self.files {
            Files::Archive {
                is_named: false, ..
            } => None,
            _ => self.path.file_name()?.to_str(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.files {
            Files::Directory => self.path.join(name).is_file(),
            Files::Archive { members, .. } => members.contains_key(name),
        }
    }

    /// One of the files.
    ///
    /// # Errors
    /// It is missing, or not within.
    pub(crate) fn file(&self, name: &str) -> Result<Box<dyn Read>> {
        if normal(name.as_bytes()).as_deref() != Some(name) {
            let reason = format!("it names the file {name:?}, which is not within it");
            return Err(Error::no_image(&self.path, reason));
        }
        match &self.files {
            Files::Directory => {
                let path = self.path.join(name);
                let file = files::open(&path, Links::Follow, OpenOptions::new().read(true));
                Ok(Box::new(file.step("read", &path)?))
            }
            Files::Archive { file, members, .. } => {
                let (offset, size) = find(members, name).ok_or_else(|| {
                    Error::no_image(&self.path, format!("there is no {name} in it"))
                })?;
                Ok(Box::new(Section {
                    file: Arc::clone(file),
                    offset,
                    end: offset + size,
                }))
            }
        }
    }

    /// All of a small file.
    ///
    /// # Errors
    /// It is missing, or larger than any document.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = self.file(name)?.take(DOCUMENT_LIMIT + 1);
        file.read_to_end(&mut bytes)
            .step("read", &self.path.join(name))?;
        match bytes.len() as u64 > DOCUMENT_LIMIT {
            true => Err(Error::damaged(name, "it is larger than 4 MiB")),
            false => Ok(bytes),
        }
    }
}

/// A regular file of which nothing has been read.
fn is_whole(mut file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.is_file() && file.stream_position()? == 0)
}

/// Its members are listed.
fn archive(mut file: File, is_named: bool, path: &Path, meter: &Meter<'_>) -> Result<Files> {
    file.seek(SeekFrom::Start(0)).step("read", path)?;
    let end = file.metadata().step("read", path)?.len();
    let shared = file.try_clone().step("read", path)?;
    let members = list(Seekable { file, end }, meter).map_err(|damage| match damage.kind() {
        io::ErrorKind::InvalidData => Error::no_image(path, damage.to_string()),
        _ => Error::damaged(path.display().to_string(), damage),
    })?;
    Ok(Files::Archive {
        is_named,
        file: Arc::new(shared),
        members,
    })
}

/// A regular file, decompressed if need be.
fn in_any_order(mut file: File, path: &Path, work: &Path, meter: &Meter<'_>) -> Result<File> {
    let is_compressed = compression::is_compressed(&mut file).step("read", path)?;
    file.seek(SeekFrom::Start(0)).step("read", path)?;
    match is_compressed {
        true => spool(file, work, meter).step("decompress", path),
        false => Ok(file),
    }
}

/// What is read once, decompressed if need be.
fn copied(
    open: impl FnOnce() -> io::Result<File> + Send + 'static,
    path: &Path,
    work: &Path,
    meter: &Meter<'_>,
) -> Result<File> {
    spool(Piped::of(open, meter), work, meter).step("read", path)
}

/// Decompressed if need be, into a file without a name, which goes when it is closed.
fn spool(packed: impl Read, work: &Path, meter: &Meter<'_>) -> io::Result<File> {
    let path = work.join("archive");
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    let mut input = Metered::new(compression::decompressed(packed)?, meter);
    io::copy(&mut input, &mut file)?;
    Ok(file)
}

/// Names of the members, and where their data lie; of two with the same name the later one, as tar has it.
fn list(input: Seekable, meter: &Meter<'_>) -> io::Result<HashMap<String, Place>> {
    let mut archive = Archive::new(input);
    let mut members = HashMap::new();
    let mut count = 0;
    while let Some(member) = archive.next()? {
        meter.ask()?;
        count += 1;
        if count > MOST_MEMBERS {
            let why =
                format!("it has more than {MOST_MEMBERS} members, an image a few for each layer");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let Some(name) = normal(&member.path) else {
            continue;
        };
        let place = match member.kind {
            Kind::Regular if member.extents.is_none() => Place::Data {
                offset: archive.position(),
                size: member.size,
            },
            Kind::HardLink => match normal(&member.link) {
                Some(target) => Place::Link(target),
                None => continue,
            },
            Kind::Symlink => match normal(&beside(&member.path, &member.link)) {
                Some(target) => Place::Link(target),
                None => continue,
            },
            _ => continue,
        };
        members.insert(name, place);
    }
    Ok(members)
}

/// A symbolic link's target is relative to the link's directory.
fn beside(path: &[u8], link: &[u8]) -> Vec<u8> {
    let directory = path.iter().rposition(|&byte| byte == b'/');
    let mut target = path[..directory.map_or(0, |end| end + 1)].to_owned();
    target.extend_from_slice(link);
    target
}

/// Without `.` and `..`; `None` where it is no name that a manifest could have.
fn normal(path: &[u8]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in std::str::from_utf8(path).ok()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn find(members: &HashMap<String, Place>, name: &str) -> Option<(u64, u64)> {
    let mut name = name;
    for _ in 0..MOST_LINKS {
        match members.get(name)? {
            Place::Data { offset, size } => return Some((*offset, *size)),
            Place::Link(target) => name = target,
        }
    }
    None
}

/// What comes by a pipe. A thread waits for it, or for who opens the other end: this one asks the watcher meanwhile.
struct Piped<'m, 'w> {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Cursor<Vec<u8>>,
    meter: &'m Meter<'w>,
}

impl<'m, 'w> Piped<'m, 'w> {
    /// Of `/dev/fd/63`, a FIFO, or standard input.
    fn of(open: impl FnOnce() -> io::Result<File> + Send + 'static, meter: &'m Meter<'w>) -> Self {
        let (sender, chunks) = mpsc::sync_channel(1);
        thread::spawn(move || {
            if let Err(refused) = open().and_then(|pipe| pass_on(pipe, &sender)) {
                // Who wants no more needs no reason.
                let _ = sender.send(Err(refused));
            }
        });
        Self {
            chunks,
            chunk: Cursor::default(),
            meter,
        }
    }

    /// The next chunk; an empty one at the end.
    fn next(&self) -> io::Result<Vec<u8>> {
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            self.meter.ask()?;
            match self.chunks.recv_timeout(PAUSE) {
                Ok(chunk) => return chunk,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
            }
        }
    }
}

impl Read for Piped<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.position() == self.chunk.get_ref().len() as u64 {
            self.chunk = Cursor::new(self.next()?);
        }
        self.chunk.read(buffer)
    }
}

fn pass_on(mut pipe: File, to: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    /// As much as a pipe has.
    const CHUNK: u64 = 64 << 10;
    loop {
        let mut chunk = Vec::new();
        match pipe.by_ref().take(CHUNK).read_to_end(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Whoever shares it has made it not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => until_data(&pipe)?,
            Err(error) => return Err(error),
        }
        if !chunk.is_empty() && to.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}

/// Or a signal, after which a look is as good.
fn until_data(pipe: &File) -> io::Result<()> {
    match poll(&mut [PollFd::new(pipe, PollFlags::IN)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A file that passes over bytes without reading them.
struct Seekable {
    file: File,
    end: u64,
}

impl Read for Seekable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Input for Seekable {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = i64::try_from(bytes).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let position = self.file.seek(SeekFrom::Current(bytes))?;
        match position > self.end {
            true => Err(crate::archive::ends_early()),
            false => Ok(()),
        }
    }
}

/// A part of a file that others read, too.
struct Section {
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
