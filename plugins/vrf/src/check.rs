//! CHECK: whether the interface is in the VRF, whether podwire or the reference plugin put it there.
//! Its addresses and routes are the business of the plugin that made it, which looks for them in the
//! VRF's table.

use attach::netns::{self, interface_name};
use cni::{Attachment, Call};

use crate::{config::Config, device::Device, error::Error};

/// Checks the attachment.
///
/// # Errors
/// The VRF is gone, or has another table than the configured one; the interface is not in it.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    call.prev_result()?.ok_or(Error::NoPrevious)?;
    Ok(is_member(&config, attachment)?)
}

fn is_member(config: &Config, attachment: &Attachment) -> Result<(), Error> {
    let pod = netns::socket(&netns::open(&attachment.netns)?)?;
    let name = &config.name;
    let missing = || Error::VrfMissing(name.clone());
    let vrf = Device::find(&pod, name)?.ok_or_else(missing)?;
    match config.table {
        Some(wanted) if wanted != vrf.table => {
            return Err(Error::Table {
                name: name.clone(),
                seen: vrf.table,
                wanted,
            });
        }
        _ => {}
    }
    let interface = interface_name(attachment.ifname.as_str())?;
    match pod.link(&interface)? {
        Some(link) if vrf.has(&link) => Ok(()),
        _ => Err(Error::NotAMember {
            interface: interface.to_string(),
            vrf: name.clone(),
        }),
    }
}
