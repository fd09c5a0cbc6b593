//! Ports that a container has by another of its attachments. In several networks it has the same mappings in each:
//! podman gives them to all. The first attachment's lead to it, and its others wait until that goes, each with its
//! address in a set: so DEL knows without a look at all pods of the node whether somebody waits.

use std::net::IpAddr;

use attach::{Identity, record::RecordError};
use kernel::{
    Family,
    nft::{Element, Nft},
};

use super::{
    claims,
    class::{Place, plain_name},
    items::{Item, Items},
    table::TABLE,
};
use crate::{
    error::{Claimant, Result},
    owner, record,
};

/// What the set's name begins with.
pub(crate) const PREFIX: &str = "waiting-";

/// The set of addresses that wait.
pub(crate) fn place(family: Family) -> Place {
    Place::of_addresses(format!("{PREFIX}{}", plain_name(family)), family)
}

/// Has the attachment with this address wait.
pub(crate) fn mark(target: IpAddr) -> Item {
    Item {
        place: place(target.into()),
        key: target.into(),
        data: None,
        mapping: None,
        target,
    }
}

/// Whether another attachment of the owner's container has the element. One that is gone has left it over.
///
/// # Errors
/// What is remembered cannot be read.
pub(crate) fn have(element: &Element, owner: &Identity<'_>) -> Result<bool, RecordError> {
    let comment = element.comment.as_deref().unwrap_or_default();
    let Some(Claimant {
        network: Some(network),
        ifname: Some(ifname),
        ..
    }) = owner::of_comment(comment).filter(|_| is_siblings(element, owner))
    else {
        return Ok(false);
    };
    let sibling = Identity {
        network: &network,
        ifname: &ifname,
        ..*owner
    };
    Ok(!record::is_gone(sibling)?)
}

fn is_siblings(element: &Element, owner: &Identity<'_>) -> bool {
    element.comment.as_ref().is_some_and(|comment| {
        owner::names_container(comment, owner.container_id)
            && !comment.starts_with(&owner.hash_pair())
    })
}

/// What there must be of the owner's elements now: a mark in place of those that a sibling has.
///
/// # Errors
/// What cannot be looked at.
pub(crate) fn due(nft: &mut Nft, owner: &Identity<'_>, items: &[Item]) -> Result<Vec<Item>> {
    let mut due = Items::default();
    for item in items {
        let Place { set, types } = &item.place;
        let found = match item.mapping {
            Some(_) => nft.element(TABLE, set, types, item.key.clone())?,
            None => None,
        };
        let others = found.filter(|element| !claims::is_owners(element, owner, item.target));
        let waits = match others {
            Some(element) => have(&element, owner)?,
            None => false,
        };
        // A mark for the same address is there already.
        let _ = due.push(match waits {
            true => mark(item.target),
            false => item.clone(),
        });
    }
    Ok(due.into_all())
}

/// Whether another attachment of the owner's container waits. A kernel without nftables has no sets.
///
/// # Errors
/// They cannot be read.
pub(crate) fn wait(owner: &Identity<'_>) -> kernel::Result<bool> {
    let mut nft = match Nft::open() {
        Err(error) if Nft::is_unsupported(&error) => return Ok(false),
        opened => opened?,
    };
    for family in Family::ALL {
        let Place { set, types } = place(family);
        let waiting = match nft.elements(TABLE, &set, &types) {
            Err(error) if Nft::is_unsupported(&error) => return Ok(false),
            waiting => waiting?,
        };
        if waiting.iter().any(|element| is_siblings(element, owner)) {
            return Ok(true);
        }
    }
    Ok(false)
}
