//! One look at iptables with the change that follows from it, while no other podwire does the same. What nftables
//! refuses by the ruleset's generation, `iptables-restore` writes: a port twice, a rule twice, a shared chain anew.

use std::{fs::File, io, time::Duration};

use files::Lock;

use crate::record::make_run;

/// Many who come at once wait for each other's programs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the turn, a lock on the directory of what podwire remembers until a reboot; it ends when the lock is
/// dropped. Whoever cannot have it works without, and the log tells: rules that came twice are better than a pod that
/// has none.
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
    let directory = File::open(make_run()?)?;
    Lock::exclusive(directory, PATIENCE).map_err(io::Error::other)
}
