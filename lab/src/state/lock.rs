//! Locks on directories: waited for, and who has them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};
use files::Lock;
use kernel::process::noted_interrupt;

use crate::interrupt::Interrupted;
use crate::output::escaped;
use crate::progress::{Notice, notice};

/// So many characters of a command are told.
const MOST_SAID: usize = 80;

/// Locks a directory for itself, or with others; tells whom it waits for.
///
/// # Errors
/// The kernel refused; [`Interrupted`] where signals are noted and one came meanwhile.
pub(super) fn lock(directory: File, shared: bool) -> Result<Lock> {
    wait(&directory, shared)?;
    Ok(Lock::held(directory))
}

fn wait(directory: &File, shared: bool) -> Result<()> {
    let attempt = match shared {
        true => directory.try_lock_shared(),
        false => directory.try_lock(),
    };
    match attempt {
        Ok(()) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error.into()),
        Err(TryLockError::WouldBlock) => {}
    }
    let _notice = waiting(Inode::of(directory)?);
    loop {
        if let Some(signal) = noted_interrupt() {
            bail!(Interrupted(signal));
        }
        let locked = match shared {
            true => directory.lock_shared(),
            false => directory.lock(),
        };
        match locked {
            // A signal came, which one is noted.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return Ok(locked?),
        }
    }
}

/// Tells, in a second, who has the lock on what is at `path`.
pub(super) fn waiting_for_lock(path: &Path) -> Notice {
    let inode = File::open(path).and_then(|directory| Inode::of(&directory));
    waiting(inode.unwrap_or_default())
}

fn waiting(inode: Inode) -> Notice {
    notice(move || {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        match holder(&locks, inode) {
            Some(pid) => format!("waiting for {} (process {pid})", command(pid)),
            None => "waiting for another command".to_owned(),
        }
    })
}

/// As `/proc/locks` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Inode {
    major: u64,
    minor: u64,
    number: u64,
}

impl Inode {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        let device = found.dev();
        // gnu_dev_major and gnu_dev_minor of sys/sysmacros.h.
        Ok(Self {
            major: ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff),
            minor: (device & 0xff) | ((device >> 12) & !0xff),
            number: found.ino(),
        })
    }
}

/// Who has a lock of flock(2) on it (proc_locks(5)); one that waits has an arrow.
fn holder(locks: &str, inode: Inode) -> Option<u32> {
    let Inode {
        major,
        minor,
        number,
    } = inode;
    let place = format!("{major:02x}:{minor:02x}:{number}");
    let found = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, at, ..] if at == place => pid.parse().ok(),
            _ => None,
        }
    });
    // In a PID namespace that this one does not see it has no number.
    found.filter(|pid| *pid > 0)
}

/// `` `lab delete pod web` ``
fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words: Vec<String> = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| escaped(&String::from_utf8_lossy(word)))
        .collect();
    if let Some(program) = words.first_mut() {
        *program = program.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let mut text = words.join(" ");
    if text.is_empty() {
        return "another command".to_owned();
    }
    if let Some((end, _)) = text.char_indices().nth(MOST_SAID) {
        text.truncate(end);
        text.push_str(" ...");
    }
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_lock() {
        let locks = "\
1: FLOCK  ADVISORY  WRITE 700 00:1a:4711 0 EOF
2: POSIX  ADVISORY  READ 800 00:1b:4711 0 EOF
3: FLOCK  ADVISORY  WRITE 901 00:1b:4711 0 EOF
3: -> FLOCK  ADVISORY  WRITE 902 00:1b:4711 0 EOF
4: FLOCK  ADVISORY  WRITE 0 00:1c:1 0 EOF
";
        let at = |minor, number| Inode {
            major: 0,
            minor,
            number,
        };
        assert_eq!(holder(locks, at(0x1b, 4711)), Some(901));
        assert_eq!(holder(locks, at(0x1b, 471)), None);
        assert_eq!(holder(locks, at(0x1c, 1)), None);
    }
}
