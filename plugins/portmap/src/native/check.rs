//! CHECK in our table: what is missing, what stands in the way, what sees no packets.

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::nft::{Action, Match, Nft, Position, Rule, Translation, Verdict};

use super::{
    claims,
    class::{self, Class, Place},
    items::{Item, items},
    siblings, source,
    table::{BASE_CHAINS, Placed, Scaffold, TABLE, claimed},
};
use crate::{
    error::{Deviation, Result},
    settings::Settings,
};

/// Whether the attachment has any element here.
pub(crate) fn has_any(
    nft: &mut Nft,
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
) -> Result<bool> {
    for item in items(settings, targets) {
        let Place { set, types } = &item.place;
        let element = nft.element(TABLE, set, types, item.key)?;
        let comment = element.and_then(|element| element.comment);
        if comment.is_some_and(|comment| comment.starts_with(&owner.hash_pair())) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether everything is there, and sees packets.
///
/// # Errors
/// The first [`Deviation`]; what the kernel refuses.
pub(crate) fn check(
    nft: &mut Nft,
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
) -> Result<()> {
    let scaffold = Scaffold::of(settings, targets)?;
    hooks(nft)?;
    rules(&nft.table_rules(TABLE)?, &scaffold)?;
    contents(nft, &scaffold)?;
    for item in siblings::due(nft, owner, &items(settings, targets))? {
        element(nft, owner, &item)?;
    }
    Ok(())
}

fn hooks(nft: &mut Nft) -> Result<()> {
    if !nft.has_table(TABLE)? {
        return Err(Deviation::NoTable(format!("table {TABLE}")).into());
    }
    if nft.is_dormant(TABLE)? {
        return Err(Deviation::Inactive(format!("table {TABLE} is dormant")).into());
    }
    for (name, hook) in BASE_CHAINS {
        let chain = nft.chain(TABLE, name)?;
        if chain.is_none_or(|chain| chain.hook != Some(hook)) {
            let what = format!(
                "chain {TABLE} {name} is not at its hook ({:?} of {:?}, priority {})",
                hook.point, hook.kind, hook.priority.0
            );
            return Err(Deviation::Inactive(what.to_lowercase()).into());
        }
    }
    Ok(())
}

fn rules(present: &[Rule], scaffold: &Scaffold) -> Result<(), Deviation> {
    if let Some(placed) = scaffold.missing(present).next() {
        return Err(Deviation::Incomplete(format!(
            "chain {TABLE} {} lacks its rule {:?}",
            placed.chain,
            describe(placed)
        )));
    }
    let foreign = present
        .iter()
        .find(|rule| scaffold.chains_of_ours(&rule.chain) && !is_ours(rule, scaffold));
    if let Some(rule) = foreign {
        return Err(Deviation::Incomplete(format!(
            "chain {TABLE} {} has a rule of somebody else's (handle {})",
            rule.chain, rule.handle
        )));
    }
    let is_behind = |placed: &&Placed| {
        let first = present.iter().find(|rule| rule.chain == placed.chain);
        placed.position == Position::First && first.is_some_and(|rule| !placed.is(rule))
    };
    match scaffold.rules.iter().find(is_behind) {
        Some(placed) => Err(Deviation::Incomplete(format!(
            "in chain {TABLE} {} the rule {:?} is not the first",
            placed.chain,
            describe(placed)
        ))),
        None => Ok(()),
    }
}

/// What other networks and subnets need is ours too.
fn is_ours(rule: &Rule, scaffold: &Scaffold) -> bool {
    let is_of_others = match &rule.action {
        Some(Action::Verdict(Verdict::Jump(chain))) => Class::of_chain(chain).is_some(),
        Some(Action::Masquerade(_)) => rule
            .matches
            .iter()
            .any(|condition| matches!(condition, Match::In(_, set) if source::is_of_subnet(set))),
        _ => false,
    };
    is_of_others || scaffold.rules.iter().any(|placed| placed.is(rule))
}

/// A rule by what it does, and by the set that it looks into.
fn describe(placed: &Placed) -> String {
    let sets = placed
        .rule
        .matches
        .iter()
        .filter_map(|condition| match condition {
            Match::In(_, set) | Match::NotIn(_, set) => Some(format!("@{set} ")),
            _ => None,
        });
    let action = match &placed.rule.action {
        Some(Action::Dnat(Translation::Of { map, .. }, _)) => format!("dnat map @{map}"),
        Some(Action::Verdict(Verdict::Jump(chain))) => format!("jump {chain}"),
        Some(Action::Verdict(Verdict::Drop)) => "drop".to_owned(),
        Some(Action::Verdict(_)) => "return".to_owned(),
        _ => "masquerade".to_owned(),
    };
    sets.chain([action]).collect()
}

/// The sets of conditions hold their values.
fn contents(nft: &mut Nft, scaffold: &Scaffold) -> Result<()> {
    for shelf in &scaffold.shelves {
        let Place { set, types } = &shelf.place;
        for key in &shelf.keys {
            if nft.element(TABLE, set, types, key.clone())?.is_none() {
                let what = format!("set {TABLE} {set} lacks {key}");
                return Err(Deviation::Incomplete(what).into());
            }
        }
    }
    Ok(())
}

fn element(nft: &mut Nft, owner: &Identity<'_>, item: &Item) -> Result<()> {
    let Place { set, types } = &item.place;
    let key = &item.key;
    let found = nft.element(TABLE, set, types, key.clone())?;
    let is_own = |comment: &String| comment.starts_with(&owner.hash_pair());
    let why = match found {
        None => format!("{TABLE} {set} has no element {key}"),
        Some(element) if !element.comment.as_ref().is_some_and(is_own) => {
            format!(
                "{key} of {TABLE} {set} belongs to {}",
                claims::claimant(&element)
            )
        }
        Some(element) if element.data != item.data => {
            format!("{key} of {TABLE} {set} leads elsewhere")
        }
        Some(_) => return claim(nft, item),
    };
    Err(deviation(item, why).into())
}

/// A port of one address is marked as claimed.
fn claim(nft: &mut Nft, item: &Item) -> Result<()> {
    let Some(mapping) = item
        .mapping
        .filter(|mapping| mapping.on.address().is_some())
    else {
        return Ok(());
    };
    let Place { set, types } = claimed(item.family());
    let port = class::port_of(&mapping);
    if nft.element(TABLE, &set, &types, port)?.is_none() {
        return Err(deviation(item, format!("{TABLE} {set} lacks its port")).into());
    }
    Ok(())
}

fn deviation(item: &Item, why: String) -> Deviation {
    match item.mapping {
        Some(mapping) => Deviation::Mapping {
            mapping,
            family: item.family(),
            why,
        },
        None => Deviation::Incomplete(why),
    }
}
