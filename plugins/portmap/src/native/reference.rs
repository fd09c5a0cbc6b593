//! The reference plugin's nftables tables, which we read and clear but never write. The comment of a
//! rule is the container's name alone.

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::{
    Family, Result,
    nft::{Action, Nft, Rule, Transaction, Verdict},
};

use super::foreign::{HOSTPORTS, reference_table};
use crate::{error::Deviation, owner::reference_comment, settings::Settings};

const MASQUERADING: &str = "masquerading";
/// With that of early releases.
const CHAINS: [&str; 3] = [HOSTPORTS, "hostip_hostports", MASQUERADING];
/// What leads from one chain to the next.
const WAYS: [(&str, &str); 3] = [
    ("prerouting", "hostports_all"),
    ("output", "hostports_all"),
    ("hostports_all", HOSTPORTS),
];

/// Deletes the container's rules.
pub(crate) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    owner: &Identity<'_>,
) -> Result<Transaction> {
    for family in Family::ALL {
        let table = reference_table(family);
        if !nft.has_table(table)? {
            continue;
        }
        for chain in CHAINS {
            for rule in own_rules(nft, owner, family, chain)? {
                transaction = transaction.delete_rule(table, chain, rule.handle);
            }
        }
    }
    Ok(transaction)
}

fn own_rules(
    nft: &mut Nft,
    owner: &Identity<'_>,
    family: Family,
    chain: &str,
) -> Result<Vec<Rule>> {
    let comment = reference_comment(owner.container_id);
    let mut rules = nft.rules(reference_table(family), chain)?;
    rules.retain(|rule| rule.comment.as_deref() == Some(comment));
    Ok(rules)
}

/// Whether the container has any mapping there.
pub(crate) fn has_any(nft: &mut Nft, owner: &Identity<'_>) -> Result<bool> {
    for family in Family::ALL {
        if !own_rules(nft, owner, family, HOSTPORTS)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is not there of the container's rules, counted as the reference plugin counts, and of the ways
/// to them.
pub(crate) fn deviation(
    nft: &mut Nft,
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
) -> Result<Option<Deviation>> {
    for target in targets {
        let family = Family::from(target);
        let mappings = settings.mappings_of(target).count();
        let sources = match (settings.snat, settings.masq_all, family) {
            (false, ..) => 0,
            // The reference's 1.9.1 does not know `masqAll`; a release after it does.
            (true, true, _) | (true, false, Family::V6) => 1,
            (true, false, Family::V4) => 2,
        };
        for (chain, wanted) in [(HOSTPORTS, mappings), (MASQUERADING, sources)] {
            if own_rules(nft, owner, family, chain)?.len() < wanted {
                return Ok(Some(Deviation::Reference(chain)));
            }
        }
        for (from, to) in WAYS {
            let leads = |rule: &Rule| matches!(&rule.action, Some(Action::Verdict(Verdict::Jump(chain))) if chain == to);
            if !nft.rules(reference_table(family), from)?.iter().any(leads) {
                return Ok(Some(Deviation::Reference(from)));
            }
        }
    }
    Ok(None)
}
