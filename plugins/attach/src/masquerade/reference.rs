//! The nftables table of the reference plugins, which we read and clear but never write.

use ipnetwork::IpNetwork;
use kernel::{
    Result,
    nft::{Action, Match, Nft, Rule, Table, TableFamily, Test, Transaction},
};

use crate::{Identity, owner::Garbage};

const TABLE: Table<'_> = Table {
    family: TableFamily::Inet,
    name: "cni_plugins_masquerade",
};
const CHAIN: &str = "masq_checks";

/// Deletes the owner's rules.
pub(super) fn removal(
    nft: &mut Nft,
    transaction: Transaction,
    owner: &Identity<'_>,
) -> Result<Transaction> {
    let pair = owner.hash_pair();
    delete(nft, transaction, |comment| comment.starts_with(&pair))
}

/// Deletes the rules of `network` that belong to no valid attachment.
pub(super) fn garbage(
    nft: &mut Nft,
    transaction: Transaction,
    network: &str,
    valid: &[(&str, &str)],
) -> Result<Transaction> {
    let garbage = Garbage::of(network, valid);
    delete(nft, transaction, |comment| garbage.has(Some(comment)))
}

fn delete(
    nft: &mut Nft,
    transaction: Transaction,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Transaction> {
    let rules = nft.rules(TABLE, CHAIN)?;
    let unwanted = rules
        .iter()
        .filter(|rule| rule.comment.as_deref().is_some_and(&is_wanted));
    Ok(unwanted.fold(transaction, |transaction, rule| {
        transaction.delete_rule(TABLE, CHAIN, rule.handle)
    }))
}

/// Whether a rule masquerades `address` for the owner.
pub(super) fn has(nft: &mut Nft, owner: &Identity<'_>, address: &IpNetwork) -> Result<bool> {
    let pair = owner.hash_pair();
    let rules = match nft.rules(TABLE, CHAIN) {
        Err(error) if Nft::is_unsupported(&error) => return Ok(false),
        rules => rules?,
    };
    let says = |rule: &Rule| {
        rule.comment
            .as_deref()
            .is_some_and(|comment| comment.starts_with(&pair))
            && matches!(rule.action, Some(Action::Masquerade(_)))
            && matches!(
                &rule.matches[..],
                [Match::Is(Test::Source(source)), ..] if source.ip() == address.ip()
            )
    };
    Ok(rules.iter().any(says))
}
