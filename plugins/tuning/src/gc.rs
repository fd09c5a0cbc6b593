//! GC: forgets what was kept of attachments that are not valid. Their pods are gone, and with them
//! what could be given back.

use attach::Errors;
use cni::{Call, ValidAttachment};

use crate::{config, kept};

/// Removes this network's files whose attachment is not listed; without a list none.
///
/// # Errors
/// The configuration cannot be read, or a file not be removed; all the others were.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let directory = config::kept_in(call).unwrap_or_else(|(error, default)| {
        errors.note(Err(error));
        default
    });
    if let Some(valid) = valid {
        let valid = valid
            .iter()
            .map(|one| (one.container_id.as_str(), one.ifname.as_str()));
        for error in kept::collect(&directory, call.network.as_str(), valid) {
            errors.note(Err(error.into()));
        }
    }
    errors.into_result()
}
