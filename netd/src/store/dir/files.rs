//! The files of the directory store, and the lock under which they change.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::LeaseAttrs;
use kernel::Moment;
use serde_json::json;

use crate::store::{Malformed, Record, StoreError, decode};

/// How long to wait for another process to finish its change.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of every file.
const MODE: u32 = 0o644;
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// The paths of the store.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) root: PathBuf,
    pub(super) subnets: PathBuf,
    pub(super) expiry: PathBuf,
    awake: PathBuf,
    tmp: PathBuf,
}

/// The store while this process holds its lock. The kernel gives the lock back when the process
/// ends, however it ends.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    files: &'a Files,
    _lock: files::Lock,
}

/// What lies under one key.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) lease: Result<Record, Malformed>,
    /// As it was when the lease was read; `None` for a reservation.
    pub(super) expiry: Option<Expiry>,
}

/// When a lease ends, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    /// In the time that the machine is awake: nobody sets that clock, and while the machine sleeps nobody
    /// could renew the lease. Nothing of a lease that a netd of before renewed.
    awake: Option<Moment>,
    /// By the machine's wall clock, to the millisecond: for other boots of the machine, and for other machines.
    clock: SystemTime,
    /// When the lease was created (not renewed): Unix time in nanoseconds.
    pub(super) birth: u64,
}

/// A moment by both clocks.
#[derive(Debug)]
pub(super) struct Now {
    awake: Moment,
    clock: SystemTime,
}

impl Files {
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let files = Self {
            root: root.to_owned(),
            subnets: root.join("subnets"),
            expiry: root.join("expiry"),
            awake: root.join("awake"),
            tmp: root.join("tmp"),
        };
        for dir in [&files.subnets, &files.expiry, &files.awake, &files.tmp] {
            fs::create_dir_all(dir).map_err(failure("create the directory", dir))?;
        }
        Ok(files)
    }

    pub(super) fn describe(&self) -> String {
        format!("directory {}", self.root.display())
    }

    pub(super) fn config(&self) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.root.join("config"))
    }

    /// Takes the lock, without blocking the thread.
    pub(super) async fn locked(&self) -> Result<Locked<'_>, StoreError> {
        let path = self.root.join("lock");
        let started = tokio::time::Instant::now();
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(failure("open", &path))?;
            if let Some(lock) = files::Lock::if_free(file).map_err(failure("lock", &path))? {
                return Ok(Locked {
                    files: self,
                    _lock: lock,
                });
            }
            if started.elapsed() > PATIENCE {
                let held = io::Error::new(ErrorKind::TimedOut, "another process holds it");
                return Err(failure("lock", &path)(held));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads one lease; `None` when there is none. Safe without the lock: every file is replaced as
    /// a whole, and an expiry is there before its value, so it is read after it.
    pub(super) fn stored(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let path = self.subnets.join(key);
        let (Some(revision), Some(value)) = (self.revision(key)?, read(&path)?) else {
            return Ok(None);
        };
        let expiry = self.expiry(key)?;
        let lease = decode(key, &value).map(|(subnets, attrs)| Record {
            odd_key: (subnets.key() != key).then(|| key.into()),
            subnets,
            attrs: attrs.into(),
            revision,
            birth: expiry.as_ref().map_or(0, |expiry| expiry.birth),
            term: expiry.as_ref().map(|_| 0),
        });
        Ok(Some(Stored { lease, expiry }))
    }

    /// When a lease ends; `None` for a reservation.
    pub(super) fn expiry(&self, key: &str) -> Result<Option<Expiry>, StoreError> {
        // An expiry that cannot be read is as good as none: the lease stays until someone renews it.
        let Some(expiry) = Expiry::read(&self.expiry.join(key))? else {
            return Ok(None);
        };
        let awake = Expiry::read(&self.awake.join(key))?;
        let awake = awake.filter(|awake| awake.is_the_same(&expiry));
        Ok(Some(awake.unwrap_or(expiry)))
    }

    /// Which writing of the value this is: every one makes a new file.
    fn revision(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let path = self.subnets.join(key);
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(revision(&meta))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure("read", &path)(error)),
        }
    }
}

