//! Running from a mount that cannot be written, as whoever enters containers has to.
//!
//! What a container starts in place of the program that was meant, or as its interpreter, may be `/proc/self/exe`:
//! this executable, which the container then opens by `/proc/PID/exe`, keeps, and overwrites as soon as nobody runs
//! it (CVE-2019-5736). A descriptor that was come by through a mount that is read only cannot be written, whoever
//! opens it again.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use sandbox::mount::{Detached, is_read_only};

/// This executable, also where its file is gone or another one.
const OWN: &str = "/proc/self/exe";

/// Executes this program anew with its arguments, from a copy of the mount that it is on which is attached nowhere
/// and read only; returns when it runs from such a one.
///
/// # Errors
/// The executable is of another mount namespace; the kernel refused.
#[allow(
    clippy::disallowed_methods,
    reason = "this program becomes itself and starts none"
)]
pub fn run_from_read_only_mount() -> Result<()> {
    let own = Path::new(OWN);
    if is_read_only(own)? {
        return Ok(());
    }
    let copy = Detached::read_only_copy(own)?;
    let mut arguments = std::env::args_os();
    let mut again = Command::new(copy.path());
    again.arg0(arguments.next().unwrap_or_else(|| "lab".into()));
    Err(again.args(arguments).exec()).context("execute the lab from a read-only mount")
}
