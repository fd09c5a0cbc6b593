//! The elements of our own nftables table: added, replaced, removed, confirmed.

use ipnetwork::IpNetwork;
use kernel::{
    Result,
    nft::{Element, Existing, Key, Match, NewElement, Nft, Rule, SetType, Transaction},
};

use super::{
    ATTEMPTS, Error, restore,
    table::{
        CHAIN, TABLE, add_sets, inactive, is_begun, is_complete, is_hooked, set_name, set_type,
        write_rules,
    },
};
use crate::{Identity, owner::Garbage};

/// A garbage collection goes in steps that fit into the socket's send buffer.
const GARBAGE_AT_ONCE: usize = 500;

/// Adds an element for each address, and says whether somebody had flushed the table. Two small
/// reads and one transaction once the subnet's set and rule are there; the transaction wakes a
/// dormant table, which costs nothing if it is awake.
pub(super) fn add(nft: &mut Nft, owner: &Identity<'_>, addresses: &[IpNetwork]) -> Result<bool> {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup_by_key(|address| address.ip());
    let comment = owner.comment();
    let mut was_flushed = false;
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        was_flushed |= complete(nft, owner, &addresses)?;
        outcome = nft.commit(additions(Transaction::new(), &addresses, &comment));
        match &outcome {
            Err(error) if error.is_exists() => outcome = replace(nft, owner, &addresses),
            _ => {}
        }
        match &outcome {
            // Somebody deleted the table, or changed the ruleset, just now.
            Err(error) if error.is_gone() || Nft::is_outdated(error) => {}
            _ => break,
        }
    }
    outcome.map(|()| was_flushed)
}

/// Sees to it that the rules do their work for `addresses`; says whether somebody had flushed
/// them. Then the elements of all other attachments that live come back before the rules do, so
/// that whoever is killed in between leaves the same to the next.
fn complete(nft: &mut Nft, owner: &Identity<'_>, addresses: &[IpNetwork]) -> Result<bool> {
    let rules = nft.rules(TABLE, CHAIN)?;
    let was_flushed = !is_hooked(nft)? || !is_begun(&rules);
    if !was_flushed && is_complete(&rules, addresses) {
        return Ok(false);
    }
    let others = match was_flushed {
        true => restore::by_nftables(owner),
        false => Vec::new(),
    };
    for other in &others {
        nft.commit(put_back(&other.identity().comment(), &other.addresses))?;
    }
    write_rules(nft, addresses)?;
    others.iter().for_each(restore::settle);
    Ok(was_flushed)
}

/// The elements of an attachment, whether they are there or not, with their sets.
fn put_back(comment: &str, addresses: &[IpNetwork]) -> Transaction {
    let transaction = add_sets(Transaction::new(), addresses);
    addresses.iter().fold(transaction, |transaction, address| {
        add_element(transaction, address, comment, Existing::Keep)
    })
}

fn additions(transaction: Transaction, addresses: &[IpNetwork], comment: &str) -> Transaction {
    let transaction = transaction.wake_table(TABLE);
    addresses.iter().fold(transaction, |transaction, address| {
        add_element(transaction, address, comment, Existing::Refuse)
    })
}

fn add_element(
    transaction: Transaction,
    address: &IpNetwork,
    comment: &str,
    existing: Existing,
) -> Transaction {
    let element = NewElement {
        comment: Some(comment),
        ..NewElement::from(Key::from(address.ip()))
    };
    let types = set_type(address);
    transaction.add_element(TABLE, &set_name(address), &types, element, existing)
}

/// Puts the elements in the place of those that are in the way, and of all others of the owner.
fn replace(nft: &mut Nft, owner: &Identity<'_>, addresses: &[IpNetwork]) -> Result<()> {
    let mut transaction = Transaction::at(nft.generation()?);
    let pair = owner.hash_pair();
    for (place, element) in all_elements(nft)? {
        let is_in_the_way = addresses.iter().any(|address| {
            Key::from(address.ip()) == element.key && set_name(address) == place.set
        });
        if is_in_the_way
            || element
                .comment
                .is_some_and(|comment| comment.starts_with(&pair))
        {
            transaction = place.delete(transaction, element.key);
        }
    }
    nft.commit(additions(transaction, addresses, &owner.comment()))
}

