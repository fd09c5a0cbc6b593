//! The side that writes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, StatVfs, fchmod, fstat, fstatvfs, linkat, mkdirat,
    openat, openat2, renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::{DEEPEST, Entry, Kind, MODE, Piece, hear};
use kernel::{Error, Result};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Its owner may search it and write there.
const USABLE: u32 = 0o700;

/// Where something goes, in the calling thread's root: opened, so that nothing of the way there can change.
#[derive(Debug)]
pub struct Target {
    parent: OwnedFd,
    name: OsString,
    path: PathBuf,
    descriptors: Descriptors,
}

/// The calling process's descriptors as files of proc(5), by which a file without a name gets one. It is opened before
/// the process enters a container, whose `/proc` does not show it.
#[derive(Debug)]
pub struct Descriptors(OwnedFd);

impl Descriptors {
    /// # Errors
    /// `/proc` is not mounted.
    pub fn open() -> Result<Self> {
        const PATH: &str = "/proc/self/fd";
        let opened = openat(CWD, PATH, DIRECTORY, Mode::empty());
        let opened = opened.map_err(|errno| Error::new("open", PATH, errno.into()))?;
        Ok(Self(opened))
    }
}

impl Target {
    /// As cp(1) has it: into the directory at `path`, under the name `own`; or else as `path` itself.
    ///
    /// # Errors
    /// There is no such directory; the path has no last name.
    pub fn find(path: &Path, own: &OsStr, descriptors: Descriptors) -> Result<Self> {
        let failed = |cause| Error::new("write to", path.display(), cause);
        match open_directory(path) {
            Ok(parent) => Self::named(parent, path.join(own), descriptors),
            Err(Errno::NOENT | Errno::NOTDIR) if !ends_in_slash(path) => {
                let parent = path.parent().filter(|parent| *parent != Path::new(""));
                let parent = open_directory(parent.unwrap_or(Path::new(".")));
                let parent = parent.map_err(|errno| failed(errno.into()))?;
                Self::named(parent, path.to_owned(), descriptors)
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }

    fn named(parent: OwnedFd, path: PathBuf, descriptors: Descriptors) -> Result<Self> {
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "it has no name of its own");
            return Err(Error::new("write to", path.display(), cause));
        };
        Ok(Self {
            parent,
            name,
            path,
            descriptors,
        })
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(
        CWD,
        path,
        DIRECTORY,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    )
}

/// Writes what [`give`](super::give) gives. A file is whole under its name or not there under it, and takes the place
/// of what was there, also of a link; a directory that is there is filled. What is made belongs to the calling thread's
/// user, with the modes that it had as far as the umask allows. Holes of files stay holes. Returns what was not given,
/// each with the reason, in the other side's words; of very much, how much more it is. `check` is asked again and again
/// whether to go on.
///
/// The other side may have something to give without end: the file system is never filled, a hundredth of it stays free
/// (of its bytes at most a gibibyte), but for 16 MiB in all.
///
/// # Errors
/// The other side gave up, or ended; something is in the way; there is no room, or the file system refused; what
/// `check` says.
pub fn take(
    from: &mut impl BufRead,
    target: &Target,
    check: &mut dyn FnMut(u64) -> io::Result<()>,
) -> Result<Vec<String>> {
    let mut taker = Taker {
        target,
        open: Vec::new(),
        written: 0,
        path: target.path.clone(),
    };
    let taken = taker.take_all(from, check);
    // Also of what is not whole.
    let closed = taker.close_to(0);
    let left = taken?;
    closed.map_err(|cause| taker.failed(cause))?;
    Ok(left)
}

/// So many lines are kept of what was not given.
pub(super) const MOST_LEFT: usize = 1000;

struct Taker<'a> {
    target: &'a Target,
    /// Directories that are written to, one in the other, with the modes that they are to have.
    open: Vec<(OwnedFd, Option<Mode>)>,
    /// Bytes of files so far.
    written: u64,
    /// Of what is written now.
    path: PathBuf,
}

