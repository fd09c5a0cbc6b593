//! Numbers of users and groups that nobody has.
//!
//! Kubernetes leaves the first 65536 to the machine and gives pods the blocks after them. What `/etc/subuid` and `/etc/subgid`
//! promise to others, and what `/etc/passwd` and `/etc/group` know, is left out as well.

use std::fs;
use std::io;

use super::IdRange;

/// No block of 65536 numbers is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFreeIds;

impl std::fmt::Display for NoFreeIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no {length} numbers of users and groups in a row, from a multiple of {length} on, are free: \
             /proc/self/uid_map and gid_map say which there are, /etc/subuid and /etc/subgid which are promised",
            length = IdRange::LENGTH
        )
    }
}

impl std::error::Error for NoFreeIds {}

/// Numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    first: u64,
    length: u64,
}

impl Extent {
    fn end(self) -> u64 {
        self.first.saturating_add(self.length)
    }

    fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.end() <= self.end()
    }

    fn meets(self, other: Self) -> bool {
        self.first < other.end() && other.first < self.end()
    }
}

impl From<IdRange> for Extent {
    fn from(range: IdRange) -> Self {
        Self {
            first: range.first.into(),
            length: IdRange::LENGTH.into(),
        }
    }
}

impl IdRange {
    /// The lowest that is neither among `taken` nor somebody's on this machine.
    ///
    /// # Errors
    /// There is none ([`NoFreeIds`]); a file that says so cannot be read.
    pub fn free(taken: &[Self]) -> io::Result<Self> {
        let mut others: Vec<Extent> = taken.iter().map(|&range| range.into()).collect();
        for (file, first, length) in [
            ("/etc/subuid", 1, Some(2)),
            ("/etc/subgid", 1, Some(2)),
            ("/etc/passwd", 2, None),
            ("/etc/group", 2, None),
        ] {
            others.extend(extents(&read(file)?, ':', first, length));
        }
        let known = |file| -> io::Result<_> { Ok(extents(&read(file)?, ' ', 0, Some(2))) };
        let [users, groups] = ["/proc/self/uid_map", "/proc/self/gid_map"].map(known);
        first_free([&users?, &groups?], &others).ok_or_else(|| io::Error::other(NoFreeIds))
    }
}

fn read(path: &str) -> io::Result<String> {
    match fs::read(path) {
        // Names in another encoding are names all the same.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// What the lines of a file say, by the places of their words; one number each without a `length`.
fn extents(text: &str, between: char, first: usize, length: Option<usize>) -> Vec<Extent> {
    let line = |line: &str| {
        let words: Vec<&str> = line
            .split(between)
            .filter(|word| between != ' ' || !word.is_empty())
            .collect();
        Some(Extent {
            first: words.get(first)?.parse().ok()?,
            length: match length {
                Some(place) => words.get(place)?.trim().parse().ok()?,
                None => 1,
            },
        })
    };
    text.lines().filter_map(line).collect()
}

fn first_free(known: [&[Extent]; 2], taken: &[Extent]) -> Option<IdRange> {
    let blocks = (IdRange::LENGTH..i32::MAX.unsigned_abs()).step_by(1 << 16);
    let mut blocks = blocks.map(|first| IdRange { first });
    blocks.find(|&block| {
        let extent = Extent::from(block);
        known
            .iter()
            .all(|all| all.iter().any(|each| each.contains(extent)))
            && !taken.iter().any(|each| each.meets(extent))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Extent = Extent {
        first: 0,
        length: u32::MAX as u64,
    };

    fn found(known: &[Extent], taken: &[Extent]) -> Option<u32> {
        first_free([known, known], taken).map(|range| range.first)
    }

    #[test]
    fn the_first_block_is_the_machines_and_no_other_is_given_twice() {
        let of = |first, length| Extent { first, length };
        for (taken, expected) in [
            (vec![], 1 << 16),
            (vec![of(0, 65_536)], 1 << 16),
            (vec![of(65_536, 65_536)], 2 << 16),
            (vec![of(65_536, 65_536), of(3 << 16, 65_536)], 2 << 16),
            (vec![of(100_000, 65_536)], 3 << 16),
            (vec![of(70_000, 1)], 2 << 16),
            (vec![of(131_072, 0)], 1 << 16),
        ] {
            assert_eq!(found(&[ALL], &taken), Some(expected), "{taken:?}");
        }
        assert_eq!(found(&[ALL], &[ALL]), None);
    }

    #[test]
    fn numbers_that_there_are_not_are_not_given() {
        let of = |first, length| Extent { first, length };
        assert_eq!(found(&[of(0, 1)], &[]), None);
        assert_eq!(found(&[of(0, 131_071)], &[]), None);
        assert_eq!(found(&[of(0, 131_072)], &[]), Some(65_536));
        let groups = first_free([&[ALL], &[of(0, 65_536)]], &[]);
        assert_eq!(groups, None, "groups count, too");
    }

    #[test]
    fn files_are_read_by_their_columns() {
        let of = |first, length| Extent { first, length };
        let subuid = "alice:100000:65536\nbob\n:1:x\n";
        assert_eq!(extents(subuid, ':', 1, Some(2)), [of(100_000, 65_536)]);
        let passwd = "root:x:0:0:root:/root:/bin/sh\nx:x:70000:1::/:\n";
        assert_eq!(extents(passwd, ':', 2, None), [of(0, 1), of(70_000, 1)]);
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(extents(map, ' ', 0, Some(2)), [of(0, 1), of(1, 65_536)]);
    }
}
