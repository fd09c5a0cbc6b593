//! The iptables backend: the reference plugin's chains and rules, one `iptables-restore --noflush` for
//! each address family. What iptables-nft has is read, and removed, over netlink.

mod snapshot;

use attach::iptables_turn;
use ipnetwork::IpNetwork;
use kernel::{
    Family,
    iptables::{self, Iptables},
    nft::{Nft, Transaction},
};

use crate::{
    config::Isolation,
    error::{Error, Mismatch},
    reference::{
        self, CNI_FORWARD, FORWARD, Rule, STAGE_1, STAGE_2, TABLE, admin, forward, of_address,
        of_bridge, stage_1,
    },
};
pub(crate) use snapshot::Snapshot;

/// Another ADD may make a shared chain between our look and our change. It makes each once.
const ATTEMPTS: usize = 10;

/// What shall be in the filter table of one family.
struct Wanted<'a> {
    family: Family,
    chains: Vec<&'a str>,
    rules: Vec<Rule>,
}

/// What the families of `addresses` need: rules for each address if there is an administrator's chain
/// to put before them, and the policy.
fn wanted<'a>(
    addresses: &[IpNetwork],
    admin_chain: Option<&'a str>,
    isolation: Option<&Isolation>,
) -> Vec<Wanted<'a>> {
    let mut all = Vec::new();
    for family in Family::ALL {
        let own: Vec<&IpNetwork> = of_family(addresses, family).collect();
        if own.is_empty() {
            continue;
        }
        let (mut chains, mut rules) = (vec![FORWARD], Vec::new());
        if let Some(admin_chain) = admin_chain {
            chains.extend([CNI_FORWARD, admin_chain]);
            rules.extend([forward(), admin(admin_chain)]);
            rules.extend(own.iter().flat_map(|address| of_address(address)));
        }
        if let Some(isolation) = isolation {
            chains.extend([STAGE_1, STAGE_2]);
            rules.extend(of_bridge(isolation));
        }
        all.push(Wanted {
            family,
            chains,
            rules,
        });
    }
    all
}

/// The addresses of a family.
pub(crate) fn of_family(
    addresses: &[IpNetwork],
    family: Family,
) -> impl Iterator<Item = &IpNetwork> {
    addresses
        .iter()
        .filter(move |address| Family::from(*address) == family)
}

fn program(family: Family) -> Result<Iptables, Error> {
    Iptables::new(family).map_err(|source| Error::NoIptables {
        protocol: match family {
            Family::V4 => 0,
            Family::V6 => 1,
        },
        source,
    })
}

/// Adds what is missing, each rule once also where several come at once; programs of families that the pod has no
/// address of need not be there.
pub(crate) fn add(
    addresses: &[IpNetwork],
    admin_chain: Option<&str>,
    isolation: Option<&Isolation>,
) -> Result<(), Error> {
    let _turn = iptables_turn::take();
    for wanted in wanted(addresses, admin_chain, isolation) {
        let program = program(wanted.family)?;
        let mut outcome = add_missing(&program, &wanted);
        for _ in 1..ATTEMPTS {
            if !matches!(
                outcome,
                Err(Error::Iptables(iptables::Error::Refused { .. }))
            ) {
                break;
            }
            outcome = add_missing(&program, &wanted);
        }
        outcome?;
    }
    Ok(())
}

fn add_missing(program: &Iptables, wanted: &Wanted<'_>) -> Result<(), Error> {
    let there = Snapshot::of(program, wanted.family, &wanted.chains)?;
    // A table that nobody has used yet has its own chains nevertheless.
    let chains: Vec<&str> = wanted
        .chains
        .iter()
        .copied()
        .filter(|chain| *chain != FORWARD)
        .collect();
    Ok(program.restore(TABLE, &there.additions(&chains, &wanted.rules))?)
}

