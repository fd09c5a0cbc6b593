//! DEL: independent steps, each of which accepts that its work is done already.

use attach::{Errors, Identity};
use cni::{Call, Detachment};
use kernel::{Link, Netlink};

use crate::{error::Error, host, ifb, shape};

/// Takes the limits away, whether podwire or the reference plugin made them. Nothing in the
/// configuration matters: what there is says what there was to do.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let identity = Identity::new(call, attachment);
    let netlink = Netlink::open().map_err(Error::from)?;
    let ifb = ifb::find(&netlink, identity)?;
    let released = release(call, attachment, &netlink, ifb.as_ref());
    errors.note(released.map_err(Into::into));
    if let Some(ifb) = &ifb {
        errors.note(ifb::delete(ifb).map_err(Into::into));
    }
    errors.into_result()
}

/// The host's end, if it is still there: mostly it goes with the pod right after.
fn release(
    call: &Call<'_>,
    attachment: &Detachment,
    netlink: &Netlink,
    ifb: Option<&Link>,
) -> Result<(), Error> {
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    let identity = Identity::new(call, attachment);
    match host::end_if_there(netlink, attachment, identity, added.as_ref())? {
        Some(end) => shape::release(netlink, &end, ifb.map(|ifb| ifb.index)),
        None => Ok(()),
    }
}
