//! What keeps bridges with an `ingressPolicy` apart: a table of our own, because what one chain drops no
//! other can save.
//!
//! ```text
//! table inet podwire_firewall {
//!     set bridges {
//!         type ifname
//!         elements = { "cni0", "cni1" }
//!     }
//!     set same-bridge {
//!         type ifname . ifname
//!         elements = { "cni0" . "cni0" }
//!     }
//!     chain forward {
//!         type filter hook forward priority filter; policy accept;
//!         iifname @bridges oifname @bridges iifname . oifname != @same-bridge drop
//!     }
//! }
//! ```
//!
//! A bridge is in `bridges` with any policy, in `same-bridge` unless it is isolated. One that is isolated
//! stays so, as with the reference plugin: its pods rely on it. Bridges that the reference plugin keeps
//! apart join, so that nothing passes between its pods and ours.

use kernel::{
    Family, Netlink, Result,
    nft::{
        Action, ChainKind, Datum, Existing, Field, Hook, Key, KeyType, Match, NewChain, NewElement,
        NewRule, NewSet, Nft, Point, Policy as ChainPolicy, Priority, SetType, Table, TableFamily,
        Test, Transaction, Verdict,
    },
};

use super::are;
use crate::{
    config::{Isolation, Policy},
    error::{Error, Mismatch},
    reference::{STAGE_1, STAGE_2, table},
};

const TABLE: Table<'_> = Table {
    family: TableFamily::Inet,
    name: "podwire_firewall",
};
const TABLE_COMMENT: &str = "podwire: bridges whose pods are kept apart";
const BRIDGES: &str = "bridges";
const SAME_BRIDGE: &str = "same-bridge";
const CHAIN: &str = "forward";
const HOOK: Hook = Hook {
    kind: ChainKind::Filter,
    point: Point::Forward,
    priority: Priority::filter(TableFamily::Inet),
    policy: ChainPolicy::Accept,
};

fn names() -> SetType {
    KeyType::InterfaceName.into()
}

fn pairs() -> SetType {
    SetType {
        key: vec![KeyType::InterfaceName; 2],
        data: None,
        intervals: false,
    }
}

fn name(bridge: &str) -> Key {
    Datum::Interface(bridge.to_owned()).into()
}

fn pair(bridge: &str) -> Key {
    Key::Single(vec![Datum::Interface(bridge.to_owned()); 2])
}

fn rule() -> NewRule<'static> {
    let within = |field, set: &str| Match::In(vec![field], set.to_owned());
    NewRule {
        matches: vec![
            within(Field::InputInterface, BRIDGES),
            within(Field::OutputInterface, BRIDGES),
            Match::NotIn(
                vec![Field::InputInterface, Field::OutputInterface],
                SAME_BRIDGE.to_owned(),
            ),
        ],
        action: Some(Verdict::Drop.into()),
        ..NewRule::default()
    }
}

/// Adds the bridge, and what all bridges need.
pub(super) fn addition(
    nft: &mut Nft,
    transaction: Transaction,
    isolation: &Isolation,
) -> Result<Transaction> {
    let mut transaction = complete(nft, transaction)?;
    for other in of_reference(nft)? {
        if other.bridge != isolation.bridge {
            transaction = join(nft, transaction, &other)?;
        }
    }
    join(nft, transaction, isolation)
}

fn complete(nft: &mut Nft, mut transaction: Transaction) -> Result<Transaction> {
    let chain = nft.chain(TABLE, CHAIN)?;
    let is_hooked = chain.as_ref().is_some_and(|chain| chain.hook == Some(HOOK));
    if is_hooked && are(&nft.rules(TABLE, CHAIN)?, &[rule()]) {
        return Ok(match nft.is_dormant(TABLE)? {
            true => transaction.wake_table(TABLE),
            false => transaction,
        });
    }
    if chain.is_some() && !is_hooked {
        transaction = transaction.delete_chain(TABLE, CHAIN);
    }
    let set = |name, kind| NewSet {
        name,
        kind,
        comment: None,
    };
    let chain = NewChain {
        name: CHAIN,
        hook: Some(HOOK),
        comment: None,
    };
    Ok(transaction
        .add_table(TABLE, Some(TABLE_COMMENT), Existing::Keep)
        .add_set(TABLE, set(BRIDGES, names()), Existing::Keep)
        .add_set(TABLE, set(SAME_BRIDGE, pairs()), Existing::Keep)
        .add_chain(TABLE, chain, Existing::Keep)
        .flush_chain(TABLE, CHAIN)
        .add_rule(TABLE, CHAIN, &rule())
        .wake_table(TABLE))
}

