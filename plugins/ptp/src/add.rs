//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{
    Attaching,
    apply::{self, Manner, Subnet},
    attaching::host_interface,
    flowtable::Behind,
    forwarding,
    veth::Wanted,
};
use cni::{AddResult, Attachment, Call};
use kernel::Undo;

use crate::{POD_END, config::Config, error::Error, host};

/// The host is the pod's only neighbour.
const MANNER: Manner = Manner {
    detection: apply::DuplicateDetection::Inherited,
    subnet: Subnet::BehindGateway,
};

/// Attaches the container. A failure leaves the machine as it was.
///
/// # Errors
/// The configuration cannot work, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call)?;
    let base = Attaching::start(call, attachment, &config.ipam)?;
    if let Some(uplinks) = &config.uplinks {
        uplinks.are_there(&base.host)?;
    }
    Ok(base.run(|undo| steps(&base, &config, undo))?)
}

fn steps<'a>(
    base: &'a Attaching<'a>,
    config: &Config,
    undo: &mut Undo<'a>,
) -> Result<AddResult, Error> {
    let wanted = Wanted {
        mtu: config.mtu,
        gso_max_size: config.gso_max_size,
        ..Wanted::default()
    };
    let pair = base.make_pair(&wanted, undo)?;
    let mut result = base.addresses(POD_END, &config.dns, undo)?;
    result.interfaces = vec![
        host_interface(&pair.host),
        base.pod_interface(&pair.container),
    ];
    host::configure(&base.host, &pair.host, &result.ips)?;
    apply::apply(&base.container, &pair.container, &result, MANNER)?;
    let ipv4 = result.ips.iter().any(|ip| ip.address.is_ipv4());
    let ipv6 = result.ips.iter().any(|ip| ip.address.is_ipv6());
    forwarding::enable(base.sysctls(), ipv4, ipv6)?;
    if let Some(masquerading) = config.masquerading {
        masquerading.set_up(base, &result, undo)?;
    }
    if let Some(uplinks) = &config.uplinks {
        uplinks.set_up(base, &result, Behind::Own(&pair.host.name), undo)?;
    }
    Ok(result)
}
