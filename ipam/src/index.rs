//! Who holds which address, without reading the reservations.
//!
//! A hash table in one file under `/run`: container ID to addresses. It is a cache of one network
//! directory and is used only while the directory is provably the one it was made from:
//!
//! - Everyone who changes the directory holds its lock, and so does everyone who reads or writes
//!   the index.
//! - Creating or removing a file sets the directory's modification and change time to the same
//!   value. After our own changes we set the modification time to one second ago and write both
//!   times, now different, into the index. So after any change by someone else the two times are
//!   equal, and equal times never match the recorded ones: neither the clock's resolution nor a
//!   clock that was set back can hide a change.
//! - Before our first change the index is marked unusable, and usable again after the last: a
//!   crash in between costs one pass over the directory.
//!
//! The file has 4096-byte pages: a header, then buckets of `(hash of container ID, address)`. A
//! call reads and writes one bucket. A hash may collide, and so every candidate is compared with
//! its reservation file. When buckets fill up, the table doubles.
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use files::Links;

const MAGIC: u64 = u64::from_le_bytes(*b"podwire1");
const PAGE: usize = 4096;
/// Bytes before the entries of a bucket: their number.
const BUCKET_HEADER: usize = 16;
const ENTRY: usize = 24;
const ENTRIES_PER_BUCKET: usize = (PAGE - BUCKET_HEADER) / ENTRY;
/// Mean fill above which the table doubles: half, so that hardly ever a bucket overflows.
const MEAN_FILL: u64 = ENTRIES_PER_BUCKET as u64 / 2;
/// One container cannot make the table grow for ever: 256 MiB.
const MOST_BUCKETS: u64 = 1 << 16;

/// Identity and times of a network directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(directory: &File) -> io::Result<Self> {
        let meta = directory.metadata()?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Marks `directory` as known: nobody else's change leaves its times different.
    fn set(directory: &File) -> io::Result<Self> {
        // A file system that keeps whole microseconds only must give back what was set.
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let earlier = now.saturating_sub(Duration::from_secs(1));
        let earlier = Duration::from_micros(u64::try_from(earlier.as_micros()).unwrap_or_default());
        directory.set_modified(SystemTime::UNIX_EPOCH + earlier)?;
        let stamp = Self::of(directory)?;
        let kept = (earlier.as_secs(), i64::from(earlier.subsec_nanos()));
        if (u64::try_from(stamp.modified.0), stamp.modified.1) != (Ok(kept.0), kept.1)
            || stamp.modified == stamp.changed
        {
            return Err(io::Error::other(
                "the file system does not keep modification times",
            ));
        }
        Ok(stamp)
    }

    /// The index of this directory; the lock of a directory and its index are thus one to one,
    /// whatever paths lead to it.
    fn file_name(&self) -> String {
        format!("{:x}-{:x}", self.device, self.inode)
    }
}

#[derive(Debug)]
pub(crate) struct Index {
    file: File,
    path: PathBuf,
    buckets: u64,
    entries: u64,
    usable: bool,
}

type Bucket = [u8; PAGE];

impl Index {
    /// The index of `directory`, if there is one that is right.
    pub(crate) fn open(place: &Path, directory: &File) -> Option<Self> {
        let stamp = Stamp::of(directory).ok()?;
        let path = place.join(stamp.file_name());
        let mut options = OpenOptions::new();
        let file = files::open(&path, Links::Refuse, options.read(true).write(true)).ok()?;
        let mut header = [0; 10 * 8];
        file.read_exact_at(&mut header, 0).ok()?;
        let words = words(&header);
        let (buckets, entries) = (words[2], words[3]);
        let usable = words[0] == MAGIC
            && words[1] == 1
            && buckets.is_power_of_two()
            && words[4..10] == stamp_words(&stamp);
        usable.then_some(Self {
            file,
            path,
            buckets,
            entries,
            usable: true,
        })
    }

    /// A new index of `directory` with these entries; unusable until [`Index::commit`].
    pub(crate) fn build<'a>(
        place: &Path,
        directory: &File,
        entries: impl ExactSizeIterator<Item = (&'a str, IpAddr)>,
    ) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(place)?;
        let path = place.join(Stamp::of(directory)?.file_name());
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        let file = files::open(&path, Links::Refuse, &mut options)?;
        let buckets = (entries.len() as u64 / (MEAN_FILL / 2))
            .max(1)
            .next_power_of_two();
        let mut index = Self {
            file,
            path,
            buckets,
            entries: 0,
            usable: false,
        };
        index.fill(
            entries
                .map(|(container, address)| (hash(container), number(address)))
                .collect(),
        )?;
        Ok(index)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> u64 {
        self.entries
    }

