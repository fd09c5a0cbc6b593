//! CHECK: what is configured is limited, whether podwire or the reference plugin did it.

use attach::Identity;
use cni::{Attachment, Call};
use kernel::{Link, Netlink};

use crate::{
    config::{Config, Queue},
    error::Error,
    host, ifb,
    limit::Limit,
    shape,
};

/// Checks the attachment.
///
/// # Errors
/// The first difference from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)??;
    let previous = host::previous(call)?;
    if config.is_unlimited() {
        return Ok(());
    }
    let netlink = Netlink::open().map_err(Error::from)?;
    let end = host::end(&netlink, attachment, &previous)?;
    if let Some(limit) = config.ingress {
        bucket(&netlink, &end, limit, &config)?;
    }
    if let Some(limit) = config.egress {
        let identity = Identity::new(call, attachment);
        egress(&netlink, identity, &end, limit, &config)?;
    }
    Ok(())
}

fn egress(
    host: &Netlink,
    identity: Identity<'_>,
    end: &Link,
    limit: Limit,
    config: &Config,
) -> Result<(), Error> {
    let ifb = ifb::find(host, identity)?.ok_or(Error::NoIfb)?;
    if !ifb.up {
        return Err(Error::IfbDown(ifb.name.to_string()));
    }
    bucket(host, &ifb, limit, config)?;
    // The reference plugin knows no other queue; this one of podwire's has an alias.
    let is_ours = identity.owns(&ifb);
    if is_ours && config.queue == Queue::FqCodel && !shape::is_fair(host, &ifb)? {
        return Err(Error::NoFqCodel(ifb.name.to_string()));
    }
    match shape::leads(host, end, ifb.index)? {
        true => Ok(()),
        false => Err(Error::NoRedirect {
            link: end.name.to_string(),
            ifb: ifb.name.to_string(),
        }),
    }
}

/// The token bucket has podwire's numbers or the reference plugin's.
fn bucket(host: &Netlink, link: &Link, limit: Limit, config: &Config) -> Result<(), Error> {
    let name = || link.name.to_string();
    let seen = shape::bucket_of(host, link)?;
    let seen = seen.map_err(|found| Error::NoBucket {
        link: name(),
        found,
    })?;
    let wanted = limit.bucket(config.latency);
    if seen == wanted || seen == limit.reference() {
        return Ok(());
    }
    let pairs = [
        ("Rate", wanted.rate, seen.rate),
        ("Limit", wanted.limit.into(), seen.limit.into()),
        ("Buffer", wanted.buffer.into(), seen.buffer.into()),
    ];
    match pairs.into_iter().find(|(_, wanted, seen)| wanted != seen) {
        None => Ok(()),
        Some((what, wanted, seen)) => Err(Error::Differs {
            what,
            link: name(),
            wanted,
            seen,
        }),
    }
}
