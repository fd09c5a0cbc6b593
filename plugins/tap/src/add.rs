//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{Attaching, NewPodLink, PodLink, netns};
use cni::{AddResult, Attachment, Call};
use kernel::{Link, LinkChange, Netlink, Undo};

use crate::{INTERFACE, config::Config, error::Error};

/// Attaches the container. A failure leaves the machine as it was.
///
/// # Errors
/// The configuration cannot work, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call)?;
    let base = Attaching::start(call, attachment, &config.ipam)?;
    Ok(base.run(|undo| steps(&base, &config, undo))?)
}

fn steps<'a>(
    base: &'a Attaching<'a>,
    config: &Config,
    undo: &mut Undo<'a>,
) -> Result<AddResult, Error> {
    let pod = netns::socket(&base.container)?;
    let bridge = config
        .bridge
        .as_ref()
        .map(|name| find_bridge(&pod, name))
        .transpose()?;
    let wanted = NewPodLink {
        kind: config.kind(),
        parent: None,
        mtu: config.mtu,
        mac: config.mac,
    };
    let link = base.make_link(&wanted, undo)?;
    if let Some(bridge) = bridge {
        enslave(&pod, &link, &bridge)?;
    }
    let mut result = base.addresses(INTERFACE, &config.dns, undo)?;
    // As the reference plugin: what IPAM says of DNS does not count.
    result.dns = config.dns.clone();
    Ok(base.configure(&link, result)?)
}

/// The bridge in the pod.
///
/// # Errors
/// There is none.
pub(crate) fn find_bridge(pod: &Netlink, name: &str) -> Result<Link, Error> {
    let missing = || Error::NoBridge(name.to_owned());
    let valid = name.parse().map_err(|_| missing())?;
    pod.link(&valid)?.ok_or_else(missing)
}

fn enslave(pod: &Netlink, tap: &PodLink, bridge: &Link) -> Result<(), Error> {
    let port = LinkChange {
        master: Some(Some(bridge.index)),
        ..LinkChange::default()
    };
    pod.set_link(tap.index, &port)
        .map_err(|source| Error::Enslave {
            tap: tap.name.to_string(),
            bridge: bridge.name.to_string(),
            source: source.into(),
        })
}
