//! The nftables backend, over netlink: no program is run, and neither a packet nor an ADD pays for
//! the number of pods.
//!
//! A packet must pass every chain that sees it, so what lets it through stands in the very chain that may
//! drop it: `FORWARD` of iptables-nft, which is a chain of nftables like any other ([`passage`]). What
//! keeps bridges apart drops, which any chain can do: it has a table of its own ([`bridges`]).

pub(crate) mod bridges;
pub(crate) mod passage;
mod pods;
mod restore;

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::{
    Family,
    nft::{Match, NewRule, Nft, Rule, Test, Transaction, ruleset},
};

use crate::{config::Isolation, error::Error, iptables::of_family};
pub use passage::is_of_passage;
pub(crate) use pods::{comments, garbage, removal};

/// Lets the packets of `addresses` through and keeps the bridge apart, all in one transaction. Elements
/// that other owners left for the addresses are taken over: the IPAM plugin says who has them now.
/// Says whether what all pods need together was missing; then the elements of all others that
/// live come back before it does, so that whoever is killed in between leaves the same to the next.
pub(crate) fn add(
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
    admin_chain: &str,
    isolation: Option<&Isolation>,
) -> Result<bool, Error> {
    let mut nft = Nft::open()?;
    let mut was_missing = false;
    for family in families(addresses) {
        was_missing |= passage::is_missing(&mut nft, family)?;
    }
    if was_missing {
        restore::put_back_others(&mut nft, owner)?;
    }
    ruleset::change(&mut nft, |nft, mut transaction| {
        for family in families(addresses) {
            transaction = passage::complete(nft, transaction, family, admin_chain)?;
        }
        members(nft, transaction, owner, addresses, isolation)
    })?;
    Ok(was_missing)
}

/// The elements of an attachment, and of its bridge.
fn members(
    nft: &mut Nft,
    mut transaction: Transaction,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
    isolation: Option<&Isolation>,
) -> kernel::Result<Transaction> {
    for family in families(addresses) {
        let own: Vec<IpNetwork> = of_family(addresses, family).copied().collect();
        transaction = pods::addition(nft, transaction, family, owner, &own)?;
    }
    match isolation {
        Some(isolation) => bridges::addition(nft, transaction, isolation),
        None => Ok(transaction),
    }
}

/// Keeps the bridge apart, whoever lets packets through.
pub(crate) fn isolate(isolation: &Isolation) -> Result<(), Error> {
    let mut nft = Nft::open()?;
    ruleset::change(&mut nft, |nft, transaction| {
        bridges::addition(nft, transaction, isolation)
    })?;
    Ok(())
}

/// Puts an administrator's chain that has rules into the way of forwarded packets, where firewalld lets
/// them through: what the chain drops, no other chain can save.
pub(crate) fn honour(addresses: &[IpNetwork], admin_chain: &str) -> Result<(), Error> {
    ruleset::change_what_is_there(|nft, mut transaction| {
        for family in families(addresses) {
            let table = crate::reference::table(family);
            if !nft.rules(table, admin_chain)?.is_empty() {
                transaction = passage::complete(nft, transaction, family, admin_chain)?;
            }
        }
        Ok(transaction)
    })?;
    Ok(())
}

/// CHECK: whether all that [`add`] makes for `addresses` is there and at work.
///
/// # Errors
/// What is missing, or cannot be looked at.
pub(crate) fn check(
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
    admin_chain: &str,
) -> Result<(), Error> {
    let mut nft = Nft::open()?;
    for family in families(addresses) {
        let own: Vec<IpNetwork> = of_family(addresses, family).copied().collect();
        passage::check(&mut nft, family, admin_chain)?;
        pods::check(&mut nft, family, owner, &own)?;
    }
    Ok(())
}

/// Whether a family has what lets all pods' packets through. A kernel without nftables has not.
///
/// # Errors
/// It cannot be looked at.
pub fn has_passage(family: Family) -> kernel::Result<bool> {
    match Nft::open().and_then(|mut nft| passage::is_there(&mut nft, family)) {
        Err(error) if Nft::is_unsupported(&error) => Ok(false),
        is_there => is_there,
    }
}

/// Removes it, with the addresses of all pods, and what was made for it and nobody else uses: nobody needs it
/// any more.
///
/// # Errors
/// What the kernel refuses.
pub fn remove_passage(family: Family) -> kernel::Result<()> {
    ruleset::change_what_is_there(|nft, transaction| passage::removal(nft, transaction, family))
        .map(drop)
}

/// Whether the kernel answers nftables requests.
pub(crate) fn is_supported() -> Result<bool, Error> {
    match Nft::open().and_then(|mut nft| nft.generation()) {
        Err(error) if Nft::is_unsupported(&error) => Ok(false),
        answer => Ok(answer.map(|_| true)?),
    }
}

fn families(addresses: &[IpNetwork]) -> impl Iterator<Item = Family> {
    let has = |family: &Family| of_family(addresses, *family).next().is_some();
    let families: Vec<Family> = Family::ALL.into_iter().filter(has).collect();
    families.into_iter()
}

/// Whether a rule in the kernel says what we would write.
fn says(seen: &Rule, wanted: &NewRule<'_>) -> bool {
    let conditions = wanted
        .matches
        .iter()
        .filter_map(|condition| match condition {
            Match::Extension(kernel::nft::Extension::Comment(_)) => None,
            Match::Extension(kernel::nft::Extension::ConntrackState(states)) => {
                Some(Match::Is(Test::ConntrackState(*states)))
            }
            other => Some(other.clone()),
        });
    seen.action == wanted.action && seen.matches.iter().cloned().eq(conditions)
}

/// Whether the rules of a chain are these and no others.
fn are(seen: &[Rule], wanted: &[NewRule<'_>]) -> bool {
    seen.len() == wanted.len()
        && seen
            .iter()
            .zip(wanted)
            .all(|(seen, wanted)| says(seen, wanted))
}
