//! Changed copies of what is usual, the same ones for the same seed.

/// Words that readers of JSON, addresses, numbers and paths stumble over.
const WORDS: &[&[u8]] = &[
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e400",
    b"99999999999999999999",
    b"4294967296",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[",
    b"{\"a\":",
    b"\"\\u0000\"",
    b"\\ud800",
    b"\xff\xfe",
    b"\0",
    b"..",
    b"/",
    b"%",
    b"::",
    b"0.0.0.0/0",
    b"::/0",
    b"255.255.255.255",
    b"fe80::1%eth0",
    b"/33",
    b"/129",
    b"\n",
    b"\r\n",
    b"=",
    b";",
    b",",
    b"ff:ff:ff:ff:ff:ff",
    b"00:00:00:00:00:00:00:00",
    b"9.9.9",
    b"\"type\":\"bridge\"",
    b"\"prevResult\":{}",
    b"\"ipam\":{\"type\":\"host-local\"}",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];
/// No copy is longer, in bytes.
const LIMIT: usize = 4096;

/// A source of numbers (SplitMix64, Steele and others 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // Lossless: usize has no more bits than u64 on any Linux.
        (self.next() % limit as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// A copy of one of `seeds` with a few changes.
#[must_use]
pub fn changed(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut copy = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        change(&mut copy, seeds, random);
    }
    copy.truncate(LIMIT);
    copy
}

fn change(copy: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(copy.len() + 1);
    let end = at + random.below(copy.len() - at + 1).min(40);
    match random.below(6) {
        0 if at < copy.len() => copy[at] ^= 1 << random.below(8),
        1 => drop(copy.drain(at..end)),
        2 => drop(copy.splice(at..at, random.pick(WORDS).iter().copied())),
        3 => drop(copy.splice(at..end, random.pick(WORDS).iter().copied())),
        4 => copy.truncate(at),
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            let piece = other[from..].iter().take(60).copied();
            copy.splice(at..end, piece);
        }
    }
}
