//! The elements of the set of all pods' addresses: each tells its owner in its comment.

use attach::{Identity, owner::Garbage};
use ipnetwork::IpNetwork;
use kernel::{
    Family, Result,
    nft::{Existing, Key, NewElement, Nft, Transaction},
};

use super::passage::{SET, set_type};
use crate::{
    error::{Error, Mismatch},
    iptables::of_family,
    reference::table,
};

/// A garbage collection goes in steps that fit into the socket's send buffer.
const GARBAGE_AT_ONCE: usize = 500;

fn is_of(comment: Option<&str>, beginning: &str) -> bool {
    comment.is_some_and(|comment| comment.starts_with(beginning))
}

/// Adds the elements that are not the owner's yet.
pub(super) fn addition(
    nft: &mut Nft,
    mut transaction: Transaction,
    family: Family,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Result<Transaction> {
    let (table, types) = (table(family), set_type(family));
    let (pair, comment) = (owner.hash_pair(), owner.comment());
    let mut addresses: Vec<_> = addresses.iter().map(IpNetwork::ip).collect();
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        match nft.element(table, SET, &types, address)? {
            Some(element) if is_of(element.comment.as_deref(), &pair) => continue,
            Some(_) => transaction = transaction.delete_element(table, SET, &types, address),
            None => {}
        }
        let element = NewElement {
            comment: Some(&comment),
            ..NewElement::from(Key::from(address))
        };
        transaction = transaction.add_element(table, SET, &types, element, Existing::Refuse);
    }
    Ok(transaction)
}

/// Deletes the owner's elements: those of `addresses` by their keys; without any known, all.
pub(crate) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Result<Transaction> {
    let pair = owner.hash_pair();
    for family in Family::ALL {
        let (table, types) = (table(family), set_type(family));
        let mut found = Vec::new();
        if addresses.is_empty() {
            found = nft.elements(table, SET, &types)?;
        }
        for address in of_family(addresses, family) {
            found.extend(nft.element(table, SET, &types, address.ip())?);
        }
        found.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        found.dedup_by(|one, other| one.key == other.key);
        for element in found {
            if is_of(element.comment.as_deref(), &pair) {
                transaction = transaction.delete_element(table, SET, &types, element.key);
            }
        }
    }
    Ok(transaction)
}

/// Deletes elements of garbage; at most a step's worth.
pub(crate) fn garbage(
    nft: &mut Nft,
    mut transaction: Transaction,
    garbage: &Garbage,
) -> Result<Transaction> {
    for family in Family::ALL {
        let (table, types) = (table(family), set_type(family));
        for element in nft.elements(table, SET, &types)? {
            let is_garbage = garbage.has(element.comment.as_deref());
            if is_garbage && transaction.len() < GARBAGE_AT_ONCE {
                transaction = transaction.delete_element(table, SET, &types, element.key);
            }
        }
    }
    Ok(transaction)
}

/// The comments of all elements.
pub(crate) fn comments(nft: &mut Nft) -> Result<Vec<String>> {
    let mut comments = Vec::new();
    for family in Family::ALL {
        let elements = nft.elements(table(family), SET, &set_type(family))?;
        comments.extend(elements.into_iter().filter_map(|element| element.comment));
    }
    Ok(comments)
}

/// CHECK: each address has the owner's element.
pub(super) fn check(
    nft: &mut Nft,
    family: Family,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> std::result::Result<(), Error> {
    let (table, types, pair) = (table(family), set_type(family), owner.hash_pair());
    for address in addresses {
        let element = nft.element(table, SET, &types, address.ip())?;
        if !element.is_some_and(|element| is_of(element.comment.as_deref(), &pair)) {
            return Err(Mismatch::Element {
                address: address.ip(),
                set: format!("{table} {SET}"),
                network: owner.network.to_owned(),
                container_id: owner.container_id.to_owned(),
                ifname: owner.ifname.to_owned(),
            }
            .into());
        }
    }
    Ok(())
}
