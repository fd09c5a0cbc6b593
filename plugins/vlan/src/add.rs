//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{Attaching, NewPodLink, PodLink};
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
    let link = make_link(base, config, undo)?;
    let given = base.addresses(INTERFACE, &config.dns, undo);
    let mut result = given.map_err(|error| error.context("failed to execute IPAM delegate"))?;
    // As the reference plugin: what IPAM says of DNS does not count.
    result.dns = config.dns.clone();
    Ok(base.configure(&link, result)?)
}

fn make_link<'a>(
    base: &'a Attaching<'a>,
    config: &Config,
    undo: &mut Undo<'a>,
) -> Result<PodLink, Error> {
    let parent = base.parent(config.master())?;
    let wanted = NewPodLink {
        kind: NewKind::Vlan(config.vlan),
        mtu: parent.mtu(config.mtu)?,
        parent: Some(&parent),
        mac: None,
    };
    base.make_link(&wanted, undo).map_err(|error| match error {
        attach::Error::MakeLink { source, .. } if source.0.is_exists() => Error::Taken {
            master: parent.link.name.to_string(),
            id: config.vlan.id,
        },
        other => other.into(),
    })
}
