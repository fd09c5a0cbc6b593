//! Tables of iptables-nft that are there because podwire made them. iptables keeps a table for ever once
//! it has needed it, and nothing tells whose it was: what podwire needs first it makes itself, with a
//! comment, which iptables-nft passes over.

use crate::nft::{
    Action, Existing, Nft, Policy, Rule, Table, TableFamily, Transaction, Verdict, ruleset,
};
use crate::{Family, Result};

/// Comment of tables, and of chains in them, that were missing: what others made does not bear it.
pub const MADE: &str = "podwire: made because it was missing";

/// Every table that iptables-nft may have in a family.
const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// iptables' own chains, which it makes when they are needed.
const CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// Makes a table, unless it is there.
pub(super) fn make(family: Family, name: &str) -> Result<()> {
    let table = Table {
        family: family.into(),
        name,
    };
    let mut nft = Nft::open()?;
    if nft.has_table(table)? {
        return Ok(());
    }
    nft.commit(Transaction::new().add_table(table, Some(MADE), Existing::Keep))
}

/// The tables that were made and hold nothing, or nothing but chains and sets that are `ours`, with what
/// leads there: those go when these are gone. A kernel without nftables has none.
///
/// # Errors
/// What the kernel answers.
pub fn made_tables(ours: &dyn Fn(&str) -> bool) -> Result<Vec<Table<'static>>> {
    let mut nft = match Nft::open() {
        Err(error) if Nft::is_unsupported(&error) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut found = Vec::new();
    for family in [TableFamily::Ip, TableFamily::Ip6] {
        for name in TABLES {
            let table = Table { family, name };
            match is_unneeded(&mut nft, table, ours) {
                Err(error) if Nft::is_unsupported(&error) => return Ok(Vec::new()),
                Ok(false) => {}
                Ok(true) => found.push(table),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// Removes a table that was made, if it holds nothing by now; says whether it did.
///
/// # Errors
/// What the kernel answers.
pub fn remove_made_table(table: Table<'_>) -> Result<bool> {
    ruleset::change_what_is_there(|nft, transaction| {
        Ok(match is_unneeded(nft, table, &|_| false)? {
            true => transaction.delete_table(table),
            false => transaction,
        })
    })
}

/// Besides `ours`: nothing but iptables' own chains without a rule, which let everything pass.
fn is_unneeded(nft: &mut Nft, table: Table<'_>, ours: &dyn Fn(&str) -> bool) -> Result<bool> {
    let Some(content) = nft.table(table)? else {
        return Ok(false);
    };
    if content.comment.as_deref() != Some(MADE) {
        return Ok(false);
    }
    let chains = nft.chains(table)?;
    let sets = nft.sets(table)?;
    // Something that is neither chain nor set is somebody else's.
    let is_known = content.objects as usize == chains.len() + sets.len();
    let passes = |policy: Option<Policy>| policy.is_none_or(|policy| policy == Policy::Accept);
    let chains_are_bare = chains.iter().all(|chain| {
        let is_base = chain.is_base && CHAINS.contains(&chain.name.as_str());
        let is_bare = is_base && passes(chain.hook.map(|hook| hook.policy));
        is_bare || ours(&chain.name)
    });
    let sets_are_ours = sets.iter().all(|set| ours(&set.name));
    let rules = nft.table_rules(table)?;
    let rules_are_ours = rules
        .iter()
        .all(|rule| ours(&rule.chain) || leads_to(rule, ours));
    Ok(is_known && chains_are_bare && sets_are_ours && rules_are_ours)
}

fn leads_to(rule: &Rule, ours: &dyn Fn(&str) -> bool) -> bool {
    match &rule.action {
        Some(Action::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain))) => ours(chain),
        _ => false,
    }
}
