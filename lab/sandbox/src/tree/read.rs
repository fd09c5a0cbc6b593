//! The side that reads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, SeekFrom as Whence, Stat, fstat,
    openat, openat2, readlinkat, seek, statat,
};
use rustix::io::Errno;

use super::{DEEPEST, Entry, Kind, Piece, cut, tell};
use kernel::{Error, Result};

/// What is opened is no device that does something by that, nor a FIFO that is waited for.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Gives what is at `path`, in the calling thread's root: a file, or a directory with all below it. The path itself may
/// lead through links, but not those of `/proc` that lead out of the root; links below it are given as
/// links. `check` is asked again and again whether to go on.
///
/// What is neither, and what cannot be read, is left out and told to the other side.
///
/// # Errors
/// There is nothing at `path`, or a device; the other side has ended; what `check` says.
pub fn give(
    path: &Path,
    to: &mut impl Write,
    check: &mut dyn FnMut(u64) -> io::Result<()>,
) -> Result<()> {
    let failed = |cause| Error::new("read", path.display(), cause);
    let top = openat2(CWD, path, READ, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    let mut giver = Giver {
        to,
        check,
        path: path.to_owned(),
    };
    let given = top
        .map_err(io::Error::from)
        .and_then(|top| giver.give_top(top))
        .map_err(failed);
    let last = match &given {
        Ok(()) => Entry::End,
        Err(error) => Entry::Failed {
            why: cut(format!("{error}: {}", error.source)),
        },
    };
    let told = tell(giver.to, &last).and_then(|()| giver.to.flush());
    given.and(told.map_err(failed))
}

/// Gives nothing, and says why.
///
/// # Errors
/// The other side has ended.
pub fn refuse(to: &mut impl Write, why: String) -> io::Result<()> {
    tell(to, &Entry::Failed { why: cut(why) })?;
    to.flush()
}

struct Giver<'a, W> {
    to: &'a mut W,
    check: &'a mut dyn FnMut(u64) -> io::Result<()>,
    /// Of what is given now.
    path: PathBuf,
}

impl<W: Write> Giver<'_, W> {
    fn give_top(&mut self, top: OwnedFd) -> io::Result<()> {
        let about = fstat(&top)?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile => self.give_file(0, OsStr::new(""), top, &about),
            FileType::Directory => self.give_directory(0, OsStr::new(""), top, &about),
            other => Err(io::Error::new(io::ErrorKind::InvalidInput, is_a(other))),
        }
    }

    fn tell(&mut self, depth: usize, name: &OsStr, kind: Kind) -> io::Result<()> {
        let name = name.to_owned();
        tell(self.to, &Entry::There { depth, name, kind })
    }

    fn give_file(
        &mut self,
        depth: usize,
        name: &OsStr,
        file: OwnedFd,
        about: &Stat,
    ) -> io::Result<()> {
        // One that grows meanwhile does not keep this from ending.
        let size = u64::try_from(about.st_size).unwrap_or(0);
        let mode = about.st_mode;
        self.tell(depth, name, Kind::File { mode, size })?;
        let mut content = Content::of(file, size);
        let read = loop {
            match content.next() {
                Ok(Some((at, bytes))) => give_piece(self.to, at, bytes)?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            (self.check)(PIECE as u64)?;
        };
        let at = content.at;
        if at < size {
            give_piece(self.to, size, &[])?;
        }
        match read {
            Ok(()) => Ok(()),
            Err(error) => self.leave(&format!("{error}; from byte {at} on it has zeros now")),
        }
    }

    fn give_directory(
        &mut self,
        depth: usize,
        name: &OsStr,
        directory: OwnedFd,
        about: &Stat,
    ) -> io::Result<()> {
        let mode = about.st_mode;
        self.tell(depth, name, Kind::Directory { mode })?;
        if depth >= DEEPEST {
            return self.leave(&format!(
                "what is in it: these are {DEEPEST} directories in one another"
            ));
        }
        for name in names_in(&directory)? {
            (self.check)(0)?;
            self.path.push(&name);
            self.give_child(depth + 1, &name, &directory)?;
            self.path.pop();
        }
        Ok(())
    }

    /// What cannot be read is left out; what cannot be told ends it all.
    fn give_child(&mut self, depth: usize, name: &OsStr, parent: &OwnedFd) -> io::Result<()> {
        match open_child(name, parent) {
            Ok(Child::Link(target)) => self.tell(depth, name, Kind::Link { target }),
            Ok(Child::File(file, about)) => self.give_file(depth, name, file, &about),
            Ok(Child::Directory(directory, about)) => {
                self.give_directory(depth, name, directory, &about)
            }
            Ok(Child::Other(kind)) => self.leave(is_a(kind)),
            Err(error) => self.leave(&error.to_string()),
        }
    }

    fn leave(&mut self, why: &str) -> io::Result<()> {
        let what = cut(format!("{}: {why}", self.path.display()));
        tell(self.to, &Entry::Left { what })
    }
}

