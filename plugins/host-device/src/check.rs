//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::check::Checking;
use cni::{Attachment, Call};
use kernel::Link;

use crate::{config::Config, error::Error, guest};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    let checking = Checking::start(call, attachment, &config.ipam)?;
    if config.dpdk {
        checking.recorded()?;
        return Ok(());
    }
    let link = checking.pod_link("", |_| true)?;
    checking.addresses_and_routes(&link)?;
    Ok(is_usable(&link)?)
}

fn is_usable(link: &Link) -> Result<(), Error> {
    let name = link.name.to_string();
    if !link.up {
        return Err(Error::Down(name));
    }
    match guest::name_on_host(link) {
        Some(_) => Ok(()),
        None => Err(Error::Alias {
            name,
            alias: link.alias.clone().unwrap_or_default(),
        }),
    }
}
