//! sysctls of the calling thread's network namespace: read, compare, write, say which file.
//!
//! Reading needs nothing; writing `net/` keys needs CAP_NET_ADMIN in the namespace's owner. Another
//! namespace's keys are reached through [`NetNs::step_in`](crate::NetNs::step_in).

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::{Error, Result};

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
}

thread_local! {
    /// `/proc/sys/net/FAMILY` of the namespaces that this thread has looked into, the latest last.
    static OPENED: RefCell<Vec<FamilyDirectory>> = const { RefCell::new(Vec::new()) };
}

/// A plugin looks into two namespaces, for two families.
const MOST_OPENED: usize = 4;

/// The settings of one family in one network namespace, held open.
///
/// All namespaces' entries `ipv4`, and all `ipv6`, share one chain of the kernel's cache of names, so each path that
/// leads through them takes the longer the more namespaces there are (1 ms with 900 here, when the chain is not in the
/// processor's cache). What is opened relative to this directory does not.
struct FamilyDirectory {
    namespace: u64,
    family: String,
    directory: File,
}

/// Opens a key's file.
fn open(key: &str, flags: OFlag) -> io::Result<File> {
    let whole = || {
        Ok(File::from(nix::fcntl::open(
            &path(key),
            flags,
            Mode::empty(),
        )?))
    };
    let parts = key
        .strip_prefix("net/")
        .and_then(|rest| rest.split_once('/'));
    let Some((family @ ("ipv4" | "ipv6"), inside)) = parts else {
        return whole();
    };
    match open_in_family(family, inside, flags) {
        // A namespace that is gone, whose number another has now, has no keys.
        Err(error) if error.kind() == io::ErrorKind::NotFound => whole(),
        opened => opened,
    }
}

fn open_in_family(family: &str, inside: &str, flags: OFlag) -> io::Result<File> {
    let namespace = fs::metadata("/proc/thread-self/ns/net")?.ino();
    OPENED.with_borrow_mut(|opened| {
        let known = |each: &FamilyDirectory| each.namespace == namespace && each.family == family;
        if !opened.iter().any(known) {
            let directory = File::open(Path::new("/proc/sys/net").join(family))?;
            if opened.len() == MOST_OPENED {
                opened.remove(0);
            }
            opened.push(FamilyDirectory {
                namespace,
                family: family.to_owned(),
                directory,
            });
        }
        let known = opened.iter().find(|each| known(each));
        let directory = &known.ok_or(io::ErrorKind::NotFound)?.directory;
        Ok(File::from(openat(directory, inside, flags, Mode::empty())?))
    })
}

/// Sets a key and returns whether it had to be written: `sysctl -w`.
///
/// The key has `/` between its parts (`net/ipv4/conf/eth0.1/arp_notify`), because link names may
/// contain dots. A value that is already there is not written again, so a read-only `/proc/sys`
/// with the right values is good enough.
///
/// # Errors
/// Names the file: `read /proc/sys/…` or `write "1" to /proc/sys/…`.
pub fn set(key: &str, value: &str) -> Result<bool> {
    if get(key)? == value {
        return Ok(false);
    }
    write(key, value)?;
    Ok(true)
}

/// Writes a key, whatever is there: some keys cannot be read, and some do something when they are
/// written.
///
/// # Errors
/// Names the file: `write "1" to /proc/sys/…`.
pub fn write(key: &str, value: &str) -> Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_CLOEXEC;
    let written = open(key, flags).and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| {
        let path = path(key);
        let object = format_args!("{value:?} to {}", path.display());
        Error::new("write", object, source)
    })
}

/// A key's value without the line feed at its end: `sysctl -n`.
///
/// # Errors
/// Names the file: `read /proc/sys/…`; [`Error::is_gone`] when there is no such key.
pub fn get(key: &str) -> Result<String> {
    let mut value = String::new();
    open(key, OFlag::O_RDONLY | OFlag::O_CLOEXEC)
        .and_then(|mut file| file.read_to_string(&mut value))
        .map_err(|source| Error::new("read", path(key).display(), source))?;
    value.truncate(value.trim_end().len());
    Ok(value)
}
