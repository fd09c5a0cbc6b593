//! CHECK: `lo` is up.
use cni::Attachment;
use kernel::NetNs;

use crate::{Lo, error::Error};

/// Looks at the interface alone; no earlier result is needed.
pub(crate) fn check(attachment: &Attachment) -> Result<(), Error> {
    let ns = NetNs::open(&attachment.netns)?;
    let lo = Lo::find(&ns)?;
    lo.link.up.then_some(()).ok_or(Error::Down)
}
