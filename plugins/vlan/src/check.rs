//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::check::{Checking, is_up};
use cni::{Attachment, Call};
use kernel::{Link, LinkKind};

use crate::{
    config::{Config, is_vlan},
    error::Error,
};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    let checking = Checking::start(call, attachment, &config.ipam)?;
    let link = checking.pod_link("vlan", is_vlan)?;
    is_as_configured(&link, &config)?;
    checking.is_on(&link, config.master())?;
    is_up(&link)?;
    checking.addresses_and_routes(&link)
}

/// The VLAN and the MTU, where that is configured.
fn is_as_configured(link: &Link, config: &Config) -> Result<(), Error> {
    let name = link.name.to_string();
    match link.kind {
        LinkKind::Vlan(seen) if seen != config.vlan => Err(Error::OtherId {
            name,
            wanted: config.vlan.id,
            seen: seen.id,
        }),
        _ if config.mtu != 0 && i64::from(link.mtu) != config.mtu => Err(Error::OtherMtu {
            name,
            wanted: config.mtu,
            seen: link.mtu,
        }),
        _ => Ok(()),
    }
}
