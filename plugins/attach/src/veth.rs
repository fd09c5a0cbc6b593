//! The veth pair between container and host.

use cni::Detachment;
use kernel::{
    BridgePort, IfName, Link, LinkIndex, LinkKind, MacAddr, NetNs, Netlink, NewKind, NewLink, Peer,
    Undo, link::Place,
};

use crate::{
    Error, Identity, PodLink, Result,
    link::{delete, look_up},
    netns,
};

/// What a pair shall be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The bridge that the host end becomes a port of.
    pub master: Option<LinkIndex>,
    /// The port's flags, where they differ from the kernel's defaults.
    pub port: Option<BridgePort>,
    /// Of both ends, in bytes; the kernel's default if none.
    pub mtu: Option<u32>,
    /// The largest TCP segment of IPv4 that both ends take at once, in bytes; the kernel's default if none.
    pub gso_max_size: Option<u32>,
    /// Of the container end; random if none.
    pub mac: Option<MacAddr>,
    /// The host end stays down: the pod's link has no carrier until all of it is configured.
    pub host_down: bool,
}

/// A pair that was made.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The host end, up unless it was to stay down.
    pub host: Link,
    /// The container end, down.
    pub container: PodLink,
}

/// Both ends' namespaces.
#[derive(Clone, Copy)]
pub struct Namespaces<'a> {
    /// Socket in the host's.
    pub host: &'a Netlink,
    /// The container's.
    pub container: &'a NetNs,
}

/// Makes the pair, the container end directly in the container's namespace, down; the host end
/// up, unless it is to stay down. Its deletion goes onto `undo`.
///
/// # Errors
/// The container has an interface of this name; the kernel refuses, or knows no sizes of segments.
pub fn add<'a>(
    namespaces: Namespaces<'a>,
    identity: Identity<'a>,
    wanted: &Wanted,
    undo: &mut Undo<'a>,
) -> Result<Pair> {
    let name = netns::interface_name(identity.ifname)?;
    // Chosen here rather than by the kernel: nobody has to ask for it afterwards.
    let mac = match wanted.mac {
        Some(mac) => mac,
        None => MacAddr::random()?,
    };
    let wanted = Wanted {
        mac: Some(mac),
        ..*wanted
    };
    let host = create(namespaces, identity, &name, &wanted)?;
    let host_name = host.name.clone();
    undo.push("delete veth pair", move || {
        Ok(delete_own(namespaces, identity, &host_name)?)
    })?;
    let index = host.peer.ok_or_else(|| missing(&name))?;
    if wanted.gso_max_size.is_some() && host.gso_ipv4_max_size.is_none() {
        return Err(Error::NoLargeSegments);
    }
    Ok(Pair {
        host,
        container: PodLink {
            name,
            index,
            mac: Some(mac),
        },
    })
}

/// Makes the pair under the first of the attachment's names that no foreign link holds.
fn create(
    namespaces: Namespaces<'_>,
    identity: Identity<'_>,
    peer: &IfName,
    wanted: &Wanted,
) -> Result<Link> {
    let alias = identity.alias();
    let names = identity.host_veth_names();
    for name in &names {
        let other_end = Peer {
            name: peer,
            ns: Some(namespaces.container),
            mac: wanted.mac,
        };
        let veth = NewLink {
            alias: Some(&alias),
            master: wanted.master,
            port: wanted.port,
            mtu: wanted.mtu,
            gso_ipv4_max_size: wanted.gso_max_size,
            up: !wanted.host_down,
            // As the reference plugins leave it: the host end needs no queue.
            tx_queue_len: Some(0),
            ..NewLink::new(name, NewKind::Veth(other_end))
        };
        match namespaces.host.add_link(&veth) {
            Ok(host) => return Ok(host),
            Err(error) if error.is_exists() => {
                refuse_unless_foreign(namespaces, identity, peer, name)?;
            }
            Err(source) => {
                return Err(Error::MakeVeth {
                    source: source.into(),
                });
            }
        }
    }
    Err(Error::NoHostVethName {
        names: names
            .iter()
            .map(IfName::as_str)
            .collect::<Vec<_>>()
            .join(" "),
    })
}

/// The kernel says 'exists' of either end's name. Only a foreign link on the host is a reason
/// to take the next name.
fn refuse_unless_foreign(
    namespaces: Namespaces<'_>,
    identity: Identity<'_>,
    peer: &IfName,
    host: &IfName,
) -> Result<()> {
    let taken = netns::socket(namespaces.container)?.link(peer);
    if taken.map_err(|source| look_up(peer, source))?.is_some() {
        return Err(Error::ContainerVethExists {
            container: peer.to_string(),
            host: host.to_string(),
        });
    }
    match namespaces.host.link(host) {
        Ok(Some(link)) if identity.owns(&link) => Err(Error::HostVethExists {
            host: host.to_string(),
        }),
        Ok(_) => Ok(()),
        Err(source) => Err(look_up(host, source)),
    }
}