impl Taker<'_> {
    fn take_all(
        &mut self,
        from: &mut impl BufRead,
        check: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let mut further: u64 = 0;
        loop {
            let taken = match hear(from).map_err(|cause| self.failed(cause))? {
                Entry::There { depth, name, kind } => self.take(depth, &name, &kind, from, check),
                Entry::Left { what } if left.len() < MOST_LEFT => {
                    left.push(what);
                    Ok(())
                }
                Entry::Left { .. } => {
                    further += 1;
                    Ok(())
                }
                Entry::End => break,
                Entry::Failed { why } => {
                    let cause = io::Error::other(why);
                    return Err(Error::new("copy to", self.target.path.display(), cause));
                }
            };
            taken.map_err(|cause| self.failed(cause))?;
            check(0).map_err(|cause| self.failed(cause))?;
        }
        if further > 0 {
            left.push(format!("and {further} more"));
        }
        Ok(left)
    }

    fn failed(&self, cause: io::Error) -> Error {
        Error::new("write", self.path.display(), cause)
    }

    fn take(
        &mut self,
        depth: usize,
        name: &OsStr,
        kind: &Kind,
        from: &mut impl BufRead,
        check: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        if depth > DEEPEST || depth > self.open.len() || (depth == 0) != name.is_empty() {
            return Err(out_of_turn());
        }
        self.close_to(depth)?;
        let name = match depth {
            0 => self.target.name.clone(),
            _ => plain(name)?.to_owned(),
        };
        if depth > 0 {
            self.path.push(&name);
        }
        let parent = match self.open.last() {
            Some((open, _)) => open,
            None => &self.target.parent,
        };
        require_room(parent, self.written, 0)?;
        match kind {
            Kind::Directory { mode } => {
                let opened = make_directory(parent, &name, *mode)?;
                self.open.push(opened);
                // Left when it is closed.
                return Ok(());
            }
            Kind::Link { target } => make_link(parent, &name, target)?,
            Kind::File { mode, size } => {
                let written = &mut self.written;
                let place = (parent, &*name, &self.target.descriptors);
                make_file(place, *mode, |file| fill(file, from, *size, written, check))?;
            }
        }
        if depth > 0 {
            self.path.pop();
        }
        Ok(())
    }

    /// Closes directories until so many are open.
    fn close_to(&mut self, depth: usize) -> io::Result<()> {
        while self.open.len() > depth {
            let Some((directory, mode)) = self.open.pop() else {
                return Ok(());
            };
            if let Some(mode) = mode {
                fchmod(&directory, mode)?;
            }
            if !self.open.is_empty() {
                self.path.pop();
            }
        }
        Ok(())
    }
}

fn out_of_turn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "out of turn")
}

/// A name of something in a directory, and nothing else.
fn plain(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    let is_plain = !bytes.is_empty() && !bytes.contains(&b'/') && !bytes.contains(&0);
    match is_plain && bytes != b"." && bytes != b".." {
        true => Ok(name),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{name:?} is no name of a file"),
        )),
    }
}

/// Makes a directory, with the mode that it gets when it is closed where that does not let its owner write; one that is
/// there stays as it is.
fn make_directory(
    parent: &OwnedFd,
    name: &OsStr,
    mode: u32,
) -> io::Result<(OwnedFd, Option<Mode>)> {
    let made = mkdirat(parent, name, Mode::from_raw_mode(mode & MODE | USABLE));
    let is_new = match made {
        Err(Errno::EXIST) => false,
        made => made.map(|()| true)?,
    };
    let directory = openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
    let directory = directory.map_err(in_the_way)?;
    if !is_new || mode & USABLE == USABLE {
        return Ok((directory, None));
    }
    // As far as the umask allowed.
    let allowed = fstat(&directory)?.st_mode;
    Ok((directory, Some(Mode::from_raw_mode(allowed & mode & MODE))))
}

