//! sysctls of a network namespace: read, compare, write, say which file.
//!
//! Reading needs nothing; writing `net/` keys needs CAP_NET_ADMIN in the namespace's owner. Keys have `/` between
//! their parts (`net/ipv4/conf/eth0.1/arp_notify`), because link names may contain dots.
//!
//! The functions work on the calling thread's namespace; another one's keys are reached through
//! [`NetNs::step_in`](crate::NetNs::step_in), or by [`Sysctls`] that were opened there.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use crate::{Error, Result, procfs};

/// What most values are shorter than.
const USUAL_LENGTH: usize = 64;
/// What empties a sysctl: writing nothing at all does nothing.
const EMPTY: &str = "\n";

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
}

/// The sysctls of one network namespace: the one that they were opened in, for ever, as with a socket. Keys that are
/// not below `net/ipv4` or `net/ipv6` are the calling thread's all the same.
///
/// Two directories are looked up once, and each key relative to them.
#[derive(Debug)]
pub struct Sysctls {
    ipv4: Option<File>,
    ipv6: Option<File>,
}

/// By the whole paths, which lead to the calling thread's.
static OF_THREAD: Sysctls = Sysctls {
    ipv4: None,
    ipv6: None,
};

impl Sysctls {
    /// Those of the calling thread's namespace.
    pub fn open() -> Self {
        // Without it each key says what is wrong, by its own name.
        let directory = |key| open_path(key, FOR_READING).ok();
        Self {
            ipv4: directory("net/ipv4"),
            ipv6: directory("net/ipv6"),
        }
    }

    /// As [`set`].
    ///
    /// # Errors
    /// As [`set`].
    pub fn set(&self, key: &str, value: &str) -> Result<bool> {
        if self.get(key)? == value {
            return Ok(false);
        }
        self.write(key, value)?;
        Ok(true)
    }

    /// As [`write()`].
    ///
    /// # Errors
    /// As [`write()`].
    pub fn write(&self, key: &str, value: &str) -> Result<()> {
        let text = if value.is_empty() { EMPTY } else { value };
        let file = self.open_key(key, FOR_WRITING);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|source| {
            let path = path(key);
            let object = format_args!("{value:?} to {}", path.display());
            Error::new("write", object, source)
        })
    }

    /// As [`get`].
    ///
    /// # Errors
    /// As [`get`].
    pub fn get(&self, key: &str) -> Result<String> {
        let read = self
            .open_key(key, FOR_READING)
            .and_then(|file| read_value(&file));
        read.map_err(|source| Error::new("read", path(key).display(), source))
    }

    fn open_key(&self, key: &str, flags: OFlag) -> io::Result<File> {
        let families = [("net/ipv4/", &self.ipv4), ("net/ipv6/", &self.ipv6)];
        let inside = |(prefix, directory): (&str, &'_ Option<File>)| {
            let directory = directory.as_ref()?;
            let rest = key.strip_prefix(prefix)?;
            Some(openat(directory, rest, flags, Mode::empty()).map(File::from))
        };
        match families.into_iter().find_map(inside) {
            Some(opened) => Ok(opened?),
            None => open_path(key, flags),
        }
    }
}

/// In the calling thread's namespaces.
fn open_path(key: &str, flags: OFlag) -> io::Result<File> {
    let usual = || procfs::usual(|| open(&path(key), flags, Mode::empty()));
    let opened = match procfs::own() {
        Some(own) if key.starts_with("net/") => {
            match openat(own, &Path::new("sys").join(key), flags, Mode::empty()) {
                // Whom AppArmor confines it lets open nothing of what is attached nowhere.
                Err(Errno::EACCES) => usual(),
                opened => opened,
            }
        }
        _ => usual(),
    };
    Ok(File::from(opened?))
}

const FOR_READING: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC);
const FOR_WRITING: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_TRUNC)
    .union(OFlag::O_CLOEXEC);

/// Sets a key and returns whether it had to be written: `sysctl -w`. A value that is already there is not
/// written again, so a read-only `/proc/sys` with the right values is good enough.
///
/// # Errors
/// Names the file: `read /proc/sys/…` or `write "1" to /proc/sys/…`.
pub fn set(key: &str, value: &str) -> Result<bool> {
    OF_THREAD.set(key, value)
}

/// Writes a key, whatever is there: some keys cannot be read, and some do something when they are
/// written.
///
/// # Errors
/// Names the file: `write "1" to /proc/sys/…`.
pub fn write(key: &str, value: &str) -> Result<()> {
    OF_THREAD.write(key, value)
}

/// A key's value without the line feed at its end: `sysctl -n`.
///
/// # Errors
/// Names the file: `read /proc/sys/…`; [`Error::is_gone`] when there is no such key.
pub fn get(key: &str) -> Result<String> {
    OF_THREAD.get(key)
}

/// In one read from the beginning: behind the first one most of these files have nothing more, however little of
/// the value it took. Of the length, for which the library would ask first, they say nothing.
fn read_value(file: &File) -> io::Result<String> {
    let mut value = vec![0; USUAL_LENGTH];
    loop {
        let length = file.read_at(&mut value, 0)?;
        if length < value.len() {
            value.truncate(length);
            break;
        }
        value.resize(2 * length, 0);
    }
    let mut value = String::from_utf8(value).map_err(io::Error::other)?;
    value.truncate(value.trim_end().len());
    Ok(value)
}
