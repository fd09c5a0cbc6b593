//! The iptables backend, rule for rule as the reference plugins write it, except that all
//! exceptions for subnets stand before the masquerading rule.
//!
//! iptables-nft keeps its rules in nftables, so they are looked for and removed there without
//! running a program; only iptables-legacy needs one.

use ipnetwork::IpNetwork;
use kernel::{
    Result as KernelResult,
    iptables::{self, Iptables, Line},
    nft::{Action, Match, Nft, Rule, Table, TableFamily, Test, Transaction, Verdict},
};

use super::{Error, legacy, owner, restore};
use crate::Identity;

pub(super) const TABLE: &str = "nat";
pub(super) const POSTROUTING: &str = "POSTROUTING";

/// One address family: what differs between iptables and ip6tables.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub(super) program: kernel::Family,
    table: Table<'static>,
    is_v4: bool,
}

pub(super) const FAMILIES: [Family; 2] = [
    Family {
        program: kernel::Family::V4,
        table: Table {
            family: TableFamily::Ip,
            name: TABLE,
        },
        is_v4: true,
    },
    Family {
        program: kernel::Family::V6,
        table: Table {
            family: TableFamily::Ip6,
            name: TABLE,
        },
        is_v4: false,
    },
];

impl Family {
    fn select(self, addresses: &[IpNetwork]) -> Vec<IpNetwork> {
        addresses
            .iter()
            .copied()
            .filter(|address| address.is_ipv4() == self.is_v4)
            .collect()
    }
}

/// Writes the owner's chain and the jumps to it, one `iptables-restore` per address family; a
/// listing before it only when the chain may be there already. Says whether somebody had taken away
/// another attachment's chain.
pub(super) fn add(owner: &Identity<'_>, addresses: &[IpNetwork]) -> Result<bool, Error> {
    let was_flushed = restore::sample_is_missing(owner)?;
    for family in FAMILIES {
        let addresses = family.select(addresses);
        if addresses.is_empty() {
            continue;
        }
        let program = Iptables::new(family.program)?;
        let present = if may_have_chain(family, &owner.chain())? {
            program.list(TABLE)?
        } else {
            Vec::new()
        };
        program.restore(TABLE, &addition(family, &present, owner, &addresses))?;
    }
    Ok(was_flushed)
}

