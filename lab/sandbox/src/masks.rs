//! What a confined process does not see of the kernel's file systems, or cannot change there.
//!
//! Root owns most of what follows, and for much of it the kernel asks for no more than that.

use std::io::ErrorKind;
use std::path::Path;

use kernel::{Error, Result};

use crate::mount;

/// Hidden, as container runtimes hide them (the machine's memory, keys, timers, firmware and
/// power), and the switches of the kernel's debug messages.
const HIDDEN: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/dynamic_debug",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// To be read only: `core_pattern` alone names a program that the kernel starts as the machine's
/// root.
const READ_ONLY: [&str; 6] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Covers the paths in the calling thread's root; those that this kernel lacks are fine. `/dev/null`
/// covers files.
///
/// # Errors
/// The kernel refused a mount.
pub(crate) fn cover() -> Result<()> {
    for path in HIDDEN.map(Path::new) {
        match is_directory(path)? {
            Some(true) => mount::nothing(path)?,
            Some(false) => mount::bind(Path::new("/dev/null"), path)?,
            None => {}
        }
    }
    for path in READ_ONLY.map(Path::new) {
        if is_directory(path)?.is_some() {
            mount::read_only(path)?;
        }
    }
    Ok(())
}

fn is_directory(path: &Path) -> Result<Option<bool>> {
    match path.metadata() {
        Ok(found) => Ok(Some(found.is_dir())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::new("look at", path.display(), source)),
    }
}