impl Locked<'_> {
    pub(super) fn stored(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        self.files.stored(key)
    }

    pub(super) fn expiry(&self, key: &str) -> Result<Option<Expiry>, StoreError> {
        self.files.expiry(key)
    }

    pub(super) fn revision(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.files.revision(key)
    }

    pub(super) fn exists(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.revision(key)?.is_some())
    }

    /// The names of all leases.
    pub(super) fn keys(&self) -> Result<BTreeSet<String>, StoreError> {
        names(&self.files.subnets)
    }

    pub(super) fn put_config(&self, text: &[u8]) -> Result<(), StoreError> {
        self.put(&self.files.root.join("config"), text)
    }

    /// Writes a value; returns its revision.
    pub(super) fn put_value(&self, key: &str, attrs: &LeaseAttrs) -> Result<u64, StoreError> {
        let path = self.files.subnets.join(key);
        self.put(&path, attrs.to_json().as_bytes())?;
        let meta = fs::metadata(&path).map_err(failure("read", &path))?;
        Ok(revision(&meta))
    }

    pub(super) fn put_expiry(&self, key: &str, expiry: &Expiry) -> Result<(), StoreError> {
        self.put(&self.files.awake.join(key), expiry.to_text().as_bytes())?;
        let of_clock = expiry.of_clock().to_text();
        self.put(&self.files.expiry.join(key), of_clock.as_bytes())
    }

    /// Removes a lease, the value first.
    pub(super) fn remove(&self, key: &str) -> Result<(), StoreError> {
        remove(&self.files.subnets.join(key))?;
        remove(&self.files.expiry.join(key))?;
        remove(&self.files.awake.join(key))
    }

    /// Removes the leases that have ended, and what a killed process left.
    pub(super) fn sweep(&self, now: &Now) -> Result<(), StoreError> {
        for name in names(&self.files.tmp)? {
            remove(&self.files.tmp.join(name))?;
        }
        let keys = names(&self.files.expiry)?;
        for name in names(&self.files.awake)?.difference(&keys) {
            remove(&self.files.awake.join(name))?;
        }
        keys.iter().try_for_each(|key| self.settle(key, now))
    }

    /// The same for one lease.
    pub(super) fn settle(&self, key: &str, now: &Now) -> Result<(), StoreError> {
        match self.expiry(key)? {
            Some(expiry) if expiry.left(now).is_zero() || !self.exists(key)? => self.remove(key),
            _ => Ok(()),
        }
    }

    /// Replaces a file as a whole. Only the holder of the lock uses `tmp`, so one name will do.
    fn put(&self, path: &Path, content: &[u8]) -> Result<(), StoreError> {
        let tmp = self.files.tmp.join("next");
        let written = files::replace(path, &tmp, content, MODE);
        written.map_err(|error| failure("write", path)(error.into_source()))
    }
}

impl Now {
    pub(super) fn read() -> Result<Self, StoreError> {
        Ok(Self {
            awake: Moment::awake().map_err(failure("read the boot of", Path::new("/proc")))?,
            clock: SystemTime::now(),
        })
    }

