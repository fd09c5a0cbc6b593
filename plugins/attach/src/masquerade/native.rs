//! Our own nftables table.
//!
//! ```text
//! table inet podwire_masquerade {
//!     set pods-10.22.0.0/24 {
//!         type ipv4_addr
//!         elements = { 10.22.0.2 comment "<owner>" }
//!     }
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ip daddr 224.0.0.0/4 return
//!         ip6 daddr ff00::/8 return
//!         ip saddr @pods-10.22.0.0/24 ip daddr != 10.22.0.0/24 masquerade
//!     }
//! }
//! ```
//!
//! One set and one rule per subnet, one element per address. A single interval set of source and
//! destination would do with one rule for all subnets, but the kernel copies such a set as a
//! whole for every change, and it walks all elements of a verdict map likewise; a plain set takes
//! a new element in constant time.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use kernel::{
    Result,
    nft::{
        Action, Existing, Family, Hook, KeyType, Match, NewChain, NewElement, NewRule, NewSet, Nft,
        Rule, Table, Transaction,
    },
};

use super::{
    ATTEMPTS,
    owner::{self, Owner},
};

const TABLE: Table<'_> = Table {
    family: Family::Inet,
    name: "podwire_masquerade",
};
const TABLE_COMMENT: &str = "podwire: packets that pods send beyond their subnet";
const CHAIN: &str = "postrouting";
/// NF_INET_POST_ROUTING, at the priority that nft(8) calls `srcnat`.
const HOOK: Hook<'_> = Hook {
    kind: "nat",
    number: 4,
    priority: 100,
};
const SET_PREFIX: &str = "pods-";
/// A garbage collection goes in steps that fit into the socket's send buffer.
const GARBAGE_AT_ONCE: usize = 500;

/// Adds an element for each address. One small read and one transaction once the subnet's set
/// and rule are there.
pub(super) fn add(nft: &mut Nft, owner: &Owner<'_>, addresses: &[IpNetwork]) -> Result<()> {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup_by_key(|address| address.ip());
    let comment = owner.comment();
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        if !is_complete(&nft.rules(TABLE, CHAIN)?, &addresses) {
            write_rules(nft, &addresses)?;
        }
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
    outcome
}

fn additions(transaction: Transaction, addresses: &[IpNetwork], comment: &str) -> Transaction {
    addresses.iter().fold(transaction, |transaction, address| {
        let element = NewElement {
            key: address.ip(),
            comment: Some(comment),
        };
        transaction.add_element(TABLE, &set_name(address), element, Existing::Refuse)
    })
}

/// Puts the elements in the place of those that are in the way, and of all others of the owner.
fn replace(nft: &mut Nft, owner: &Owner<'_>, addresses: &[IpNetwork]) -> Result<()> {
    let mut transaction = Transaction::at(nft.generation()?);
    let pair = owner.hash_pair();
    for set in nft.sets(TABLE)? {
        for element in nft.elements(TABLE, &set.name)? {
            let is_in_the_way = addresses
                .iter()
                .any(|address| address.ip() == element.key && set_name(address) == set.name);
            if is_in_the_way
                || element
                    .comment
                    .is_some_and(|comment| comment.starts_with(&pair))
            {
                transaction = transaction.delete_element(TABLE, &set.name, element.key);
            }
        }
    }
    nft.commit(additions(transaction, addresses, &owner.comment()))
}

/// Whether the chain's rules do their work for `addresses`.
fn is_complete(rules: &[Rule], addresses: &[IpNetwork]) -> bool {
    let says = |rule: &Rule, wanted: &NewRule<'_>| {
        rule.matches == wanted.matches && rule.action.as_ref() == Some(&wanted.action)
    };
    let multicast = multicast_rules();
    let Some((first, rest)) = rules.split_at_checked(multicast.len()) else {
        return false;
    };
    first
        .iter()
        .zip(&multicast)
        .all(|(rule, wanted)| says(rule, wanted))
        && addresses.iter().all(|address| {
            let wanted = subnet_rule(address);
            rest.iter().any(|rule| says(rule, &wanted))
        })
}

/// Writes table, chain, the sets of `addresses`, and the rules of all sets, in one transaction:
/// for the first pod of a subnet, and after somebody flushed the chain.
fn write_rules(nft: &mut Nft, addresses: &[IpNetwork]) -> Result<()> {
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        let generation = nft.generation()?;
        let mut subnets: Vec<IpNetwork> = nft
            .sets(TABLE)?
            .iter()
            .filter_map(|set| subnet_of(&set.name))
            .collect();
        subnets.extend(addresses.iter().map(subnet));
        subnets.sort_unstable();
        subnets.dedup();
        outcome = nft.commit(rules(Transaction::at(generation), &subnets));
        match &outcome {
            Err(error) if Nft::is_outdated(error) => {}
            _ => break,
        }
    }
    outcome
}

fn rules(transaction: Transaction, subnets: &[IpNetwork]) -> Transaction {
    let chain = NewChain {
        name: CHAIN,
        hook: Some(HOOK),
        comment: None,
    };
    let mut transaction = transaction
        .add_table(TABLE, Some(TABLE_COMMENT), Existing::Keep)
        .add_chain(TABLE, chain, Existing::Keep)
        .flush_chain(TABLE, CHAIN);
    for rule in multicast_rules() {
        transaction = transaction.add_rule(TABLE, CHAIN, &rule);
    }
    for subnet in subnets {
        let name = set_name(subnet);
        let set = NewSet {
            name: &name,
            key: KeyType::of(subnet),
            comment: None,
        };
        transaction = transaction.add_set(TABLE, set, Existing::Keep).add_rule(
            TABLE,
            CHAIN,
            &subnet_rule(subnet),
        );
    }
    transaction
}

