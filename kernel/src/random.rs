//! Random bytes from the kernel. No capabilities needed.

use std::io;

use crate::{Error, Result};

/// `N` random bytes. Waits, once in a machine's life, until the kernel's generator is seeded.
///
/// # Errors
/// The kernel gives none: getrandom(2) is forbidden, and `/dev/urandom` is not there.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let failed = |error: getrandom::Error| {
        let source = match error.raw_os_error() {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(error),
        };
        Error::new("get", format_args!("{N} random bytes"), source)
    };
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// What no other process draws, whatever namespaces it is in: a number by which to know it again.
///
/// # Errors
/// As [`bytes`].
pub fn token() -> Result<u64> {
    bytes().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn fills_every_byte() {
        let draws: Vec<[u8; 16]> = (0..64).map(|_| super::bytes().unwrap()).collect();
        for place in 0..16 {
            assert!(
                draws.iter().any(|draw| draw[place] != draws[0][place]),
                "byte {place}"
            );
        }
    }
}