/// An isolated bridge stays isolated, whatever others ask for.
fn join(nft: &mut Nft, mut transaction: Transaction, wanted: &Isolation) -> Result<Transaction> {
    let bridge = &wanted.bridge;
    let is_known = nft
        .element(TABLE, BRIDGES, &names(), name(bridge))?
        .is_some();
    let is_joined = nft
        .element(TABLE, SAME_BRIDGE, &pairs(), pair(bridge))?
        .is_some();
    let keep = |key| (NewElement::from(key), Existing::Keep);
    if !is_known {
        let (element, existing) = keep(name(bridge));
        transaction = transaction.add_element(TABLE, BRIDGES, &names(), element, existing);
    }
    match wanted.policy {
        Policy::SameBridge if !is_known && !is_joined => {
            let (element, existing) = keep(pair(bridge));
            Ok(transaction.add_element(TABLE, SAME_BRIDGE, &pairs(), element, existing))
        }
        Policy::Isolated if is_joined => {
            Ok(transaction.delete_element(TABLE, SAME_BRIDGE, &pairs(), pair(bridge)))
        }
        _ => Ok(transaction),
    }
}

/// The bridges that the reference plugin keeps apart in iptables-nft.
fn of_reference(nft: &mut Nft) -> Result<Vec<Isolation>> {
    let mut bridges: Vec<Isolation> = Vec::new();
    for family in Family::ALL {
        let table = table(family);
        let arriving = nft.rules(table, STAGE_2)?;
        if arriving.is_empty() {
            continue;
        }
        let within = nft.rules(table, STAGE_1)?;
        for rule in arriving {
            let [Match::Is(Test::OutputInterface(bridge))] = &rule.matches[..] else {
                continue;
            };
            if rule.action != Some(Verdict::Drop.into()) {
                continue;
            }
            let drops_within = [
                Match::Is(Test::InputInterface(bridge.clone())),
                Match::Is(Test::OutputInterface(bridge.clone())),
            ];
            let is_isolated = within.iter().any(|rule| {
                rule.matches == drops_within
                    && matches!(rule.action, Some(Action::Verdict(Verdict::Drop)))
            });
            let policy = match is_isolated {
                true => Policy::Isolated,
                false => Policy::SameBridge,
            };
            if !bridges.iter().any(|known| known.bridge == *bridge) {
                bridges.push(Isolation {
                    bridge: bridge.clone(),
                    policy,
                });
            }
        }
    }
    Ok(bridges)
}

/// CHECK: the bridge is kept apart as its policy asks for. More is no fault.
pub(crate) fn check(isolation: &Isolation) -> std::result::Result<(), Error> {
    let mut nft = Nft::open()?;
    let Isolation { bridge, policy } = isolation;
    let fault = |what: String| Mismatch::Bridge {
        bridge: bridge.clone(),
        policy: policy.name(),
        what,
    };
    if nft
        .element(TABLE, BRIDGES, &names(), name(bridge))?
        .is_none()
    {
        return Err(fault(format!("it is not in set {TABLE} {BRIDGES} of nftables")).into());
    }
    let is_joined = nft
        .element(TABLE, SAME_BRIDGE, &pairs(), pair(bridge))?
        .is_some();
    if *policy == Policy::Isolated && is_joined {
        return Err(fault(format!("it is in set {TABLE} {SAME_BRIDGE} of nftables")).into());
    }
    let chain = nft.chain(TABLE, CHAIN)?;
    if chain.is_none_or(|chain| chain.hook != Some(HOOK)) || nft.is_dormant(TABLE)? {
        return Err(Mismatch::NoHook(format!("{TABLE} {CHAIN}")).into());
    }
    match are(&nft.rules(TABLE, CHAIN)?, &[rule()]) {
        true => Ok(()),
        false => Err(fault(format!("chain {TABLE} {CHAIN} of nftables does not do it")).into()),
    }
}

/// Forgets bridges that are gone: another network may make one of the name.
pub(crate) fn garbage(nft: &mut Nft, mut transaction: Transaction) -> Result<Transaction> {
    let known = nft.elements(TABLE, BRIDGES, &names())?;
    if known.is_empty() {
        return Ok(transaction);
    }
    let links = Netlink::open()?.links()?;
    for element in known {
        let Key::Single(values) = &element.key else {
            continue;
        };
        let [Datum::Interface(bridge)] = &values[..] else {
            continue;
        };
        if links.iter().any(|link| link.name.as_str() == bridge) {
            continue;
        }
        if nft
            .element(TABLE, SAME_BRIDGE, &pairs(), pair(bridge))?
            .is_some()
        {
            transaction = transaction.delete_element(TABLE, SAME_BRIDGE, &pairs(), pair(bridge));
        }
        transaction = transaction.delete_element(TABLE, BRIDGES, &names(), element.key);
    }
    Ok(transaction)
}
