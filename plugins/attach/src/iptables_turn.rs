//! One look at iptables with the change that follows from it, while no other podwire does the same. What nftables
//! refuses by the ruleset's generation, `iptables-restore` writes: a port twice, a rule twice, a shared chain anew.

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, time::Duration};

use files::Lock;

use crate::record::make_run;

const FILE: &str = "iptables.lock";
/// Many who come at once wait for each other's programs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the turn, which ends when the lock is dropped. Whoever cannot have it works without, and the log
/// tells: rules that came twice are better than a pod that has none.
pub fn take() -> Option<Lock> {
    match locked() {
        Ok(lock) => Some(lock),
        Err(error) => {
            tracing::warn!(%error, "cannot wait for others who change iptables");
            None
        }
    }
}

fn locked() -> io::Result<Lock> {
    let path = make_run()?.join(FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    Lock::exclusive(file, PATIENCE).map_err(io::Error::other)
}
