//! The ifb: what the pod sends arrives at the host's end, and only what leaves a link can wait, so
//! it is led through this one.
//!
//! Its name is the reference plugin's, computed from network and container; the interface is not in
//! it. The alias says whose it is, as that of every link of podwire's; the reference plugin's have
//! none.

use attach::{Identity, Refusal, identity};
use kernel::{
    IfName, Link, LinkKind, Netlink, NewKind, NewLink, Undo, if_there,
    link::{Place, delete_link},
};

use crate::{error::Error, shape};

/// What every name starts with, and how long it is.
const PREFIX: &str = "bwp";
const LENGTH: usize = 15;

/// The name of an attachment's ifb.
///
/// # Errors
/// Never: three letters and twelve digits are a name.
pub(crate) fn name(identity: Identity<'_>) -> Result<IfName, Error> {
    let text = format!("{}{}", identity.network, identity.container_id);
    Ok(attach::netns::interface_name(&identity::hash(
        PREFIX, &text, LENGTH,
    ))?)
}

/// Whether a link is the ifb of some attachment to the network, by podwire.
pub(crate) fn is_of(link: &Link, network: &str) -> bool {
    let alias = link.alias.as_deref().unwrap_or_default();
    link.kind == LinkKind::Ifb
        && link.name.as_str().starts_with(PREFIX)
        && link.name.as_str().len() == LENGTH
        && alias.starts_with(&identity::network_prefix(network))
}

/// The attachment's ifb, if it is there: one whose alias names another interface is not.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn find(host: &Netlink, identity: Identity<'_>) -> Result<Option<Link>, Error> {
    let link = host.link(&name(identity)?)?;
    Ok(link.filter(|link| link.kind == LinkKind::Ifb && !identity.is_anothers(link)))
}

/// Makes the ifb of an attachment, up, with the MTU of the host's end. One that an earlier ADD left
/// goes first.
///
/// # Errors
/// The name is another link's; the kernel refuses.
pub(crate) fn add(
    host: &Netlink,
    identity: Identity<'_>,
    end: &Link,
    undo: &mut Undo<'_>,
) -> Result<Link, Error> {
    let name = name(identity)?;
    make_room(host, identity, &name, end)?;
    let alias = identity.alias();
    let ifb = NewLink {
        mtu: Some(end.mtu),
        alias: Some(&alias),
        tx_queue_len: Some(0),
        up: true,
        ..NewLink::new(&name, NewKind::Ifb)
    };
    let ifb = host.add_link(&ifb).map_err(|source| Error::Create {
        what: "ifb",
        link: name.to_string(),
        source: Refusal::from(source),
    })?;
    let (netlink, index) = (host.clone(), ifb.index);
    undo.push("ifb", move || Ok(netlink.delete_link(index)?))?;
    Ok(ifb)
}

fn make_room(
    host: &Netlink,
    identity: Identity<'_>,
    name: &IfName,
    end: &Link,
) -> Result<(), Error> {
    let there = host.link(name)?;
    let is_left = match &there {
        None => return shape::lead_no_more(host, end, None),
        Some(link) if link.kind != LinkKind::Ifb => {
            return Err(Error::NotIfb {
                ifb: name.to_string(),
                kind: link.kind.name().to_owned(),
            });
        }
        Some(link) if identity.is_anothers(link) => false,
        Some(link) if identity.owns(link) => true,
        // The reference plugin's, which say nothing: this end's, or one that was never finished.
        Some(link) => {
            shape::leads(host, end, link.index)? || shape::bucket_of(host, link)?.is_err()
        }
    };
    let Some(link) = there.filter(|_| is_left) else {
        return Err(Error::IfbOfAnother {
            ifb: name.to_string(),
            owner: owner(host, name)?,
        });
    };
    // First, or what the pod sends until the next one is there would be dropped.
    shape::lead_no_more(host, end, Some(link.index))?;
    delete(&link)
}

/// What the alias says.
fn owner(host: &Netlink, name: &IfName) -> Result<String, Error> {
    let alias = host.link(name)?.and_then(|link| link.alias);
    Ok(alias.unwrap_or_else(|| "it has no alias".to_owned()))
}

/// Removes an ifb; gone is fine.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn delete(link: &Link) -> Result<(), Error> {
    let place = Place {
        ns: None,
        index: link.index,
    };
    let deleted = if_there(delete_link(place, None)).map(drop);
    deleted.map_err(|source| Error::Delete {
        what: "ifb",
        link: link.name.to_string(),
        source: Refusal::from(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_reference_plugins() {
        for (network, container_id, expected) in [
            ("test", "1234", "bwp2bbe0c48b91a"),
            ("dbnet", "container99", "bwp4c6a6a42dce0"),
            ("dbnet", "ctr1", "bwpa4fa0b217749"),
        ] {
            for ifname in ["eth0", "net1"] {
                let identity = Identity {
                    network,
                    container_id,
                    ifname,
                };
                assert_eq!(name(identity).unwrap().as_str(), expected);
            }
        }
    }
}
