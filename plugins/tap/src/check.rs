//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::{
    check::{Checking, has_mtu, is_up},
    netns,
};
use cni::{Attachment, Call};
use kernel::{Link, LinkKind, Tap};

use crate::{
    add::find_bridge,
    config::{Config, is_tap},
    error::Error,
};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    let checking = Checking::start(call, attachment, &config.ipam)?;
    let link = checking.pod_link("tap", is_tap)?;
    is_as_configured(&link, &config.tap)?;
    has_mtu(&link, config.mtu.map_or(0, i64::from))?;
    if let Some(bridge) = &config.bridge {
        is_port(attachment, &link, bridge)?;
    }
    checking.addresses_and_routes(&link)?;
    Ok(is_up(&link)?)
}

/// Headers are not compared: they are the business of who has the device open.
fn is_as_configured(link: &Link, wanted: &Tap) -> Result<(), Error> {
    let LinkKind::Tap(seen) = &link.kind else {
        return Ok(());
    };
    let number = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let queues = |tap: &Tap| if tap.multi_queue { "several" } else { "one" }.to_owned();
    let things = [
        ("owner", number(seen.owner), number(wanted.owner)),
        ("group", number(seen.group), number(wanted.group)),
        ("queues", queues(seen), queues(wanted)),
    ];
    match things.into_iter().find(|(_, seen, wanted)| seen != wanted) {
        Some((what, seen, wanted)) => Err(Error::Device {
            name: link.name.to_string(),
            what,
            seen,
            wanted,
        }),
        None => Ok(()),
    }
}

fn is_port(attachment: &Attachment, link: &Link, bridge: &str) -> Result<(), Error> {
    let pod = netns::socket(&netns::open(&attachment.netns)?)?;
    match link.master == Some(find_bridge(&pod, bridge)?.index) {
        true => Ok(()),
        false => Err(Error::NoPort {
            name: link.name.to_string(),
            bridge: bridge.to_owned(),
        }),
    }
}
