//! GC: removes the ifbs of attachments that are not valid.

use std::collections::HashSet;

use attach::{Errors, identity};
use cni::{Call, ValidAttachment};
use kernel::Netlink;

use crate::{error::Error, ifb};

/// Removes those whose alias names an attachment of this network that is not listed. The reference
/// plugin's do not say whose they are, and stay. Without a list nothing is known to be stale.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
    let Some(valid) = valid else { return Ok(()) };
    let network = call.network.as_str();
    let keep: HashSet<String> = valid
        .iter()
        .map(|one| identity::alias(network, &one.container_id, &one.ifname))
        .collect();
    let links = Netlink::open().and_then(|host| host.links());
    let mut errors = Errors::default();
    for link in links.map_err(Error::from)? {
        let is_valid = link
            .alias
            .as_ref()
            .is_some_and(|alias| keep.contains(alias));
        if ifb::is_of(&link, network) && !is_valid {
            errors.note(ifb::delete(&link).map_err(Into::into));
        }
    }
    errors.into_result()
}
