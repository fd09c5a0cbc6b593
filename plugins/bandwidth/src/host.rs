//! The host's end of the pod's pair: what comes to the pod leaves there, what it sends arrives.

use attach::{Identity, chained, netns, veth};
use cni::{AddResult, Attachment, Call, Detachment};
use kernel::{Link, LinkKind, Netlink};

use crate::error::Error;

/// The previous result, which names the host's end.
///
/// # Errors
/// There is none; it names no interface.
pub(crate) fn previous(call: &Call<'_>) -> Result<AddResult, cni::Error> {
    let previous = call.prev_result()?;
    Ok(previous.ok_or(Error::NotChained)?)
}

/// The host's end, for ADD and CHECK.
///
/// # Errors
/// No such namespace or interface; the interface is no pair; its other end is not the host's.
pub(crate) fn end(
    host: &Netlink,
    attachment: &Attachment,
    previous: &AddResult,
) -> Result<Link, Error> {
    if previous.interfaces.is_empty() {
        return Err(Error::NoInterfaces);
    }
    let container = netns::socket(&netns::open(&attachment.netns)?)?;
    let name = netns::interface_name(attachment.ifname.as_str())?;
    let link = container.link(&name)?;
    let link = link.ok_or_else(|| Error::NoPodLink(name.to_string()))?;
    if link.kind != LinkKind::Veth {
        return Err(Error::NotVeth {
            name: name.to_string(),
            kind: link.kind.name().to_owned(),
        });
    }
    let end = chained::host_end(host, &link, previous)?;
    end.ok_or(Error::NoHostEnd)
}

/// The host's end, for DEL: podwire's own by its name and alias, another by the pod's interface. A
/// path that was recycled leads to another pod's: one whose alias or whose absence from a result
/// says so is left alone.
///
/// # Errors
/// The links cannot be read.
pub(crate) fn end_if_there(
    host: &Netlink,
    attachment: &Detachment,
    identity: Identity<'_>,
    added: Option<&AddResult>,
) -> Result<Option<Link>, Error> {
    if let Some(own) = veth::find(host, identity)? {
        return Ok(Some(own));
    }
    let (Some(ns), Some(added)) = (netns::open_if_there(attachment.netns.as_deref())?, added)
    else {
        return Ok(None);
    };
    // A name that the kernel does not know is no link's.
    let Ok(name) = netns::interface_name(identity.ifname) else {
        return Ok(None);
    };
    let Some(link) = netns::socket(&ns)?.link(&name)? else {
        return Ok(None);
    };
    let end = chained::host_end(host, &link, added)?;
    Ok(end.filter(|end| !identity.is_anothers(end)))
}
