//! What netd leaves when it ends, so that the nodes stay joined until it starts again.

use std::{os::unix::net::UnixStream, path::Path};

use leftovers::Leftover;

use super::{Part, directory};
use crate::node::NodeError;

/// Where netd answers.
const SOCKET: &str = "/run/podwire/netd.sock";
pub(super) const SOCKET_NAME: &str = "netd.sock";

/// Whether netd runs on this node.
pub(super) fn runs() -> bool {
    UnixStream::connect(SOCKET).is_ok()
}

/// What is there.
///
/// # Errors
/// netd runs: it would make all of it again.
pub(super) fn parts() -> Result<Vec<Part<'static>>, NodeError> {
    if runs() {
        let stop = "stop it first: it would make again what is removed";
        return Err(NodeError::new("remove what netd left while netd runs")(
            stop,
        ));
    }
    let left = leftovers::look().map_err(NodeError::new("look at what netd left"))?;
    let part = |left: Leftover| Part::new(left.what.clone(), move || Ok(left.remove()?));
    let mut parts: Vec<Part<'static>> = left.into_iter().map(part).collect();
    parts.extend(directory(Path::new("/run/flannel")));
    Ok(parts)
}
