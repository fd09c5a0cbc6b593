//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::{
    check::{Checking, has_mtu, is_up},
    parent::Named,
};
use cni::{Attachment, Call};
use kernel::{Link, LinkKind};

use crate::{
    config::{Config, is_ipvlan, mode_name},
    error::Error,
};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    let checking = Checking::start(call, attachment, &config.ipam)?;
    let link = checking.pod_link("ipvlan", is_ipvlan)?;
    has_mode(&link, &config)?;
    // Without a name nothing says any more which one ADD took.
    let named = Named {
        master: &config.master,
        inside: config.inside,
    };
    checking.is_on(&link, named)?;
    has_mtu(&link, config.mtu)?;
    is_up(&link)?;
    checking.addresses_and_routes(&link)
}

fn has_mode(link: &Link, config: &Config) -> Result<(), Error> {
    match link.kind {
        LinkKind::Ipvlan(seen) if seen.mode != config.ipvlan.mode => Err(Error::OtherMode {
            seen: mode_name(seen.mode),
            wanted: mode_name(config.ipvlan.mode),
        }),
        _ => Ok(()),
    }
}
