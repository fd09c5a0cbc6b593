//! Random bytes from the kernel. No capabilities needed.

use nix::libc;

/// `N` random bytes, at most 256. Waits, once in a machine's life, until the kernel's generator is
/// seeded.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    const {
        assert!(
            N <= 256,
            "larger requests may be cut short, see getrandom(2)"
        )
    };
    let mut bytes = [0; N];
    loop {
        // SAFETY: the pointer and length are those of a live, writable array of N bytes.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
        // Only a signal during the first wait can stop a request this small.
        if usize::try_from(got) == Ok(N) {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fills_every_byte() {
        let draws: Vec<[u8; 16]> = (0..64).map(|_| super::bytes()).collect();
        for place in 0..16 {
            assert!(
                draws.iter().any(|draw| draw[place] != draws[0][place]),
                "byte {place}"
            );
        }
    }
}
