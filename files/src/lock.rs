//! `flock`, waited for as long as a well-behaved holder may need and no longer.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long plugins wait for a lock. A holder of ours needs milliseconds, so that is enough for
/// hundreds in a queue; whoever holds it for longer is a stranger, or hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The lock was not got.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another process has held the lock for {} s", .0.as_secs())]
    Held(Duration),
    /// The system refused.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A lock on an open file, given back when this is dropped.
///
/// Closing the file would not do (flock(2)): a child that another thread has just started shares it, until
/// its exec.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks `file` for its caller alone.
    ///
    /// # Errors
    /// Somebody else holds it all the time of `patience`.
    pub fn exclusive(file: File, patience: Duration) -> Result<Self, LockError> {
        let tried = file.try_lock();
        Self::waited_for(file, tried, File::lock, patience)
    }

    /// Locks `file` together with others who do the same.
    ///
    /// # Errors
    /// Somebody holds it exclusively all the time of `patience`.
    pub fn shared(file: File, patience: Duration) -> Result<Self, LockError> {
        let tried = file.try_lock_shared();
        Self::waited_for(file, tried, File::lock_shared, patience)
    }

    /// Locks `file` for its caller alone, unless somebody has it: `None`.
    ///
    /// # Errors
    /// The system refused.
    pub fn if_free(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(refused)) => Err(refused),
        }
    }

    /// The lock on a file that its caller has locked.
    pub fn held(file: File) -> Self {
        Self(file)
    }

    fn waited_for(
        file: File,
        tried: Result<(), TryLockError>,
        kind: Kind,
        patience: Duration,
    ) -> Result<Self, LockError> {
        match tried {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => wait(&file, kind, patience)?,
            Err(TryLockError::Error(refused)) => return Err(refused.into()),
        }
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If the system refuses, it goes with the file.
        let _ = self.0.unlock();
    }
}

/// One of the two kinds of locks.
type Kind = fn(&File) -> io::Result<()>;

/// Waits in the kernel's queue, first come, first served, on a thread that may be left behind: the
/// lock belongs to the open file, which it shares.
fn wait(file: &File, kind: Kind, patience: Duration) -> Result<(), LockError> {
    let open = file.try_clone()?;
    let (sender, receiver) = mpsc::channel();
    let waiting = move || {
        if sender.send(lock_uninterrupted(&open, kind)).is_err() {
            // Nobody wants it any more; at the latest it goes with the file.
            let _ = open.unlock();
        }
    };
    thread::Builder::new().spawn(waiting)?;
    match receiver.recv_timeout(patience) {
        Ok(outcome) => Ok(outcome?),
        Err(RecvTimeoutError::Timeout) => Err(LockError::Held(patience)),
        Err(RecvTimeoutError::Disconnected) => {
            Err(io::Error::other("the thread that waited has ended").into())
        }
    }
}

fn lock_uninterrupted(file: &File, kind: Kind) -> io::Result<()> {
    loop {
        match kind(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    /// A file, and how to open it anew.
    fn openings() -> (tempfile::TempDir, impl Fn() -> File) {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("lock");
        (dir, move || File::create(&path).expect("file"))
    }

    #[test]
    fn a_lock_is_waited_for_and_not_for_ever() {
        let (_dir, open) = openings();
        let other = Lock::exclusive(open(), PATIENCE).expect("free");
        let error = Lock::exclusive(open(), SHORT).expect_err("it is held");
        assert!(matches!(error, LockError::Held(SHORT)), "{error}");
        assert!(Lock::if_free(open()).expect("asked").is_none());
        assert_eq!(
            LockError::Held(PATIENCE).to_string(),
            "another process has held the lock for 60 s"
        );

        let releasing = thread::spawn(move || {
            thread::sleep(SHORT);
            drop(other);
        });
        Lock::exclusive(open(), PATIENCE).expect("it is let go of");
        releasing.join().expect("thread");
        assert!(Lock::if_free(open()).expect("asked").is_some());
    }

    #[test]
    fn a_shared_lock_waits_for_an_exclusive_one_alone() {
        let (_dir, open) = openings();
        let one = Lock::shared(open(), PATIENCE).expect("free");
        let other = Lock::shared(open(), PATIENCE).expect("shared");
        Lock::exclusive(open(), SHORT).expect_err("it is held");
        drop((one, other));
        let third = Lock::exclusive(open(), PATIENCE).expect("free");
        Lock::shared(open(), SHORT).expect_err("it is held exclusively");
        drop(third);
    }

    #[test]
    fn whoever_gave_up_does_not_hold_it_later() {
        let (_dir, open) = openings();
        let mine = open();
        let other = Lock::exclusive(open(), PATIENCE).expect("free");
        // The file stays open beyond the waiting, as a child's would.
        let shared = mine.try_clone().expect("file");
        Lock::exclusive(mine, SHORT).expect_err("it is held");
        drop(other);
        Lock::exclusive(open(), PATIENCE).expect("nobody has it");
        drop(shared);
    }

    #[test]
    fn a_lock_that_was_given_back_is_free_although_the_file_is_open_elsewhere() {
        let (_dir, open) = openings();
        let file = open();
        let of_a_child = file.try_clone().expect("file");
        drop(Lock::exclusive(file, PATIENCE).expect("free"));
        assert!(Lock::if_free(open()).expect("asked").is_some());
        drop(of_a_child);
    }
}