fn multicast_rules() -> [NewRule<'static>; 2] {
    [multicast_v4(), multicast_v6()].map(|network| NewRule {
        matches: vec![Match::Destination(network)],
        action: Action::Return,
        comment: None,
    })
}

/// RFC 5771
#[allow(clippy::expect_used, reason = "4 is a prefix length of IPv4")]
fn multicast_v4() -> IpNetwork {
    Ipv4Network::new(Ipv4Addr::new(224, 0, 0, 0), 4)
        .expect("valid prefix length")
        .into()
}

/// RFC 4291, section 2.7
#[allow(clippy::expect_used, reason = "8 is a prefix length of IPv6")]
fn multicast_v6() -> IpNetwork {
    Ipv6Network::new(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)
        .expect("valid prefix length")
        .into()
}

/// A pod without neighbours needs no exception for them, so all such pods share a set.
fn subnet_rule(address: &IpNetwork) -> NewRule<'static> {
    let mut matches = vec![Match::SourceIn(KeyType::of(address), set_name(address))];
    if !is_alone(address) {
        matches.push(Match::NotDestination(subnet(address)));
    }
    NewRule {
        matches,
        action: Action::Masquerade,
        comment: None,
    }
}

fn is_alone(address: &IpNetwork) -> bool {
    address.prefix() == if address.is_ipv4() { 32 } else { 128 }
}

/// The subnet of an address; for a pod without neighbours, one that stands for all such pods.
#[allow(
    clippy::expect_used,
    reason = "the prefix length comes from a network of the same family"
)]
fn subnet(address: &IpNetwork) -> IpNetwork {
    let base = match address {
        IpNetwork::V4(_) if is_alone(address) => Ipv4Addr::UNSPECIFIED.into(),
        IpNetwork::V6(_) if is_alone(address) => Ipv6Addr::UNSPECIFIED.into(),
        _ => address.network(),
    };
    IpNetwork::new(base, address.prefix()).expect("valid prefix length")
}

/// nft(8) reads letters, digits, dots, dashes and slashes in a name, but no colons.
fn set_name(address: &IpNetwork) -> String {
    format!("{SET_PREFIX}{}", subnet(address)).replace(':', "-")
}

/// The subnet in a set's name.
fn subnet_of(set: &str) -> Option<IpNetwork> {
    let text = set.strip_prefix(SET_PREFIX)?;
    text.parse()
        .or_else(|_| text.replace('-', ":").parse())
        .ok()
}

/// Deletes the owner's elements: by key where `addresses` lead to them, by comment otherwise.
pub(super) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    owner: &Owner<'_>,
    addresses: &[IpNetwork],
) -> Result<Transaction> {
    let pair = owner.hash_pair();
    let is_owned = |comment: Option<String>| comment.is_some_and(|text| text.starts_with(&pair));
    let mut found = Vec::new();
    for address in addresses {
        let set = set_name(address);
        let element = nft.element(TABLE, &set, address.ip())?;
        if element.is_some_and(|element| is_owned(element.comment)) {
            found.push((set, address.ip()));
        }
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() || found.len() < addresses.len() {
        for set in nft.sets(TABLE)? {
            for element in nft.elements(TABLE, &set.name)? {
                let place = (set.name.clone(), element.key);
                if is_owned(element.comment) && !found.contains(&place) {
                    found.push(place);
                }
            }
        }
    }
    for (set, key) in found {
        transaction = transaction.delete_element(TABLE, &set, key);
    }
    Ok(transaction)
}

/// Whether the owner's element for `address` is there and the rules work for it.
pub(super) fn has(nft: &mut Nft, owner: &Owner<'_>, address: &IpNetwork) -> Result<bool> {
    let element = match nft.element(TABLE, &set_name(address), address.ip()) {
        Err(error) if Nft::is_unsupported(&error) => None,
        element => element?,
    };
    let is_owned = element
        .and_then(|element| element.comment)
        .is_some_and(|comment| comment.starts_with(&owner.hash_pair()));
    Ok(is_owned && is_complete(&nft.rules(TABLE, CHAIN)?, std::slice::from_ref(address)))
}

/// Deletes elements of `network` that no valid attachment owns, and sets that are left empty,
/// with their rules. At most a step's worth.
pub(super) fn garbage(
    nft: &mut Nft,
    mut transaction: Transaction,
    network: &str,
    valid: &[(&str, &str)],
) -> Result<Transaction> {
    let prefix = owner::network_prefix(network);
    let pairs = owner::hash_pairs(network, valid);
    let rules = nft.rules(TABLE, CHAIN)?;
    for set in nft.sets(TABLE)? {
        let elements = nft.elements(TABLE, &set.name)?;
        let mut left = elements.len();
        for element in elements {
            let is_garbage = owner::is_garbage(element.comment.as_deref(), &prefix, &pairs);
            if is_garbage && transaction.len() < GARBAGE_AT_ONCE {
                transaction = transaction.delete_element(TABLE, &set.name, element.key);
                left -= 1;
            }
        }
        if left == 0 {
            let uses_it = |rule: &&Rule| {
                rule.matches.iter().any(
                    |condition| matches!(condition, Match::SourceIn(_, name) if *name == set.name),
                )
            };
            for rule in rules.iter().filter(uses_it) {
                transaction = transaction.delete_rule(TABLE, CHAIN, rule.handle);
            }
            transaction = transaction.delete_set(TABLE, &set.name);
        }
    }
    Ok(transaction)
}