    /// Addresses that `container` may hold; whether it does, its reservation says.
    pub(crate) fn candidates(&self, container: &str) -> io::Result<Vec<IpAddr>> {
        let key = hash(container);
        let bucket = self.read_bucket(key)?;
        let entries = entries_of(&bucket)?.filter(|(hash, _)| *hash == key);
        Ok(entries.map(|(_, number)| address(number)).collect())
    }

    /// Marks the index unusable until [`Index::commit`]; call it before the directory changes.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.usable) {
            self.file.write_all_at(&[0; 8], 8)?;
        }
        Ok(())
    }

    /// Notes that `container` holds `address`.
    pub(crate) fn insert(&mut self, container: &str, address: IpAddr) -> io::Result<()> {
        let entry = (hash(container), number(address));
        let mut bucket = self.read_bucket(entry.0)?;
        if self.entries >= self.buckets * MEAN_FILL || !push(&mut bucket, entry)? {
            let mut all = self.all()?;
            all.push(entry);
            return self.grow(all);
        }
        self.entries += 1;
        self.write_bucket(entry.0, &bucket)
    }

    /// Forgets that `container` holds `address`.
    pub(crate) fn remove(&mut self, container: &str, address: IpAddr) -> io::Result<()> {
        let entry = (hash(container), number(address));
        let bucket = self.read_bucket(entry.0)?;
        let kept: Vec<_> = entries_of(&bucket)?
            .filter(|other| *other != entry)
            .collect();
        let removed = entries_of(&bucket)?.count() - kept.len();
        self.entries = self.entries.saturating_sub(removed as u64);
        self.write_bucket(entry.0, &bucket_of(&kept)?)
    }

    /// Makes the index usable for `directory` as it is now.
    pub(crate) fn commit(&mut self, directory: &File) -> io::Result<()> {
        let stamp = Stamp::set(directory)?;
        let mut header = Vec::with_capacity(10 * 8);
        let counts = [MAGIC, 1, self.buckets, self.entries];
        for word in counts.into_iter().chain(stamp_words(&stamp)) {
            header.extend(word.to_le_bytes());
        }
        self.file.write_all_at(&header, 0)?;
        self.usable = true;
        Ok(())
    }

    /// Gives the index up; the next call makes a new one.
    pub(crate) fn discard(self) {
        // It is unusable already where its first word could be written; else it must go.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "could not remove an index");
        }
    }

    fn all(&self) -> io::Result<Vec<(u64, u128)>> {
        let mut all = Vec::with_capacity(self.entries as usize + 1);
        let mut bucket = [0; PAGE];
        for position in 0..self.buckets {
            self.file
                .read_exact_at(&mut bucket, (position + 1) * PAGE as u64)?;
            all.extend(entries_of(&bucket)?);
        }
        Ok(all)
    }

    fn grow(&mut self, entries: Vec<(u64, u128)>) -> io::Result<()> {
        self.buckets *= 2;
        self.fill(entries)
    }

    /// Writes the whole table.
    fn fill(&mut self, entries: Vec<(u64, u128)>) -> io::Result<()> {
        loop {
            if self.buckets > MOST_BUCKETS {
                return Err(io::Error::other("one container holds too many addresses"));
            }
            let mut table = vec![[0; PAGE]; self.buckets as usize];
            let mut fits = true;
            for entry in &entries {
                fits &= push(&mut table[(entry.0 & (self.buckets - 1)) as usize], *entry)?;
            }
            if fits {
                self.entries = entries.len() as u64;
                return self.file.write_all_at(table.as_flattened(), PAGE as u64);
            }
            self.buckets *= 2;
        }
    }

    fn offset(&self, key: u64) -> u64 {
        ((key & (self.buckets - 1)) + 1) * PAGE as u64
    }

    fn read_bucket(&self, key: u64) -> io::Result<Bucket> {
        let mut bucket = [0; PAGE];
        self.file.read_exact_at(&mut bucket, self.offset(key))?;
        Ok(bucket)
    }

    fn write_bucket(&self, key: u64, bucket: &Bucket) -> io::Result<()> {
        self.file.write_all_at(bucket, self.offset(key))
    }
}