/// Deletes the owner's elements: by key where `addresses` lead to them, by comment otherwise.
pub(super) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Result<Transaction> {
    let pair = owner.hash_pair();
    let is_owned =
        |comment: &Option<String>| comment.as_ref().is_some_and(|text| text.starts_with(&pair));
    let mut found = Vec::new();
    for address in addresses {
        let place = Place {
            set: set_name(address),
            types: set_type(address),
        };
        let element = nft.element(TABLE, &place.set, &place.types, address.ip())?;
        let element = element.filter(|element| is_owned(&element.comment));
        let one = element.map(|element| (place, element.key));
        found.extend(one.filter(|one| !found.contains(one)));
    }
    if found.is_empty() || found.len() < addresses.len() {
        for (place, element) in all_elements(nft)? {
            let is_owned = is_owned(&element.comment);
            let one = (place, element.key);
            if is_owned && !found.contains(&one) {
                found.push(one);
            }
        }
    }
    for (place, key) in found {
        transaction = place.delete(transaction, key);
    }
    Ok(transaction)
}

/// Where an element is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    set: String,
    types: SetType,
}

impl Place {
    fn delete(&self, transaction: Transaction, key: Key) -> Transaction {
        transaction.delete_element(TABLE, &self.set, &self.types, key)
    }
}

/// What all elements say of their owners.
pub(super) fn comments(nft: &mut Nft) -> Result<Vec<String>> {
    let elements = all_elements(nft)?.into_iter();
    Ok(elements.filter_map(|(_, one)| one.comment).collect())
}

/// The elements of all sets, each with its set.
fn all_elements(nft: &mut Nft) -> Result<Vec<(Place, Element)>> {
    let mut found = Vec::new();
    for set in nft.sets(TABLE)? {
        // What somebody else has put here holds none of our elements.
        let Some(types) = set.kind else { continue };
        let elements = nft.elements(TABLE, &set.name, &types)?;
        let place = Place {
            set: set.name,
            types,
        };
        found.extend(elements.into_iter().map(|one| (place.clone(), one)));
    }
    Ok(found)
}

/// Whether the owner's element for `address` is there and the rules work for it.
///
/// # Errors
/// [`Error::Inactive`] when all of that is there and sees no packets.
pub(super) fn has(
    nft: &mut Nft,
    owner: &Identity<'_>,
    address: &IpNetwork,
) -> std::result::Result<bool, Error> {
    let found = nft.element(TABLE, &set_name(address), &set_type(address), address.ip());
    let element = match found {
        Err(error) if Nft::is_unsupported(&error) => None,
        element => element?,
    };
    let is_owned = element
        .and_then(|element| element.comment)
        .is_some_and(|comment| comment.starts_with(&owner.hash_pair()));
    if !is_owned || !is_complete(&nft.rules(TABLE, CHAIN)?, std::slice::from_ref(address)) {
        return Ok(false);
    }
    inactive(nft)?.map_or(Ok(true), |what| Err(Error::Inactive(what)))
}

/// Deletes elements of `network` that no valid attachment owns, and sets that are left empty,
/// with their rules. At most a step's worth.
pub(super) fn garbage(
    nft: &mut Nft,
    mut transaction: Transaction,
    network: &str,
    valid: &[(&str, &str)],
) -> Result<Transaction> {
    let garbage = Garbage::of(network, valid);
    let rules = nft.rules(TABLE, CHAIN)?;
    for set in nft.sets(TABLE)? {
        let Some(types) = &set.kind else { continue };
        let elements = nft.elements(TABLE, &set.name, types)?;
        let mut left = elements.len();
        for element in elements {
            let is_garbage = garbage.has(element.comment.as_deref());
            if is_garbage && transaction.len() < GARBAGE_AT_ONCE {
                transaction = transaction.delete_element(TABLE, &set.name, types, element.key);
                left -= 1;
            }
        }
        if left == 0 {
            let uses_it = |rule: &&Rule| {
                rule.matches
                    .iter()
                    .any(|condition| matches!(condition, Match::In(_, name) if *name == set.name))
            };
            for rule in rules.iter().filter(uses_it) {
                transaction = transaction.delete_rule(TABLE, CHAIN, rule.handle);
            }
            transaction = transaction.delete_set(TABLE, &set.name);
        }
    }
    Ok(transaction)
}
