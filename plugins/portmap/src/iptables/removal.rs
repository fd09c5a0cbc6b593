//! DEL and GC in iptables-nft's tables, over netlink: no program is run.

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::{
    Family, Result,
    nft::{Action, Nft, Rule, Transaction, Translation, Verdict},
};

use super::{DNAT, EARLY_SNAT};
use crate::{native::foreign::iptables_table, owner};

/// Deletes the container's chain of the network and what leads to it, and the chains that a network of
/// another name led to the same address: it was renamed.
pub(crate) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    owner: &Identity<'_>,
    targets: &[IpNetwork],
) -> Result<Transaction> {
    for family in Family::ALL {
        let jumps = nft.rules(iptables_table(family), DNAT)?;
        let mut chains = vec![owner::chain(owner)];
        for chain in other_chains(&jumps, owner) {
            if leads_to(nft, family, &chain, targets)? {
                chains.push(chain);
            }
        }
        for chain in chains {
            transaction = remove_chain(nft, transaction, family, &jumps, &chain)?;
        }
        let early = owner::early_chain(owner);
        if nft.chain(iptables_table(family), &early)?.is_some() {
            let jumps = nft.rules(iptables_table(family), EARLY_SNAT)?;
            transaction = remove_chain(nft, transaction, family, &jumps, &early)?;
        }
    }
    Ok(transaction)
}

/// Deletes a chain if it is there, and the rules among `jumps` that lead to it.
fn remove_chain(
    nft: &mut Nft,
    mut transaction: Transaction,
    family: Family,
    jumps: &[Rule],
    chain: &str,
) -> Result<Transaction> {
    let table = iptables_table(family);
    for jump in jumps.iter().filter(|rule| target(rule) == Some(chain)) {
        transaction = transaction.delete_rule(table, &jump.chain, jump.handle);
    }
    Ok(match nft.chain(table, chain)? {
        Some(_) => transaction.delete_chain(table, chain),
        None => transaction,
    })
}

fn target(rule: &Rule) -> Option<&str> {
    match &rule.action {
        Some(Action::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain))) => Some(chain),
        _ => None,
    }
}

/// Chains of the container that are not this network's.
fn other_chains(jumps: &[Rule], owner: &Identity<'_>) -> Vec<String> {
    let own = owner::chain(owner);
    let is_containers = |rule: &&Rule| {
        rule.comment
            .as_deref()
            .and_then(owner::of_iptables_comment)
            .is_some_and(|whose| whose.container_id == owner.container_id)
    };
    let mut chains: Vec<String> = jumps
        .iter()
        .filter(is_containers)
        .filter_map(|rule| target(rule).map(str::to_owned))
        .filter(|chain| *chain != own)
        .collect();
    chains.sort_unstable();
    chains.dedup();
    chains
}

/// Whether connections go from a chain to one of the targets.
fn leads_to(nft: &mut Nft, family: Family, chain: &str, targets: &[IpNetwork]) -> Result<bool> {
    let rules = nft.rules(iptables_table(family), chain)?;
    Ok(rules.iter().any(|rule| match &rule.action {
        Some(Action::Dnat(Translation::To(address, _), _)) => {
            targets.iter().any(|target| target.ip() == *address)
        }
        _ => false,
    }))
}

/// Deletes the chains of containers that have no valid attachment to `network`, and what leads there.
pub(crate) fn garbage(
    nft: &mut Nft,
    mut transaction: Transaction,
    network: &str,
    valid: &[(&str, &str)],
) -> Result<Transaction> {
    for family in Family::ALL {
        let jumps = nft.rules(iptables_table(family), DNAT)?;
        let mut chains: Vec<&str> = jumps
            .iter()
            .filter_map(|rule| {
                let chain = target(rule)?;
                is_garbage(rule.comment.as_deref(), chain, network, valid).then_some(chain)
            })
            .collect();
        chains.sort_unstable();
        chains.dedup();
        for chain in chains {
            transaction = remove_chain(nft, transaction, family, &jumps, chain)?;
        }
    }
    Ok(transaction)
}

/// Whether a jump to `chain` is a container's on `network`, by comment and by the chain's name, and the
/// container is none of the valid ones.
pub(super) fn is_garbage(
    comment: Option<&str>,
    chain: &str,
    network: &str,
    valid: &[(&str, &str)],
) -> bool {
    let whose = comment.and_then(owner::of_iptables_comment);
    whose.is_some_and(|whose| {
        let owner = Identity {
            network,
            container_id: &whose.container_id,
            ifname: "",
        };
        whose.network.as_deref() == Some(network)
            && owner::chain(&owner) == chain
            && !valid.iter().any(|(id, _)| *id == whose.container_id)
    })
}
