//! The standard streams as the process was started with them.
//!
//! Rust's start-up opens `/dev/null` in place of a standard descriptor that is closed, so that no
//! file opened later is taken for it. A program that must know whether anybody reads its output
//! has to look before that. No capabilities needed.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::{libc, unistd};

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Input = 0,
    /// Standard output.
    Output = 1,
    /// Standard error.
    Error = 2,
}

/// One bit per descriptor that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Whether the process was started without this stream.
pub fn was_closed(stream: Stream) -> bool {
    CLOSED.load(Ordering::Relaxed) & (1 << stream as u8) != 0
}

/// Standard output without the library's buffer, which keeps back what stands behind the last line feed: a document goes
/// out in one piece, and wakes its reader once.
#[derive(Clone, Copy, Debug)]
pub struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

extern "C" fn look() {
    for descriptor in 0..3 {
        // SAFETY: F_GETFD takes no argument and changes nothing; a number that is no open
        // descriptor is answered with -1.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
        }
    }
}

// SAFETY: the C library calls every function of this section once, before main, on the only
// thread there is; `look` calls fcntl and changes one atomic number, neither of which needs
// anything of Rust's start-up.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
