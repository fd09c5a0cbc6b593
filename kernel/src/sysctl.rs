//! sysctls of the calling thread's network namespace: read, compare, write, say which file.
//!
//! Reading needs nothing; writing `net/` keys needs CAP_NET_ADMIN in the namespace's owner. Another
//! namespace's keys are reached through [`NetNs::step_in`](crate::NetNs::step_in).

use std::fs;
use std::path::PathBuf;

use crate::{Error, Result};

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
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
    let path = path(key);
    fs::write(&path, value).map_err(|source| {
        let object = format_args!("{value:?} to {}", path.display());
        Error::new("write", object, source)
    })
}

/// A key's value without the line feed at its end: `sysctl -n`.
///
/// # Errors
/// Names the file: `read /proc/sys/…`; [`Error::is_gone`] when there is no such key.
pub fn get(key: &str) -> Result<String> {
    let path = path(key);
    let mut value =
        fs::read_to_string(&path).map_err(|source| Error::new("read", path.display(), source))?;
    value.truncate(value.trim_end().len());
    Ok(value)
}
