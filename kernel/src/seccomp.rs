//! System call filters: loading one, without what other loaders do besides.

use std::io;

use nix::libc;

use crate::{Error, Result};

/// Filters the system calls of the calling thread, and of all that it starts, from now on (seccomp(2)). It
/// does not set no-new-privileges, unlike the loaders of other crates.
///
/// # Errors
/// The program is none, or longer than 4096 instructions (EINVAL); the thread has neither CAP_SYS_ADMIN nor
/// no-new-privileges (EACCES); the kernel has no filters (EINVAL, ENOSYS).
#[allow(
    unsafe_code,
    reason = "no safe wrapper without no-new-privileges exists"
)]
pub fn filter(program: &[libc::sock_filter]) -> Result<()> {
    let failed = |cause| Error::new("filter system calls of", "the calling thread", cause);
    let length = u16::try_from(program.len())
        .map_err(|_| failed(io::Error::from_raw_os_error(libc::EINVAL)))?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: seccomp(2) copies the program before it returns and writes nothing to it; pointer and length
    // are those of a slice that lives until then.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    if outcome == 0 {
        return Ok(());
    }
    Err(failed(io::Error::last_os_error()))
}
