//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{Attaching, NewPodLink};
use cni::{AddResult, Attachment, Call};
use kernel::{NewKind, Undo};

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
    let parent = base.parent(config.master())?;
    let wanted = NewPodLink {
        kind: NewKind::Macvlan(config.macvlan),
        mtu: parent.mtu(config.mtu)?,
        parent: Some(&parent),
        mac: config.mac,
    };
    let link = base.make_link(&wanted, undo)?;
    let mut result = base.addresses(INTERFACE, &config.dns, undo)?;
    // As the reference plugin: what IPAM says of DNS does not count.
    result.dns = config.dns.clone();
    Ok(base.configure(&link, result)?)
}