/// Whether all that [`add`] makes is there and at work, in either kernel interface.
///
/// # Errors
/// What is missing, or cannot be looked at.
pub(crate) fn check(
    addresses: &[IpNetwork],
    admin_chain: Option<&str>,
    isolation: Option<&Isolation>,
) -> Result<(), Error> {
    for wanted in wanted(addresses, admin_chain, isolation) {
        let by_nft = Snapshot::of_nft(wanted.family, &wanted.chains)?;
        let outcome = compare(&by_nft, &wanted.rules);
        if outcome.is_err() && iptables::has_legacy_table(wanted.family, TABLE) {
            let program = Iptables::legacy(wanted.family)?;
            compare(
                &Snapshot::of_legacy(&program, &wanted.chains)?,
                &wanted.rules,
            )?;
        } else {
            outcome?;
        }
    }
    Ok(())
}

fn compare(there: &Snapshot, rules: &[Rule]) -> Result<(), Mismatch> {
    for rule in rules {
        if there.place(rule).is_none() {
            return Err(missing(rule));
        }
        if !there.is_reached(rule) && rule.chain == FORWARD {
            return Err(Mismatch::Unreached {
                chain: rule.chain.to_owned(),
                rule: rule.words(),
            });
        }
    }
    comes_first(there, rules, &stage_1())?;
    rules
        .iter()
        .filter(|rule| rule.chain == CNI_FORWARD)
        .take(1)
        .try_for_each(|admin| comes_first(there, rules, admin))
}

/// A rule that is there stands before the others of its chain: the administrator's word before
/// what lets packets through, what keeps bridges apart before both.
fn comes_first(there: &Snapshot, rules: &[Rule], first: &Rule) -> Result<(), Mismatch> {
    let Some(place) = there.place(first) else {
        return Ok(());
    };
    let later = rules
        .iter()
        .filter(|rule| rule.chain == first.chain && *rule != first);
    for rule in later {
        if there.place(rule).is_some_and(|other| other < place) {
            return Err(Mismatch::Order {
                chain: first.chain.to_owned(),
                earlier: rule.words(),
                later: first.words(),
            });
        }
    }
    Ok(())
}

fn missing(rule: &Rule) -> Mismatch {
    let words = rule.words();
    match rule.chain {
        FORWARD => Mismatch::Forward(words),
        CNI_FORWARD if words.starts_with("-m comment") => Mismatch::CniForward(words),
        _ => Mismatch::Rule(words),
    }
}

/// Deletes, in iptables-nft's tables, the rules of each address.
pub(crate) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    addresses: &[IpNetwork],
) -> kernel::Result<Transaction> {
    for family in Family::ALL {
        let rules: Vec<Rule> = of_family(addresses, family).flat_map(of_address).collect();
        if rules.is_empty() {
            continue;
        }
        let table = reference::table(family);
        for seen in nft.rules(table, CNI_FORWARD)? {
            if rules.iter().any(|rule| rule.is_nft(&seen)) {
                transaction = transaction.delete_rule(table, CNI_FORWARD, seen.handle);
            }
        }
    }
    Ok(transaction)
}

/// Deletes the rules of each address from the old kernel interface, if that has a filter table.
pub(crate) fn remove_legacy(addresses: &[IpNetwork]) -> Result<(), Error> {
    for family in Family::ALL {
        let rules: Vec<Rule> = of_family(addresses, family).flat_map(of_address).collect();
        if rules.is_empty() || !iptables::has_legacy_table(family, TABLE) {
            continue;
        }
        match Iptables::legacy(family) {
            // Without the program the reference plugin cannot clean up either.
            Err(error) => {
                tracing::warn!("cannot clean the filter table of iptables-legacy: {error}")
            }
            Ok(program) => {
                let there = Snapshot::of_legacy(&program, &[CNI_FORWARD])?;
                program.restore(TABLE, &there.deletions(&rules))?;
            }
        }
    }
    Ok(())
}

/// Whether the programs are there that a pod of both families needs: of IPv6 only if that has addresses,
/// which nobody knows before ADD.
pub(crate) fn usable() -> Result<(), Error> {
    program(Family::V4).map(drop)
}