    /// What tells leases of one key apart.
    pub(super) fn birth(&self) -> u64 {
        let since = self.clock.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Expiry {
    /// Of a lease that lasts for `ttl` from now on.
    pub(super) fn after(now: &Now, ttl: Duration, birth: u64) -> Self {
        Self {
            awake: Some(now.awake.clone().later(ttl)),
            clock: now.clock + ttl,
            birth,
        }
    }

    /// How long the lease lasts; nothing once it has ended.
    pub(super) fn left(&self, now: &Now) -> Duration {
        match &self.awake {
            Some(end) if end.is_of_the_boot_of(&now.awake) => now.awake.until(end),
            _ => self.clock.duration_since(now.clock).ok(),
        }
        .unwrap_or_default()
    }

    /// As a netd of before writes and reads it.
    fn of_clock(&self) -> Self {
        Self {
            awake: None,
            ..self.clone()
        }
    }

    fn is_the_same(&self, other: &Self) -> bool {
        self.of_clock() == other.of_clock()
    }

    fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        Ok(read(path)?.and_then(|text| Self::parse(&text)))
    }

    fn to_text(&self) -> String {
        let ms = self
            .clock
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_millis());
        let birth = self.birth;
        match &self.awake {
            Some(end) => format!("{ms} {birth} {}\n", json!(end)),
            None => format!("{ms} {birth}\n"),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.trim_end().splitn(3, ' ');
        let ms = words.next()?.parse().ok()?;
        let birth = words.next()?.parse().ok()?;
        let end = words.next().map(serde_json::from_str).transpose();
        Some(Self {
            awake: end.ok()?,
            clock: UNIX_EPOCH.checked_add(Duration::from_millis(ms))?,
            birth,
        })
    }
}

/// An inode number can come back, but not with the same time.
fn revision(meta: &fs::Metadata) -> u64 {
    let time = meta
        .mtime()
        .wrapping_mul(1_000_000_000)
        .wrapping_add(meta.mtime_nsec());
    meta.ino().rotate_left(40) ^ time.cast_unsigned()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("read", path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failure("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Names of the files in a directory; hidden ones are not ours (editors make them).
fn names(dir: &Path) -> Result<BTreeSet<String>, StoreError> {
    let entries = fs::read_dir(dir).map_err(failure("list", dir))?;
    let mut found = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(failure("list", dir))?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') {
            found.insert(name.into_owned());
        }
    }
    Ok(found)
}

pub(super) fn failure<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_lease_ends_by_the_clock_that_nobody_sets() {
        let begin = Now::read().expect("now");
        let expiry = Expiry::after(&begin, DAY, 5);
        let text = expiry.to_text();
        let again = Expiry::parse(text.as_bytes()).map(|expiry| expiry.to_text());
        assert_eq!(again, Some(text));
        let of_before = format!(
            "{}\n",
            expiry.to_text().rsplitn(2, ' ').last().expect("words")
        );
        let of_before = Expiry::parse(of_before.as_bytes()).expect("two words");
        let far = 30 * HOUR;
        for (awake, clock, left, by_clock_alone) in [
            (HOUR, begin.clock + HOUR, 23 * HOUR, 23 * HOUR),
            (HOUR, begin.clock + far, 23 * HOUR, Duration::ZERO),
            (HOUR, begin.clock - far, 23 * HOUR, DAY + far),
            (far, begin.clock - far, Duration::ZERO, DAY + far),
        ] {
            let now = Now {
                awake: begin.awake.clone().later(awake),
                clock,
            };
            assert_eq!(expiry.left(&now), left);
            // To the millisecond.
            let off = of_before.left(&now).abs_diff(by_clock_alone);
            assert!(off < Duration::from_millis(1), "{off:?}");
        }
    }

    /// What a netd of before cannot read it takes for a reservation, which nobody renews.
    #[tokio::test]
    async fn a_netd_of_before_reads_and_renews_what_this_one_writes() {
        let dir = tempfile::tempdir().expect("directory");
        let files = Files::open(dir.path()).expect("store");
        let locked = files.locked().await.expect("lock");
        let now = Now::read().expect("now");
        let stored = |key| files.expiry(key).expect("read").expect("expiry");
        locked
            .put_expiry("one", &Expiry::after(&now, DAY, 5))
            .expect("write");
        let text = fs::read_to_string(files.expiry.join("one")).expect("file");
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(|word| word.parse().expect("number"))
            .collect();
        assert_eq!((numbers.len(), numbers[1]), (2, 5));
        assert!(stored("one").awake.is_some());
        // Renewed by the other one.
        fs::write(files.expiry.join("one"), format!("{} 5\n", numbers[0] + 1)).expect("write");
        assert_eq!(stored("one").awake, None);
        // Removed by it.
        fs::remove_file(files.expiry.join("one")).expect("remove");
        assert_eq!(files.expiry("one").expect("read"), None);
        locked.sweep(&now).expect("sweep");
        assert!(!files.awake.join("one").exists());
    }

    #[test]
    fn an_expiry_of_another_boot_ends_by_the_wall_clock() {
        let now = Now::read().expect("now");
        let ms = now
            .clock
            .duration_since(UNIX_EPOCH)
            .expect("time")
            .as_millis();
        let text = format!(r#"{} 5 {{"boot":"another","ms":1}}"#, ms + 60_000);
        let left = Expiry::parse(text.as_bytes()).expect("expiry").left(&now);
        assert!(left > Duration::from_secs(59), "{left:?}");
        for broken in ["", "1", "x 5", "1 y", "1 5 z"] {
            assert_eq!(Expiry::parse(broken.as_bytes()), None, "{broken}");
        }
    }
}