/// Whether the owner's chains are there, as far as that can be seen without running a program.
pub(super) fn may_have_chains(
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Result<bool, Error> {
    let chain = owner.chain();
    for family in FAMILIES {
        let is_used = !family.select(addresses).is_empty();
        if is_used && !may_have_chain(family, &chain)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn may_have_chain(family: Family, chain: &str) -> Result<bool, Error> {
    if iptables::has_legacy_table(family.program, TABLE) {
        return Ok(true);
    }
    Ok(
        match Nft::open().and_then(|mut nft| nft.chain(family.table, chain)) {
            Err(error) if Nft::is_unsupported(&error) => false,
            chain => chain?.is_some(),
        },
    )
}

/// Rewrites the chain, with what another interface of the container has there.
fn addition(
    family: Family,
    present: &[Line],
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> Vec<String> {
    let chain = owner.chain();
    let comment = iptables::comment_match(&owner.iptables_comment());
    let mut subnets: Vec<IpNetwork> = present
        .iter()
        .filter(|line| line.is_rule_of(&chain))
        .filter_map(legacy::accepted)
        .collect();
    for address in addresses {
        if !subnets.iter().any(|subnet| is_subnet_of(subnet, address)) {
            subnets.push(*address);
        }
    }
    let mut script = vec![format!(":{chain} - [0:0]")];
    script.extend(
        subnets
            .iter()
            .map(|subnet| format!("-A {chain} -d {subnet} {comment} -j ACCEPT")),
    );
    script.push(format!(
        "-A {chain} ! -d {} {comment} -j MASQUERADE",
        family.program.multicast()
    ));
    let is_present = |address: &&IpNetwork| {
        present
            .iter()
            .filter_map(|line| legacy::jump(line, &chain))
            .any(|source| source.is_some_and(|source| source.ip() == address.ip()))
    };
    script.extend(
        addresses
            .iter()
            .filter(|address| !is_present(address))
            .map(|address| format!("-A {POSTROUTING} -s {} {comment} -j {chain}", address.ip())),
    );
    script
}

/// Deletes, in iptables-nft's tables, the owner's jumps and, when no jump is left, the chain.
pub(super) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
) -> KernelResult<Transaction> {
    let chain = owner.chain();
    for family in FAMILIES {
        if nft.chain(family.table, &chain)?.is_none() {
            continue;
        }
        let rules = nft.rules(family.table, POSTROUTING)?;
        let (ours, others): (Vec<&Rule>, Vec<&Rule>) = rules
            .iter()
            .filter(|rule| leads_to(rule, &chain))
            .partition(|rule| is_of(source(rule), addresses));
        for rule in ours {
            transaction = transaction.delete_rule(family.table, POSTROUTING, rule.handle);
        }
        if others.is_empty() {
            transaction = transaction.delete_chain(family.table, &chain);
        }
    }
    Ok(transaction)
}

/// Whether the owner's chain masquerades `address`, in iptables-nft or in iptables-legacy.
pub(super) fn has(owner: &Identity<'_>, address: &IpNetwork) -> Result<bool, Error> {
    let chain = owner.chain();
    for family in FAMILIES
        .into_iter()
        .filter(|family| family.is_v4 == address.is_ipv4())
    {
        if nft_has(family, &chain, address)? {
            return Ok(true);
        }
        if iptables::has_legacy_table(family.program, TABLE) {
            let program = Iptables::legacy(family.program)?;
            return Ok(legacy::has(&program.list(TABLE)?, &chain, address));
        }
    }
    Ok(false)
}

fn nft_has(family: Family, chain: &str, address: &IpNetwork) -> Result<bool, Error> {
    let mut nft = Nft::open()?;
    let content = match nft.rules(family.table, chain) {
        Err(error) if Nft::is_unsupported(&error) => return Ok(false),
        content => content?,
    };
    let accepts = |rule: &Rule| {
        rule.action == Some(Verdict::Accept.into())
            && matches!(
                &rule.matches[..],
                [Match::Is(Test::Destination(subnet))] if is_subnet_of(subnet, address)
            )
    };
    let masquerades = |rule: &Rule| matches!(rule.action, Some(Action::Masquerade(_)));
    let jumps = |rule: &Rule| {
        leads_to(rule, chain) && source(rule).is_some_and(|found| found.ip() == address.ip())
    };
    Ok(content.iter().any(accepts)
        && content.iter().any(masquerades)
        && nft.rules(family.table, POSTROUTING)?.iter().any(jumps))
}

/// Deletes, in iptables-nft's tables, jumps and chains of containers that have no valid
/// attachment to `network`.
pub(super) fn garbage(
    nft: &mut Nft,
    mut transaction: Transaction,
    network: &str,
    valid: &[(&str, &str)],
) -> KernelResult<Transaction> {
    for family in FAMILIES {
        let mut chains = Vec::new();
        for rule in nft.rules(family.table, POSTROUTING)? {
            let Some(Action::Verdict(Verdict::Jump(chain))) = &rule.action else {
                continue;
            };
            if is_garbage(rule.comment.as_deref(), chain, network, valid) {
                transaction = transaction.delete_rule(family.table, POSTROUTING, rule.handle);
                chains.push(chain.clone());
            }
        }
        chains.sort_unstable();
        chains.dedup();
        for chain in chains {
            transaction = transaction.delete_chain(family.table, &chain);
        }
    }
    Ok(transaction)
}

/// Whether a jump to `chain` is a container's on `network`, by comment and by the chain's name,
/// and the container is none of the valid ones.
pub(super) fn is_garbage(
    comment: Option<&str>,
    chain: &str,
    network: &str,
    valid: &[(&str, &str)],
) -> bool {
    comment
        .and_then(|comment| owner::container_of(comment, network))
        .is_some_and(|container_id| {
            let owner = Identity {
                network,
                container_id,
                ifname: "",
            };
            owner.chain() == chain && !valid.iter().any(|(id, _)| *id == container_id)
        })
}

fn leads_to(rule: &Rule, chain: &str) -> bool {
    matches!(
        &rule.action,
        Some(Action::Verdict(Verdict::Jump(target) | Verdict::Goto(target))) if target == chain
    )
}

fn source(rule: &Rule) -> Option<IpNetwork> {
    rule.matches.iter().find_map(|condition| match condition {
        Match::Is(Test::Source(network)) => Some(*network),
        _ => None,
    })
}

pub(super) fn is_subnet_of(subnet: &IpNetwork, address: &IpNetwork) -> bool {
    subnet.network() == address.network() && subnet.prefix() == address.prefix()
}

/// Whether a jump's source is one of `addresses`, alone or, as old releases wrote it, as subnet.
/// With no addresses known, every jump of the container is meant.
pub(super) fn is_of(source: Option<IpNetwork>, addresses: &[IpNetwork]) -> bool {
    addresses.is_empty()
        || source.is_some_and(|source| {
            addresses
                .iter()
                .any(|address| source.ip() == address.ip() || is_subnet_of(&source, address))
        })
}
