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

use ipnetwork::IpNetwork;
use kernel::{
    Family, Result,
    nft::{
        Action, ChainKind, Existing, Hook, KeyType, Match, NatFlags, NewChain, NewRule, NewSet,
        Nft, Point, Policy, Priority, Rule, SetType, Table, TableFamily, Transaction, Verdict,
    },
};

use super::ATTEMPTS;

pub(super) const TABLE: Table<'_> = Table {
    family: TableFamily::Inet,
    name: "podwire_masquerade",
};
const TABLE_COMMENT: &str = "podwire: packets that pods send beyond their subnet";
pub(super) const CHAIN: &str = "postrouting";
const HOOK: Hook = Hook {
    kind: ChainKind::Nat,
    point: Point::Postrouting,
    priority: Priority::srcnat(TableFamily::Inet),
    policy: Policy::Accept,
};
const SET_PREFIX: &str = "pods-";

/// Whether the chain sees the packets that leave.
pub(super) fn is_hooked(nft: &mut Nft) -> Result<bool> {
    let chain = nft.chain(TABLE, CHAIN)?;
    Ok(chain.is_some_and(|chain| chain.hook == Some(HOOK)))
}

/// Why the rules see no packets, whatever they say.
pub(super) fn inactive(nft: &mut Nft) -> Result<Option<String>> {
    if nft.is_dormant(TABLE)? {
        return Ok(Some(format!("table {TABLE} is dormant")));
    }
    let unhooked = format!(
        "chain {TABLE} {CHAIN} is not \"type nat hook postrouting priority srcnat; policy accept\""
    );
    Ok((!is_hooked(nft)?).then_some(unhooked))
}

/// Whether the chain begins as it does since it was written; otherwise somebody flushed it.
pub(super) fn is_begun(rules: &[Rule]) -> bool {
    let wanted = multicast_rules();
    rules.len() >= wanted.len()
        && rules
            .iter()
            .zip(&wanted)
            .all(|(rule, wanted)| says(rule, wanted))
}

/// Whether the chain's rules do their work for `addresses`.
pub(super) fn is_complete(rules: &[Rule], addresses: &[IpNetwork]) -> bool {
    is_begun(rules)
        && addresses.iter().all(|address| {
            let wanted = subnet_rule(address);
            rules.iter().any(|rule| says(rule, &wanted))
        })
}

fn says(rule: &Rule, wanted: &NewRule<'_>) -> bool {
    rule.matches == wanted.matches && rule.action == wanted.action
}

/// Writes table, chain, the sets of `addresses`, and the rules of all sets, in one transaction:
/// for the first pod of a subnet, and after somebody flushed the chain. A chain that has another
/// hook or none is made anew; one that somebody jumps to cannot be, which is an error.
pub(super) fn write_rules(nft: &mut Nft, addresses: &[IpNetwork]) -> Result<()> {
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
        let mut transaction = Transaction::at(generation);
        let chain = nft.chain(TABLE, CHAIN)?;
        if chain.is_some_and(|chain| chain.hook != Some(HOOK)) {
            transaction = transaction.delete_chain(TABLE, CHAIN);
        }
        outcome = nft.commit(rules(transaction, &subnets));
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
    let mut transaction = add_sets(transaction, subnets)
        .add_chain(TABLE, chain, Existing::Keep)
        .flush_chain(TABLE, CHAIN);
    for rule in multicast_rules() {
        transaction = transaction.add_rule(TABLE, CHAIN, &rule);
    }
    subnets.iter().fold(transaction, |transaction, subnet| {
        transaction.add_rule(TABLE, CHAIN, &subnet_rule(subnet))
    })
}

/// The table and the sets of these addresses' subnets.
pub(super) fn add_sets(transaction: Transaction, addresses: &[IpNetwork]) -> Transaction {
    let transaction = transaction.add_table(TABLE, Some(TABLE_COMMENT), Existing::Keep);
    addresses.iter().fold(transaction, |transaction, address| {
        let set = NewSet {
            name: &set_name(address),
            kind: set_type(address),
            comment: None,
        };
        transaction.add_set(TABLE, set, Existing::Keep)
    })
}

fn multicast_rules() -> [NewRule<'static>; 2] {
    Family::ALL.map(|family| NewRule {
        matches: vec![Match::destination(family.multicast())],
        action: Some(Verdict::Return.into()),
        ..NewRule::default()
    })
}

/// A pod without neighbours needs no exception for them, so all such pods share a set.
fn subnet_rule(address: &IpNetwork) -> NewRule<'static> {
    let mut matches = vec![Match::source_in(address.into(), set_name(address))];
    if !is_alone(address) {
        matches.push(Match::not_destination(subnet(address)));
    }
    NewRule {
        matches,
        action: Some(Action::Masquerade(NatFlags::default())),
        ..NewRule::default()
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

/// What the set of an address's subnet holds.
pub(super) fn set_type(address: &IpNetwork) -> SetType {
    KeyType::of(address).into()
}

/// nft(8) reads letters, digits, dots, dashes and slashes in a name, but no colons.
pub(super) fn set_name(address: &IpNetwork) -> String {
    format!("{SET_PREFIX}{}", subnet(address)).replace(':', "-")
}

/// The subnet in a set's name.
fn subnet_of(set: &str) -> Option<IpNetwork> {
    let text = set.strip_prefix(SET_PREFIX)?;
    text.parse()
        .or_else(|_| text.replace('-', ":").parse())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_names_lead_back_to_subnets() {
        for (address, set) in [
            ("10.22.0.2/24", "pods-10.22.0.0/24"),
            ("10.22.0.2/32", "pods-0.0.0.0/32"),
            ("10.22.0.2/0", "pods-0.0.0.0/0"),
            ("2001:db8:22::2/64", "pods-2001-db8-22--/64"),
            ("2001:db8:22::2/128", "pods---/128"),
            ("::ffff:10.0.0.1/120", "pods---ffff-10.0.0.0/120"),
        ] {
            let address: IpNetwork = address.parse().unwrap();
            assert_eq!(set_name(&address), set);
            assert_eq!(subnet_of(set), Some(subnet(&address)), "{set}");
        }
        assert_eq!(subnet_of("pods-of-others"), None);
        assert_eq!(subnet_of("10.22.0.0/24"), None);
    }
}
