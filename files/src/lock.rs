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

/// Locks `file` exclusively; it is held as long as the file is open.
///
/// # Errors
/// Somebody else holds it all the time of `patience`.
pub fn lock(file: &File, patience: Duration) -> Result<(), LockError> {
    outcome(file, file.try_lock(), File::lock, patience)
}

/// Locks `file` together with others who do the same; it is held as long as the file is open.
///
/// # Errors
/// Somebody holds it exclusively all the time of `patience`.
pub fn lock_shared(file: &File, patience: Duration) -> Result<(), LockError> {
    outcome(file, file.try_lock_shared(), File::lock_shared, patience)
}

/// One of the two kinds of locks.
type Kind = fn(&File) -> io::Result<()>;

fn outcome(
    file: &File,
    tried: Result<(), TryLockError>,
    kind: Kind,
    patience: Duration,
) -> Result<(), LockError> {
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => wait(file, kind, patience),
        Err(TryLockError::Error(refused)) => Err(refused.into()),
    }
}

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

    #[test]
    fn a_lock_is_waited_for_and_not_for_ever() {
        let dir = tempfile::tempdir().expect("directory");
        let open = || File::create(dir.path().join("lock")).expect("file");
        let (mine, other) = (open(), open());
        other.lock().expect("free");
        let error = lock(&mine, SHORT).expect_err("it is held");
        assert!(matches!(error, LockError::Held(SHORT)), "{error}");
        assert_eq!(
            LockError::Held(PATIENCE).to_string(),
            "another process has held the lock for 60 s"
        );

        let releasing = thread::spawn(move || {
            thread::sleep(SHORT);
            drop(other);
        });
        lock(&open(), PATIENCE).expect("it is let go of");
        releasing.join().expect("thread");
    }

    #[test]
    fn a_shared_lock_waits_for_an_exclusive_one_alone() {
        let dir = tempfile::tempdir().expect("directory");
        let open = || File::create(dir.path().join("lock")).expect("file");
        let (one, other, third) = (open(), open(), open());
        lock_shared(&one, PATIENCE).expect("free");
        lock_shared(&other, PATIENCE).expect("shared");
        lock(&open(), SHORT).expect_err("it is held");
        drop((one, other));
        lock(&third, PATIENCE).expect("free");
        lock_shared(&open(), SHORT).expect_err("it is held exclusively");
    }

    #[test]
    fn whoever_gave_up_does_not_hold_it_later() {
        let dir = tempfile::tempdir().expect("directory");
        let open = || File::create(dir.path().join("lock")).expect("file");
        let (mine, other) = (open(), open());
        other.lock().expect("free");
        lock(&mine, SHORT).expect_err("it is held");
        drop(other);
        lock(&open(), PATIENCE).expect("nobody has it");
        drop(mine);
    }
}
