//! A wall clock that a test sets, and that is not the machine's: libfaketime stands before the C library of the
//! processes that are started with it. Clocks that only go forward are the kernel's all the while. etcd, which asks
//! the kernel without a C library, keeps the machine's.
//!
//! With `CLOCK_IS_OURS=1` the kernel's own is set in its place, for every process (see `make netd-kernel`).
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests; each file uses a part of this"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kernel::testing::skipped;

/// Where libfaketime reads what it says.
const FILE: &str = "FAKETIME_TIMESTAMP_FILE";
const HOUR: Duration = Duration::from_secs(3600);

/// The clock.
pub enum Clock {
    /// What this file says.
    Preloaded { file: PathBuf, library: PathBuf },
    /// The kernel's, which showed this at that moment.
    Kernel(Instant, SystemTime),
}

impl Clock {
    /// One for processes that are started with its [`Self::environment`]; `None` without libfaketime.
    pub fn new(dir: &Path) -> Option<Self> {
        if std::env::var_os("CLOCK_IS_OURS").is_some_and(|value| value == "1") {
            return Some(Self::Kernel(Instant::now(), SystemTime::now()));
        }
        let clock = Self::Preloaded {
            file: dir.join("clock"),
            library: library()?,
        };
        clock.set(0);
        Some(clock)
    }

    /// One for a whole test: where it takes libfaketime, the test runs again in a process with it, and this one gets
    /// `None`.
    pub fn of_the_test(test: &str) -> Option<Self> {
        if let Some(file) = std::env::var_os(FILE) {
            return Some(Self::Preloaded {
                file: file.into(),
                library: library()?,
            });
        }
        let dir = tempfile::tempdir().expect("directory");
        let clock = Self::new(dir.path())?;
        if clock.is_of_all() {
            return Some(clock);
        }
        let status = Command::new(std::env::current_exe().expect("the test program"))
            .args(["--exact", "--nocapture", test])
            .envs(clock.environment())
            .status();
        assert!(status.expect("the test program").success(), "{test}");
        None
    }

    /// Whether it is also the clock of programs that know nothing of it.
    pub fn is_of_all(&self) -> bool {
        matches!(self, Self::Kernel(..))
    }

    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let Self::Preloaded { file, library } = self else {
            return Vec::new();
        };
        vec![
            ("LD_PRELOAD", library.clone()),
            (FILE, file.clone()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }

    /// Lets it be off by so many hours.
    pub fn set(&self, hours: i64) {
        match self {
            Self::Preloaded { file, .. } => {
                let new = file.with_extension("new");
                std::fs::write(&new, format!("{hours:+}h\n")).expect("write");
                std::fs::rename(&new, file).expect("rename");
            }
            Self::Kernel(..) => {
                let seconds = self.seconds(hours);
                let date = Command::new("date")
                    .args(["-s", &format!("@{seconds}")])
                    .output();
                assert!(date.expect("date").status.success());
            }
        }
        // Where it is this process's own.
        if self.is_of_all() || std::env::var_os(FILE).is_some() {
            let off = self.seconds(hours).abs_diff(unix(SystemTime::now()));
            assert!(off < HOUR.as_secs(), "the clock is off by {off} s");
        }
    }

    /// What it shows then, in Unix time.
    fn seconds(&self, hours: i64) -> u64 {
        let now = match self {
            // What made a file is the kernel.
            Self::Preloaded { file, .. } => unix(modified(file)),
            Self::Kernel(at, showed) => unix(*showed + at.elapsed()),
        };
        now.checked_add_signed(hours * 3600).expect("a moment")
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        if self.is_of_all() {
            self.set(0);
        }
    }
}

fn modified(file: &Path) -> SystemTime {
    let meta = std::fs::metadata(file).expect("metadata");
    meta.modified().expect("a file has a time")
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

/// Where Debian has libfaketime.
fn library() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let found = places
        .map(|place| place.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists());
    if found.is_none() {
        skipped("needs libfaketime (package faketime)");
    }
    found
}
