//! DEL: `lo` down.
use cni::Attachment;
use kernel::{
    NetNs,
    NetNsError::{Missing, NotANamespace, OtherKind},
};

use crate::{Lo, error::Error};

/// A namespace that is gone, or a path that is no network namespace (a plain file remains where a
/// mount was lost), has no `lo` to set down.
pub(crate) fn del(attachment: &Attachment) -> Result<(), Error> {
    let Some(path) = attachment.netns.as_deref() else {
        return Ok(());
    };
    let ns = match NetNs::open(path) {
        Err(Missing { .. } | NotANamespace { .. } | OtherKind { .. }) => return Ok(()),
        ns => ns?,
    };
    Lo::find(&ns)?.set_up(false)
}
