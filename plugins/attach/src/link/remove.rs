//! Finding and removing a link that is all of an attachment.

use cni::{AddResult, Detachment};
use ipnetwork::IpNetwork;
use kernel::{IfName, Link, LinkKind, MacAddr, NetNs, Netlink, if_there, link::Place};

use super::{delete, look_up};
use crate::{Identity, Result, netns};

/// Removes the attachment's link, whoever made it; without a namespace it is gone already.
///
/// Found by its alias, whatever name it has by now; a link of the reference plugins, which has none,
/// by name and kind, and by what the result of ADD (`added`) says of it: a recycled path leads to
/// another container's. A link whose alias names another attachment stays.
///
/// # Errors
/// The links cannot be read, or the kernel refuses.
pub fn remove(
    attachment: &Detachment,
    identity: Identity<'_>,
    added: Option<&AddResult>,
    is_of_kind: impl Fn(&LinkKind) -> bool,
) -> Result<()> {
    let Some(ns) = netns::open_if_there(attachment.netns.as_deref())? else {
        return Ok(());
    };
    // A name that the kernel does not know is no link's.
    let Ok(name) = netns::interface_name(identity.ifname) else {
        return Ok(());
    };
    let search = Search {
        container: netns::socket(&ns)?,
        name,
        identity,
        recorded: added.map(|added| Recorded::read(added, identity.ifname)),
        is_of_kind,
    };
    for link in search.find()? {
        remove_one(&ns, &link)?;
    }
    Ok(())
}

fn remove_one(ns: &NetNs, link: &Link) -> Result<()> {
    let place = Place {
        ns: Some(ns),
        index: link.index,
    };
    delete(&link.name, place, None)
}

/// What is looked for, and where.
struct Search<'a, F> {
    container: Netlink,
    name: IfName,
    identity: Identity<'a>,
    recorded: Option<Recorded>,
    is_of_kind: F,
}

impl<F: Fn(&LinkKind) -> bool> Search<'_, F> {
    fn find(&self) -> Result<Vec<Link>> {
        let named = self.container.link(&self.name);
        let named = named.map_err(|source| look_up(&self.name, source))?;
        // Nearly always it is this one.
        if let Some(link) = named.as_ref().filter(|link| self.identity.owns(link)) {
            return Ok(vec![link.clone()]);
        }
        let mut found = self.container.links()?;
        found.retain(|link| self.identity.owns(link) || self.was_cut_off(link));
        if let Some(link) = named
            && self.is_references(&link)?
        {
            found.push(link);
        }
        Ok(found)
    }

    /// Of an ADD that was killed before the link had its name and alias; nobody else computes these
    /// names.
    fn was_cut_off(&self, link: &Link) -> bool {
        link.alias.is_none()
            && (self.is_of_kind)(&link.kind)
            && self.identity.host_veth_names().contains(&link.name)
    }

    fn is_references(&self, link: &Link) -> Result<bool> {
        if self.identity.is_anothers(link) || !(self.is_of_kind)(&link.kind) {
            return Ok(false);
        }
        let Some(recorded) = &self.recorded else {
            return Ok(true);
        };
        // Others on the same parent have the same MAC address.
        let shares_mac = matches!(link.kind, LinkKind::Ipvlan(_) | LinkKind::Vlan(_));
        let same_mac = recorded.mac.is_none() || recorded.mac == link.mac;
        if same_mac && (!shares_mac || recorded.addresses.is_empty()) {
            return Ok(true);
        }
        let seen = if_there(self.container.addresses(Some(link.index)))?;
        let is_recorded = |address: &IpNetwork| recorded.addresses.contains(address);
        Ok(seen.iter().flatten().any(|seen| is_recorded(&seen.address)))
    }
}

/// What the result of ADD says of the pod's link.
struct Recorded {
    mac: Option<MacAddr>,
    addresses: Vec<IpNetwork>,
}

impl Recorded {
    fn read(added: &AddResult, ifname: &str) -> Self {
        let mut interfaces = added.interfaces.iter();
        let interface = interfaces
            .find(|interface| interface.name == ifname && interface.sandbox.is_some())
            .and_then(|interface| interface.mac.as_ref());
        Self {
            mac: interface.and_then(|mac| mac.parse().ok()),
            addresses: crate::check::own_addresses(ifname, added)
                .map(|ip| ip.address)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::testing::{World, link_that_went};

    use super::*;

    #[test]
    fn a_link_that_went_is_not_the_reference_plugins() {
        let Some(_world) = World::new() else { return };
        let container = Netlink::open().unwrap();
        let link = link_that_went(&container);
        let search = Search {
            container,
            name: link.name.clone(),
            identity: Identity {
                network: "net",
                container_id: "pod",
                ifname: "eth0",
            },
            recorded: Some(Recorded {
                mac: "02:00:00:00:00:01".parse().ok(),
                addresses: vec!["10.22.0.5/24".parse().unwrap()],
            }),
            is_of_kind: |_: &LinkKind| true,
        };
        assert!(!search.is_references(&link).unwrap());
    }
}