fn give_piece(to: &mut impl Write, at: u64, bytes: &[u8]) -> io::Result<()> {
    let length = bytes.len() as u64;
    tell(to, &Piece { at, length })?;
    to.write_all(bytes)
}

/// Bytes that are read at once.
const PIECE: usize = 1 << 16;

/// What is in a file, without its holes.
struct Content {
    file: File,
    size: u64,
    /// All before it has been read.
    at: u64,
    /// Where the data ends that is read.
    data_end: u64,
    piece: Vec<u8>,
}

impl Content {
    fn of(file: OwnedFd, size: u64) -> Self {
        Self {
            file: File::from(file),
            size,
            at: 0,
            data_end: 0,
            piece: vec![0; PIECE],
        }
    }

    /// Where the next bytes are, and they; `None` when only a hole is left, if anything.
    fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        if self.at == self.data_end && !self.find_data()? {
            return Ok(None);
        }
        let begin = self.at;
        let room = (self.data_end - begin).min(PIECE as u64) as usize;
        let length = read_at(&self.file, &mut self.piece[..room], begin)?;
        if length == 0 {
            return Err(became_shorter());
        }
        self.at += length as u64;
        Ok(Some((begin, &self.piece[..length])))
    }

    /// Goes on to the next data. Whether there is some.
    fn find_data(&mut self) -> io::Result<bool> {
        let data = match self.at < self.size {
            true => data_after(&self.file, self.at, self.size)?,
            false => None,
        };
        let Some((begin, end)) = data else {
            return match u64::try_from(fstat(&self.file)?.st_size) {
                Ok(size) if size < self.size => Err(became_shorter()),
                _ => Ok(false),
            };
        };
        (self.at, self.data_end) = (begin, end);
        Ok(true)
    }
}

fn became_shorter() -> io::Error {
    let cause = "it became shorter while it was read";
    io::Error::new(io::ErrorKind::UnexpectedEof, cause)
}

/// Where data begins and ends, from `at` on and before `size` (lseek(2), SEEK_DATA); all is data in a file system that
/// does not tell.
fn data_after(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let begin = match seek(file, Whence::Data(at)) {
        Ok(begin) if begin < size => begin,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::SPIPE) => return Ok(Some((at, size))),
        Err(errno) => return Err(errno.into()),
    };
    let end = seek(file, Whence::Hole(begin))?;
    // It may have become a hole meanwhile; this goes on all the same.
    Ok(Some((begin, end.clamp(begin + 1, size))))
}

fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(bytes, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

enum Child {
    Link(OsString),
    File(OwnedFd, Stat),
    Directory(OwnedFd, Stat),
    Other(FileType),
}

fn open_child(name: &OsStr, parent: &OwnedFd) -> io::Result<Child> {
    let before = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(before.st_mode) {
        FileType::Symlink => {
            let target = readlinkat(parent, name, Vec::new())?;
            return Ok(Child::Link(OsString::from_vec(target.into_bytes())));
        }
        FileType::RegularFile | FileType::Directory => {}
        other => return Ok(Child::Other(other)),
    }
    let child = openat(parent, name, READ | OFlags::NOFOLLOW, Mode::empty())?;
    // It may be another one by now.
    let about = fstat(&child)?;
    Ok(match FileType::from_raw_mode(about.st_mode) {
        FileType::RegularFile => Child::File(child, about),
        FileType::Directory => Child::Directory(child, about),
        other => Child::Other(other),
    })
}

fn names_in(directory: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn is_a(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "it is a FIFO",
        FileType::Socket => "it is a socket",
        _ => "it is a device",
    }
}
