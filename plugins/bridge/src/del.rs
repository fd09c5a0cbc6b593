//! DEL and GC: what every plugin with pairs releases, and the spoof check.

use attach::release;
use cni::{Call, Detachment, Error, ValidAttachment};
use serde::Deserialize;

use crate::spoof_check;

/// Where the pair's host end stands in the result.
const HOST_END: usize = 1;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conf {
    macspoofchk: bool,
}

/// Releases all that ADD made; the bridge stays.
///
/// # Errors
/// All that failed; what could be released is released.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
    // Unreadable is as good as on: what is not there is removed already.
    let macspoofchk = call.config().map_or(true, |conf: Conf| conf.macspoofchk);
    release::del(call, attachment, HOST_END, |identity, errors| {
        if macspoofchk {
            errors.note(spoof_check::remove(identity).map_err(Error::internal));
        }
    })
}

/// Removes what belongs to attachments of this network that are not in `valid`.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
    release::gc(call, valid, |links, errors| {
        let exists = |name: &str| links.contains(name);
        errors.note(spoof_check::gc(&exists).map_err(Error::internal));
    })
}
