//! DEL: `lo` down.
use cni::Attachment;
use kernel::{NetNs, NetNsError};

use crate::{Lo, error::Error};

/// A namespace that is gone, or a path that is none (a plain file remains where a mount was
/// lost), has no `lo` to set down.
pub(crate) fn del(attachment: &Attachment) -> Result<(), Error> {
    let Some(path) = attachment.netns.as_deref() else {
        return Ok(());
    };
    let ns = match NetNs::open(path) {
        Err(NetNsError::Missing { .. } | NetNsError::NotANamespace { .. }) => return Ok(()),
        ns => ns?,
    };
    kernel::block_on(async { Lo::find(&ns).await?.set_up(false).await })?
}
