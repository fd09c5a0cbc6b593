//! The side that reads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2,
    readlinkat, statat,
};

use super::{DEEPEST, Entry, Kind, tell};
use kernel::{Error, Result};

/// What is opened is no device that does something by that, nor a FIFO that is waited for.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Gives what is at `path`, in the calling thread's root: a file, or a directory with all below it. The path itself may
/// lead through links, but not those of `/proc` that lead out of the root; links below it are given as links. `check` is asked
/// again and again whether to go on.
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
        left: Vec::new(),
        path: path.to_owned(),
    };
    let given = top
        .map_err(io::Error::from)
        .and_then(|top| giver.give_top(top))
        .map_err(failed);
    let last = match &given {
        Ok(()) => Entry::End { left: giver.left },
        Err(error) => Entry::Failed {
            why: format!("{error}: {}", error.source),
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
    tell(to, &Entry::Failed { why })?;
    to.flush()
}

struct Giver<'a, W> {
    to: &'a mut W,
    check: &'a mut dyn FnMut(u64) -> io::Result<()>,
    left: Vec<String>,
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
        const PIECE: usize = 1 << 16;
        // One that grows meanwhile does not keep this from ending.
        let size = u64::try_from(about.st_size).unwrap_or(0);
        let mode = about.st_mode;
        self.tell(depth, name, Kind::File { mode, size })?;
        let mut file = File::from(file).take(size);
        let mut piece = vec![0; PIECE];
        loop {
            let length = match file.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.leave(&error.to_string());
                    break;
                }
            };
            self.to.write_all(&piece[..length])?;
            (self.check)(length as u64)?;
        }
        let missing = file.limit();
        if missing > 0 {
            self.leave("it became shorter while it was read, and has zeros at its end now");
            io::copy(&mut io::repeat(0).take(missing), self.to)?;
        }
        Ok(())
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
            self.leave(&format!(
                "what is in it: these are {DEEPEST} directories in one another"
            ));
            return Ok(());
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
            Ok(Child::Other(kind)) => {
                self.leave(is_a(kind));
                Ok(())
            }
            Err(error) => {
                self.leave(&error.to_string());
                Ok(())
            }
        }
    }

    fn leave(&mut self, why: &str) {
        self.left.push(format!("{}: {why}", self.path.display()));
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