/// Deletes the link if it is this attachment's; gone is fine.
fn delete_own(namespaces: Namespaces<'_>, identity: Identity<'_>, name: &IfName) -> Result<()> {
    match namespaces.host.link(name) {
        Ok(Some(link)) if identity.owns(&link) => {
            delete_host_end(&link, Some(namespaces.container))
        }
        Ok(_) => Ok(()),
        Err(source) => Err(look_up(name, source)),
    }
}

/// Deletes the host end of a pair, and its other end with it; gone is fine. `container`: the
/// namespace that the other end should be in, if it is known and still there.
///
/// # Errors
/// The kernel refuses.
pub fn delete_host_end(link: &Link, container: Option<&NetNs>) -> Result<()> {
    let ns = if link.peer_elsewhere { container } else { None };
    let peer = link.peer.filter(|_| ns.is_some() || !link.peer_elsewhere);
    let host_end = Place {
        ns: None,
        index: link.index,
    };
    delete(&link.name, host_end, peer.map(|index| Place { ns, index }))
}

/// The host end of a pair that podwire made for this attachment: of its names, the one whose
/// alias says so, else one that was left without an alias.
///
/// # Errors
/// The links cannot be read.
pub fn find(host: &Netlink, identity: Identity<'_>) -> Result<Option<Link>> {
    let names = identity.host_veth_names();
    let mut unmarked = None;
    // Nearly always it is the first.
    for name in &names {
        match host.link(name).map_err(|source| look_up(name, source))? {
            Some(link) if identity.owns(&link) => return Ok(Some(link)),
            Some(link) if identity.left_unmarked(&link) => unmarked = unmarked.or(Some(link)),
            _ => {}
        }
    }
    Ok(unmarked)
}

/// Removes the attachment's pair, whoever made it, with one deletion.
///
/// `found`: what [`find`] says. Without it, a pair of the reference plugins, which has a random name
/// and no alias, is looked for by the container's interface, or by `recorded`: name and MAC of the host end in
/// the ADD result. Where that is known, the container's interface counts only if it is the other
/// end of it: a recycled path leads to another container's. A link whose alias names another
/// attachment stays.
///
/// # Errors
/// The links cannot be read, or the kernel refuses.
pub fn remove(
    host: &Netlink,
    attachment: &Detachment,
    identity: Identity<'_>,
    found: Option<Link>,
    recorded: Option<(&str, MacAddr)>,
) -> Result<()> {
    if let Some(link) = found {
        // Only to hear of the other end: it goes with this one wherever it is.
        let ns = netns::open_if_there(attachment.netns.as_deref()).unwrap_or_default();
        return delete_host_end(&link, ns.as_ref());
    }
    if let Some(ns) = netns::open_if_there(attachment.netns.as_deref())? {
        remove_through_container(host, &ns, identity, recorded.map(|(name, _)| name))?;
    }
    match recorded {
        Some((name, mac)) => remove_recorded(host, identity, name, mac),
        None => Ok(()),
    }
}

fn remove_through_container(
    host: &Netlink,
    ns: &NetNs,
    identity: Identity<'_>,
    recorded: Option<&str>,
) -> Result<()> {
    let container = netns::socket(ns)?;
    // A name that the kernel does not know is no link's.
    let Ok(name) = netns::interface_name(identity.ifname) else {
        return Ok(());
    };
    let end = container
        .link(&name)
        .map_err(|source| look_up(&name, source))?;
    let Some(end) = end.filter(|end| end.kind == LinkKind::Veth) else {
        return Ok(());
    };
    if let Some(peer) = end.peer.filter(|_| end.peer_elsewhere) {
        let host_end = host.link_by_index(peer);
        let host_end = host_end.map_err(|source| look_up(&name, source))?;
        let is_anothers = |link: Link| {
            let other_name = recorded.is_some_and(|name| link.name.as_str() != name);
            identity.is_anothers(&link) || (other_name && !identity.owns(&link))
        };
        if host_end.is_some_and(is_anothers) {
            return Ok(());
        }
    }
    let peer = end.peer.map(|index| Place { ns: None, index });
    let end_there = Place {
        ns: Some(ns),
        index: end.index,
    };
    delete(&end.name, end_there, peer)
}

fn remove_recorded(host: &Netlink, identity: Identity<'_>, name: &str, mac: MacAddr) -> Result<()> {
    let Ok(name) = name.parse::<IfName>() else {
        return Ok(());
    };
    let link = host.link(&name).map_err(|source| look_up(&name, source))?;
    match link {
        Some(link)
            if link.kind == LinkKind::Veth
                && link.mac == Some(mac)
                && link.peer_elsewhere
                && !identity.is_anothers(&link) =>
        {
            delete_host_end(&link, None)
        }
        _ => Ok(()),
    }
}

fn missing(name: &IfName) -> Error {
    Error::LinkMissing {
        name: name.to_string(),
    }
}
