//! Random bytes from the kernel. No capabilities needed.

/// `N` random bytes. Waits, once in a machine's life, until the kernel's generator is seeded.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Fails only where the kernel gives no random bytes at all, and then there is no right answer.
    while getrandom::fill(&mut bytes).is_err() {}
    bytes
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
