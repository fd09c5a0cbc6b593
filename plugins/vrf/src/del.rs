//! DEL: the interface leaves the VRF, which goes with the last of them.

use attach::{
    Errors, Identity, chained,
    check::{differing_mac, own_addresses},
    netns::{self, interface_name},
};
use cni::{AddResult, Call, Detachment};
use kernel::{
    Link, LinkChange, NetNs, Netlink, if_there,
    link::{Place, delete_link},
};

use crate::{config::NetConf, device::Device, error::Error};

/// Releases what ADD made, whether podwire or the reference plugin made it. Where there is no
/// namespace or no VRF any more that is done.
///
/// # Errors
/// All that failed; what could be released is released.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf: NetConf = call.config().unwrap_or_else(|error| {
        errors.note(Err(error));
        NetConf::default()
    });
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    let owner = Identity::new(call, attachment);
    let left = leave(owner, attachment, added.as_ref(), &conf.name);
    errors.note(left.map_err(cni::Error::from));
    errors.into_result()
}

fn leave(
    owner: Identity<'_>,
    attachment: &Detachment,
    added: Option<&AddResult>,
    name: &str,
) -> Result<(), Error> {
    let Some(ns) = netns::open_if_there(attachment.netns.as_deref())? else {
        return Ok(());
    };
    let pod = netns::socket(&ns)?;
    let vrf = match Device::find(&pod, name) {
        // What is no VRF is not ours.
        Ok(None) | Err(Error::NotAVrf(_)) => return Ok(()),
        found => found?,
    };
    let Some(vrf) = vrf else { return Ok(()) };
    // A name that the kernel does not know is no link's.
    if let Ok(interface) = interface_name(owner.ifname)
        && let Some(link) = pod.link(&interface)?
        && vrf.has(&link)
        && is_recorded(&pod, &link, added, owner)?
    {
        release(&pod, &link, &vrf)?;
    }
    if pod.links()?.iter().any(|link| vrf.has(link)) {
        return Ok(());
    }
    delete(&ns, &vrf)
}

/// Whether the link has the MAC address that the result has for it, or one of its addresses, because
/// a plugin behind this one has given the MAC address back already: the path may lead to another pod
/// by now. Without a record it is, unless it is known to be another attachment's.
fn is_recorded(
    pod: &Netlink,
    link: &Link,
    added: Option<&AddResult>,
    owner: Identity<'_>,
) -> Result<bool, Error> {
    let Some(added) = added else {
        return Ok(!chained::is_anothers(&Netlink::open()?, link, owner)?);
    };
    let name = link.name.as_str();
    let own = added
        .interfaces
        .iter()
        .find(|interface| interface.sandbox.is_some() && interface.name == name);
    if own.is_none_or(|own| differing_mac(own, link).is_none()) {
        return Ok(true);
    }
    let seen = if_there(pod.addresses(Some(link.index)))?;
    let seen: Vec<_> = seen
        .into_iter()
        .flatten()
        .map(|seen| seen.address)
        .collect();
    Ok(own_addresses(name, added).any(|ip| seen.contains(&ip.address)))
}

fn release(pod: &Netlink, link: &Link, vrf: &Device) -> Result<(), Error> {
    let out = LinkChange {
        master: Some(None),
        ..LinkChange::default()
    };
    let left = if_there(pod.set_link(link.index, &out)).map(drop);
    left.map_err(|source| Error::Release {
        interface: link.name.to_string(),
        vrf: vrf.link.name.to_string(),
        source: source.into(),
    })
}

fn delete(ns: &NetNs, vrf: &Device) -> Result<(), Error> {
    let place = Place {
        ns: Some(ns),
        index: vrf.link.index,
    };
    let deleted = if_there(delete_link(place, None)).map(drop);
    deleted.map_err(|source| Error::DeleteVrf {
        vrf: vrf.link.name.to_string(),
        source: source.into(),
    })
}

#[cfg(test)]
mod tests {
    use cni::Interface;
    use kernel::testing::{World, link_that_went};

    use super::*;

    #[test]
    fn a_link_that_went_is_not_the_recorded_one() {
        let Some(_world) = World::new() else { return };
        let pod = Netlink::open().unwrap();
        let link = link_that_went(&pod);
        let added = AddResult {
            interfaces: vec![Interface {
                name: link.name.to_string(),
                mac: Some("02:00:00:00:00:01".to_owned()),
                sandbox: Some("/run/netns/pod".to_owned()),
                ..Interface::default()
            }],
            ..AddResult::default()
        };
        let owner = Identity {
            network: "net",
            container_id: "pod",
            ifname: "went0",
        };
        assert!(!is_recorded(&pod, &link, Some(&added), owner).unwrap());
    }
}