fn in_the_way(errno: Errno) -> io::Error {
    match errno {
        Errno::NOTDIR | Errno::LOOP => io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a directory is to be here, and a file or a link is: remove it first",
        ),
        other => other.into(),
    }
}

fn make_link(parent: &OwnedFd, name: &OsStr, target: &OsStr) -> io::Result<()> {
    let (temporary, ()) = under_new_name(|temporary| symlinkat(target, parent, temporary))?;
    put(parent, &temporary, name)
}

/// It has no name before it is whole: whoever kills this process, as the kernel does when a container's memory is full,
/// leaves nothing of it.
fn make_file(
    (parent, name, descriptors): (&OwnedFd, &OsStr, &Descriptors),
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode & MODE);
    let mut file = match openat(parent, ".", flags, mode) {
        Ok(file) => File::from(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => return make_named_file(parent, name, mode, fill),
        Err(errno) => return Err(errno.into()),
    };
    fill(&mut file)?;
    let own = file.as_raw_fd().to_string();
    let (temporary, ()) = under_new_name(|temporary| {
        linkat(
            &descriptors.0,
            own.as_str(),
            parent,
            temporary,
            AtFlags::SYMLINK_FOLLOW,
        )
    })?;
    put(parent, &temporary, name)
}

/// The same in a file system that has no files without names.
fn make_named_file(
    parent: &OwnedFd,
    name: &OsStr,
    mode: Mode,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let (temporary, file) = under_new_name(|temporary| openat(parent, temporary, flags, mode))?;
    match fill(&mut File::from(file)) {
        Ok(()) => put(parent, &temporary, name),
        Err(error) => {
            // What is left of it.
            let _ = unlinkat(parent, &temporary, AtFlags::empty());
            Err(error)
        }
    }
}

/// Makes something under a name that nothing has, and that nobody guesses: who did would keep files from being written.
fn under_new_name<T>(
    mut make: impl FnMut(&OsStr) -> rustix::io::Result<T>,
) -> io::Result<(OsString, T)> {
    const TRIES: u32 = 16;
    let mut tries = 0;
    loop {
        let number = RandomState::new().build_hasher().finish();
        let name = OsString::from(format!(".lab-cp.{number:016x}"));
        tries += 1;
        match make(&name) {
            Err(Errno::EXIST) if tries < TRIES => {}
            made => return Ok((name, made?)),
        }
    }
}

/// Gives what is whole its name.
fn put(directory: &OwnedFd, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
    renameat(directory, temporary, directory, name).map_err(|errno| {
        let _ = unlinkat(directory, temporary, AtFlags::empty());
        errno.into()
    })
}

/// Writes the pieces of a file, with holes where there are none.
fn fill(
    file: &mut File,
    from: &mut impl BufRead,
    size: u64,
    written: &mut u64,
    check: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut filled = 0;
    while filled < size {
        let Piece { at, length } = hear(from)?;
        let end = at.checked_add(length);
        let end = end.filter(|end| at >= filled && (filled + 1..=size).contains(end));
        filled = end.ok_or_else(out_of_turn)?;
        require_room(&*file, *written, length)?;
        *written = written.saturating_add(length);
        file.seek(SeekFrom::Start(at))?;
        fill_piece(file, from, length, check)?;
    }
    file.set_len(size)
}

/// # Errors
/// So many bytes more than what is written already, or another file, would fill the file system.
fn require_room(on: impl AsFd, written: u64, bytes: u64) -> io::Result<()> {
    match lacks(&fstatvfs(on)?, written, bytes) {
        None => Ok(()),
        Some(why) => Err(io::Error::new(io::ErrorKind::StorageFull, why)),
    }
}

