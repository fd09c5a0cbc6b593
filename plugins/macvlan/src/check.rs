//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::check::{Checking, has_mtu, is_up};
use cni::{Attachment, Call};
use kernel::{Link, LinkKind};

use crate::{
    config::{Config, is_macvlan, mode_name},
    error::Error,
};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    let checking = Checking::start(call, attachment, &config.ipam)?;
    let link = checking.pod_link("macvlan", is_macvlan)?;
    has_mode(&link, &config)?;
    checking.is_on(&link, config.master())?;
    has_mtu(&link, config.mtu)?;
    is_up(&link)?;
    checking.addresses_and_routes(&link)
}

fn has_mode(link: &Link, config: &Config) -> Result<(), Error> {
    match link.kind {
        LinkKind::Macvlan(seen) if seen.mode != config.macvlan.mode => Err(Error::OtherMode {
            seen: mode_name(seen.mode),
            wanted: mode_name(config.macvlan.mode),
        }),
        _ => Ok(()),
    }
}
