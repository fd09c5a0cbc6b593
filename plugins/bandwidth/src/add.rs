//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{Identity, attaching::host_interface};
use cni::{AddResult, Attachment, Call};
use kernel::{Link, Netlink, Undo};

use crate::{config::Config, error::Error, host, ifb, shape};

/// Limits what the pod receives and sends. A failure leaves the machine as it was.
///
/// # Errors
/// The configuration cannot work, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call)??;
    let previous = host::previous(call)?;
    if config.is_unlimited() {
        return Ok(previous);
    }
    let identity = Identity::new(call, attachment);
    let netlink = Netlink::open().map_err(Error::from)?;
    let end = host::end(&netlink, attachment, &previous)?;
    let mut undo = Undo::new();
    let ifb = limit(&netlink, identity, &end, &config, &mut undo)?;
    undo.commit();
    Ok(with_ifb(previous, ifb.as_ref()))
}

fn limit(
    host: &Netlink,
    identity: Identity<'_>,
    end: &Link,
    config: &Config,
    undo: &mut Undo<'_>,
) -> Result<Option<Link>, Error> {
    let Config { latency, queue, .. } = *config;
    if let Some(limit) = config.ingress {
        shape::limit(host, end, limit.bucket(latency), queue, undo)?;
    }
    let Some(limit) = config.egress else {
        return Ok(None);
    };
    let ifb = ifb::add(host, identity, end, undo)?;
    shape::limit(host, &ifb, limit.bucket(latency), queue, undo)?;
    shape::lead(host, end, ifb.index, undo)?;
    Ok(Some(ifb))
}

/// The ifb stands behind all others, so that what `ips` say of interfaces stays right.
fn with_ifb(mut result: AddResult, ifb: Option<&Link>) -> AddResult {
    result.interfaces.extend(ifb.map(host_interface));
    result
}
