//! Shaping: the token bucket at the root of a link, and the way of what arrives through an ifb.

use attach::Refusal;
use kernel::{
    Link, LinkIndex, Netlink, Undo,
    filter::Redirect,
    if_there,
    qdisc::{Handle, Qdisc, QdiscKind, Tbf},
};

use crate::{config::Queue, error::Error};

/// The class of a token bucket, below which what waits is queued.
const WAITING: Handle = Handle { major: 1, minor: 1 };
/// The number of the qdisc there.
const BELOW: Handle = Handle { major: 2, minor: 0 };

/// Whether a qdisc is a token bucket as this plugin makes it, whatever its numbers.
fn is_bucket(qdisc: &Qdisc) -> bool {
    matches!(qdisc.kind, QdiscKind::Tbf(_)) && qdisc.handle == Handle { major: 1, minor: 0 }
}

/// Has all that leaves `link` pass a token bucket. One that an earlier ADD left is replaced.
///
/// # Errors
/// Somebody else's qdisc is there; the kernel refuses.
pub(crate) fn limit(
    host: &Netlink,
    link: &Link,
    bucket: Tbf,
    queue: Queue,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    let before = host.qdisc(link.index, Handle::ROOT)?;
    if let Some(other) = before.as_ref().filter(|before| !is_bucket(before)) {
        return Err(Error::OtherRoot {
            link: link.name.to_string(),
            qdisc: other.clone(),
        });
    }
    let wanted = Qdisc::root(link.index, QdiscKind::Tbf(bucket));
    host.replace_qdisc(&wanted)
        .map_err(|source| create("qdisc", link, source))?;
    let netlink = host.clone();
    undo.push("limit", move || {
        match before {
            Some(before) => netlink.replace_qdisc(&before)?,
            None => netlink.delete_qdisc(&wanted)?,
        }
        Ok(())
    })?;
    match queue {
        Queue::Fifo => Ok(()),
        // It goes with the token bucket.
        Queue::FqCodel => host
            .replace_qdisc(&fq_codel(link.index))
            .map_err(|source| create("fq_codel", link, source)),
    }
}

fn fq_codel(link: LinkIndex) -> Qdisc {
    Qdisc {
        link,
        parent: WAITING,
        handle: BELOW,
        kind: QdiscKind::FqCodel,
    }
}

/// Leads what arrives at `link` to another, where it leaves. Where an earlier ADD led it does not
/// count.
///
/// # Errors
/// Somebody else has it led elsewhere; the kernel refuses.
pub(crate) fn lead(
    host: &Netlink,
    link: &Link,
    to: LinkIndex,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    entrance(host, link, undo)?;
    let redirect = Redirect::new(link.index, to);
    host.add_redirect(&redirect)
        .map_err(|source| create("filter", link, source))?;
    let netlink = host.clone();
    undo.push("lead to ifb", move || {
        Ok(netlink.delete_redirect(&redirect)?)
    })?;
    Ok(())
}

/// The place for filters on what arrives.
fn entrance(host: &Netlink, link: &Link, undo: &mut Undo<'_>) -> Result<(), Error> {
    match host.qdisc(link.index, Handle::INGRESS)? {
        Some(there) if there.kind == QdiscKind::Ingress => match host.redirects(link.index)?[..] {
            [] => Ok(()),
            _ => Err(Error::OtherRedirect {
                link: link.name.to_string(),
            }),
        },
        Some(other) => Err(Error::OtherIngress {
            link: link.name.to_string(),
            qdisc: other,
        }),
        None => {
            let wanted = Qdisc::ingress(link.index);
            host.add_qdisc(&wanted)
                .map_err(|source| create("ingress qdisc", link, source))?;
            let netlink = host.clone();
            undo.push("ingress qdisc", move || Ok(netlink.delete_qdisc(&wanted)?))?;
            Ok(())
        }
    }
}

/// Leads what arrives no longer to `ifb`, nor to one that is gone, which drops it.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn lead_no_more(
    host: &Netlink,
    link: &Link,
    ifb: Option<LinkIndex>,
) -> Result<(), Error> {
    let gone = LinkIndex(0);
    let is_ours = |redirect: &&Redirect| {
        *redirect == &Redirect::new(link.index, redirect.to)
            && (redirect.to == gone || Some(redirect.to) == ifb)
    };
    match host.redirects(link.index)?.iter().find(is_ours) {
        Some(redirect) => if_there(host.delete_redirect(redirect))
            .map(drop)
            .map_err(|source| delete("filter", link, source)),
        None => Ok(()),
    }
}

/// Takes the plugin's qdiscs from the host's end; what others put there stays. A link that goes
/// meanwhile takes them along: a DEL that was killed may still be deleting it.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn release(host: &Netlink, link: &Link, ifb: Option<LinkIndex>) -> Result<(), Error> {
    match take_off(host, link, ifb) {
        Err(Error::Kernel(source)) if source.is_gone() => Ok(()),
        outcome => outcome,
    }
}

fn take_off(host: &Netlink, link: &Link, ifb: Option<LinkIndex>) -> Result<(), Error> {
    let led = !host.redirects(link.index)?.is_empty();
    lead_no_more(host, link, ifb)?;
    if led && host.redirects(link.index)?.is_empty() {
        let place = Qdisc::ingress(link.index);
        if_there(host.delete_qdisc(&place))
            .map_err(|source| delete("ingress qdisc", link, source))?;
    }
    match host.qdisc(link.index, Handle::ROOT)? {
        Some(bucket) if is_bucket(&bucket) => if_there(host.delete_qdisc(&bucket))
            .map(drop)
            .map_err(|source| delete("qdisc", link, source)),
        _ => Ok(()),
    }
}

/// What stands at the root of a link: a token bucket, or what else, in words.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn bucket_of(host: &Netlink, link: &Link) -> Result<Result<Tbf, String>, Error> {
    Ok(match host.qdisc(link.index, Handle::ROOT)? {
        Some(Qdisc {
            kind: QdiscKind::Tbf(tbf),
            ..
        }) => Ok(tbf),
        Some(other) => Err(format!("{} {}", other.kind.name(), other.handle)),
        None => Err("no qdisc".to_owned()),
    })
}

/// Whether what waits in the token bucket of a link is queued by connection.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn is_fair(host: &Netlink, link: &Link) -> Result<bool, Error> {
    let below = host.qdisc(link.index, WAITING)?;
    Ok(below.is_some_and(|below| below.kind == QdiscKind::FqCodel))
}

/// Whether all that arrives at `link` is led to another.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn leads(host: &Netlink, link: &Link, to: LinkIndex) -> Result<bool, Error> {
    let redirects = host.redirects(link.index)?;
    Ok(redirects.iter().any(|redirect| redirect.to == to))
}

fn create(what: &'static str, link: &Link, source: kernel::Error) -> Error {
    Error::Create {
        what,
        link: link.name.to_string(),
        source: Refusal::from(source),
    }
}

fn delete(what: &'static str, link: &Link, source: kernel::Error) -> Error {
    Error::Delete {
        what,
        link: link.name.to_string(),
        source: Refusal::from(source),
    }
}

#[cfg(test)]
mod tests {
    use kernel::testing::{World, link_that_went};

    use super::*;

    #[test]
    fn a_link_that_went_has_nothing_to_be_released() {
        let Some(_world) = World::new() else { return };
        let host = Netlink::open().unwrap();
        let link = link_that_went(&host);
        release(&host, &link, None).unwrap();
    }
}
