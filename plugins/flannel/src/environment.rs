//! subnet.env: what netd (or flanneld) tells about this node.

use std::path::Path;
use std::time::{Duration, Instant};

use cluster::SubnetEnv;
use cni::{Error, code};
use files::Links;

/// Whether to wait for the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// What is there now counts.
    No,
    /// netd may be starting, as on boot: wait up to [`LONGEST`].
    Briefly,
}

/// Longer than netd takes to start with a store that answers, shorter than any runtime's
/// patience.
const LONGEST: Duration = Duration::from_secs(2);
/// Between looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads the file.
///
/// # Errors
/// Code 11, "try again later": the file is missing or not complete.
pub(super) fn load(path: &Path, wait: Wait) -> Result<SubnetEnv, Error> {
    let deadline = Instant::now() + LONGEST;
    loop {
        match read(path) {
            Ok(environment) => return Ok(environment),
            Err(error) if wait == Wait::No || Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn read(path: &Path) -> Result<SubnetEnv, Error> {
    let unready = |problem: String| {
        let msg = format!(
            "failed to load flannel 'subnet.env' file {}: {problem}",
            path.display()
        );
        Error::new(code::TRY_AGAIN_LATER, msg).with_details(
            "netd or flanneld writes it when the node's subnet is leased and reachable; \
             is it running on this node? see `netd status`",
        )
    };
    let text =
        files::read_to_string(path, Links::Follow).map_err(|error| unready(error.to_string()))?;
    SubnetEnv::parse(&text).map_err(|error| unready(error.to_string()))
}