/// What a file system lacks for so many bytes more than what is written already, if anything. One that does not count
/// has enough.
fn lacks(about: &StatVfs, written: u64, bytes: u64) -> Option<String> {
    /// Of these parts one stays free.
    const PARTS: u64 = 100;
    const MOST_KEPT: u64 = 1 << 30;
    /// So many bytes in all fill nothing, whatever is free.
    const LITTLE: u64 = 16 << 20;
    let [all, free] =
        [about.f_blocks, about.f_bavail].map(|each| each.saturating_mul(about.f_frsize));
    let kept = match written.saturating_add(bytes) {
        ..=LITTLE => 0,
        _ => (all / PARTS).min(MOST_KEPT),
    };
    if all > 0 && bytes > 0 && free < bytes.saturating_add(kept) {
        return Some(format!(
            "{bytes} bytes more would fill the file system: it has {free} free, of which {kept} stay free"
        ));
    }
    if about.f_files > 0 && about.f_favail < about.f_files / PARTS {
        return Some(format!(
            "another file would fill the file system: it has room for {} of {}, and a hundredth stays free",
            about.f_favail, about.f_files
        ));
    }
    None
}

fn fill_piece(
    file: &mut File,
    from: &mut impl BufRead,
    length: u64,
    check: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let some = from.fill_buf()?;
        let length = some.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            let cause = "the other side ended in the middle of it";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cause));
        }
        file.write_all(&some[..length])?;
        from.consume(length);
        left -= length as u64;
        check(length as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::StatVfsMountFlags;

    use super::*;

    #[test]
    fn a_hundredth_of_a_file_system_stays_free() {
        const GIB: u64 = 1 << 30;
        const MIB: u64 = 1 << 20;
        const MUCH: u64 = 16 * MIB;
        let file_system = |[blocks, free, files, free_files]: [u64; 4]| StatVfs {
            f_bsize: 4096,
            f_frsize: 1024,
            f_blocks: blocks,
            f_bfree: free,
            f_bavail: free,
            f_files: files,
            f_ffree: free_files,
            f_favail: free_files,
            f_fsid: 0,
            f_flag: StatVfsMountFlags::empty(),
            f_namemax: 255,
        };
        // Of a large file system with less free than is kept: little, and what it has not.
        let about = file_system([1000 << 20, 100 << 10, 0, 0]);
        for (written, bytes, is_taken) in [
            (0, 16 * MIB, true),
            (0, 16 * MIB + 1, false),
            (15 * MIB, MIB, true),
            (16 * MIB, 1, false),
        ] {
            let found = lacks(&about, written, bytes);
            assert_eq!(found.is_none(), is_taken, "{written} {bytes}");
        }
        assert!(lacks(&file_system([1000, 1, 0, 0]), 0, 1025).is_some());
        for (about, bytes, lacking) in [
            ([1000, 500, 1000, 500], 490 << 10, None),
            (
                [1000, 500, 1000, 500],
                (490 << 10) + 1,
                Some("has 512000 free, of which 10240 stay"),
            ),
            ([1000, 0, 1000, 500], 0, None),
            ([1000, 500, 1000, 10], 1, None),
            ([1000, 500, 1000, 9], 0, Some("room for 9 of 1000")),
            // A large one, one that tells nothing of files (btrfs), and one that tells nothing.
            ([1000 << 20, 2 << 20, 0, 0], GIB, None),
            (
                [1000 << 20, 2 << 20, 0, 0],
                GIB + 1,
                Some("of which 1073741824 stay"),
            ),
            ([0, 0, 0, 0], GIB, None),
            ([1000, 500, 0, 0], u64::MAX, Some("would fill")),
        ] {
            let found = lacks(&file_system(about), MUCH, bytes);
            let is_so = match (&found, lacking) {
                (None, None) => true,
                (Some(found), Some(words)) => found.contains(words),
                _ => false,
            };
            assert!(is_so, "{about:?} {bytes}: {found:?}");
        }
    }
}