fn entries_of(bucket: &Bucket) -> io::Result<impl Iterator<Item = (u64, u128)>> {
    let count = usize::from(u16::from_le_bytes([bucket[0], bucket[1]]));
    if count > ENTRIES_PER_BUCKET {
        return Err(io::Error::other("broken bucket"));
    }
    let entries = bucket[BUCKET_HEADER..].chunks_exact(ENTRY).take(count);
    Ok(entries.map(|entry| {
        let (mut key, mut number) = ([0; 8], [0; 16]);
        key.copy_from_slice(&entry[..8]);
        number.copy_from_slice(&entry[8..]);
        (u64::from_le_bytes(key), u128::from_le_bytes(number))
    }))
}

/// `false`: the bucket is full.
fn push(bucket: &mut Bucket, (key, number): (u64, u128)) -> io::Result<bool> {
    let count = entries_of(bucket)?.count();
    if count == ENTRIES_PER_BUCKET {
        return Ok(false);
    }
    let at = BUCKET_HEADER + count * ENTRY;
    bucket[at..at + 8].copy_from_slice(&key.to_le_bytes());
    bucket[at + 8..at + ENTRY].copy_from_slice(&number.to_le_bytes());
    bucket[..2].copy_from_slice(&(count as u16 + 1).to_le_bytes());
    Ok(true)
}

fn bucket_of(entries: &[(u64, u128)]) -> io::Result<Bucket> {
    let mut bucket = [0; PAGE];
    for entry in entries {
        push(&mut bucket, *entry)?;
    }
    Ok(bucket)
}

fn words(bytes: &[u8; 80]) -> [u64; 10] {
    std::array::from_fn(|at| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
        u64::from_le_bytes(word)
    })
}

fn stamp_words(stamp: &Stamp) -> [u64; 6] {
    let (modified, changed) = (stamp.modified, stamp.changed);
    let times = [modified.0, modified.1, changed.0, changed.1].map(i64::cast_unsigned);
    [
        stamp.device,
        stamp.inode,
        times[0],
        times[1],
        times[2],
        times[3],
    ]
}

/// IPv4 as IPv4-mapped: a reservation's name is never a mapped address.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(number: u128) -> IpAddr {
    IpAddr::V6(number.into()).to_canonical()
}

/// FNV-1a, 64 bits: the same in every build, because the file outlives the executable.
fn hash(container: &str) -> u64 {
    container.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn new(place: &tempfile::TempDir) -> (Index, File) {
        let directory = File::open(place.path()).unwrap();
        let index = Index::build(&place.path().join("index"), &directory, [].into_iter()).unwrap();
        (index, directory)
    }

    /// A few containers with many addresses, so that buckets overflow, and many with one.
    fn changes() -> impl Strategy<Value = Vec<(bool, u16, u16)>> {
        let container = prop_oneof![0u16..3, 0u16..2000];
        proptest::collection::vec((prop::bool::weighted(0.8), container, 0u16..400), 0..1500)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_answers_as_a_set_does(changes in changes()) {
            let place = tempfile::tempdir().unwrap();
            let (mut index, directory) = new(&place);
            let mut model = BTreeSet::new();
            for (insert, container, last) in changes {
                let address: IpAddr = match last % 2 {
                    0 => [10, 0, (last >> 8) as u8, last as u8].into(),
                    _ => [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into(),
                };
                let known = model.contains(&(container, address));
                if insert && !known {
                    index.insert(&container.to_string(), address).unwrap();
                    model.insert((container, address));
                } else if !insert {
                    index.remove(&container.to_string(), address).unwrap();
                    model.remove(&(container, address));
                }
            }
            index.commit(&directory).unwrap();
            let index = Index::open(&place.path().join("index"), &directory).unwrap();
            prop_assert_eq!(index.len(), model.len() as u64);
            for container in 0..2000 {
                let found: BTreeSet<_> =
                    index.candidates(&container.to_string()).unwrap().into_iter().collect();
                let held = model.range((container, IpAddr::from([0, 0, 0, 0]))..);
                let held: BTreeSet<_> =
                    held.take_while(|one| one.0 == container).map(|one| one.1).collect();
                prop_assert_eq!(found, held);
            }
        }
    }

    #[test]
    fn it_is_used_only_between_commit_and_begin() {
        let place = tempfile::tempdir().unwrap();
        let (mut index, directory) = new(&place);
        let usable = || Index::open(&place.path().join("index"), &directory).is_some();
        assert!(!usable(), "before the first commit");
        index.commit(&directory).unwrap();
        assert!(usable());
        index.begin().unwrap();
        assert!(!usable(), "while the directory changes");
        index.commit(&directory).unwrap();
        File::create(place.path().join("new")).unwrap();
        assert!(!usable(), "after a change by someone else");
    }

    #[test]
    fn hashes_do_not_change_between_builds() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
