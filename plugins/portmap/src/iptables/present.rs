//! What iptables has already.

use attach::Identity;
use kernel::{
    Family,
    iptables::{self, Flavour, Iptables, Line},
    nft::{Action, Masked, Match, NewMark, Nft, Rule, Statement, Test, Verdict},
};

use super::{DNAT, MASQUERADE, OUTPUT, POSTROUTING, PREROUTING, SET_MARK, TABLE, script};
use crate::{error::Result, native::foreign::iptables_table, owner, settings::Settings};
use script::Shared;

/// Chains and rules of the nat table that matter to an ADD.
#[derive(Debug)]
pub(super) enum Present {
    /// Read over netlink, which costs the same whatever other containers have.
    Nft(Content),
    /// A listing.
    Listed(Vec<Line>),
}

/// What was found over netlink.
#[derive(Debug, Default)]
pub(super) struct Content {
    chains: Vec<&'static str>,
    rules: Vec<Rule>,
}

/// Looks at the family's table. A listing is needed only where the container has a chain already, and
/// of iptables-legacy.
pub(super) fn look(family: Family, program: &Iptables, owner: &Identity<'_>) -> Result<Present> {
    let is_legacy = is_legacy(family, program);
    if is_legacy && !iptables::has_legacy_table(family, TABLE) {
        return Ok(Present::Listed(Vec::new()));
    }
    if is_legacy || exists(family, owner)? {
        return Ok(Present::Listed(program.list(TABLE)?));
    }
    Ok(Present::Nft(content(family)?))
}

fn is_legacy(family: Family, program: &Iptables) -> bool {
    match program.flavour() {
        Some(flavour) => flavour == Flavour::Legacy,
        None => iptables::has_legacy_table(family, TABLE),
    }
}

/// Whether iptables-nft has the container's chain.
pub(crate) fn exists(family: Family, owner: &Identity<'_>) -> Result<bool> {
    let chain = owner::chain(owner);
    match Nft::open().and_then(|mut nft| nft.chain(iptables_table(family), &chain)) {
        Err(error) if Nft::is_unsupported(&error) => Ok(false),
        chain => Ok(chain?.is_some()),
    }
}

fn content(family: Family) -> kernel::Result<Content> {
    let table = iptables_table(family);
    let mut nft = Nft::open()?;
    let mut content = Content::default();
    for chain in [SET_MARK, MASQUERADE, DNAT] {
        content
            .chains
            .extend(nft.chain(table, chain)?.map(|_| chain));
    }
    for chain in [PREROUTING, OUTPUT, POSTROUTING, SET_MARK, MASQUERADE] {
        content.rules.extend(nft.rules(table, chain)?);
    }
    Ok(content)
}

impl Present {
    pub(super) fn has_chain(&self, chain: &str) -> bool {
        match self {
            Self::Nft(content) => content.chains.contains(&chain),
            Self::Listed(lines) => lines.iter().any(|line| line.declares(chain)),
        }
    }

    pub(super) fn has_rule(&self, shared: &Shared) -> bool {
        match self {
            Self::Nft(content) => content.rules.iter().any(|rule| is(rule, shared)),
            Self::Listed(lines) => lines.iter().any(|line| {
                line.is_rule_of(shared.chain) && script::is_rule(line.rule(), &shared.rule)
            }),
        }
    }

    /// What removes the jumps to the container's chain that are there.
    pub(super) fn jumps_to(&self, chain: &str) -> Vec<String> {
        match self {
            Self::Nft(_) => Vec::new(),
            Self::Listed(lines) => lines
                .iter()
                .filter(|line| line.is_rule_of(DNAT) && line.target() == Some(chain))
                .filter_map(Line::deletion)
                .collect(),
        }
    }
}

/// Whether a rule is the shared one: by where it leads, and by its mark if it has one.
fn is(rule: &Rule, shared: &Shared) -> bool {
    let leads = |rule: &Rule| match &rule.action {
        Some(Action::Verdict(Verdict::Jump(chain))) => chain == shared.target,
        Some(Action::Masquerade(_)) => shared.target == "MASQUERADE",
        _ => shared.target == "MARK" && mark_set(rule).is_some(),
    };
    let mark = mark_set(rule).or_else(|| mark_wanted(rule));
    rule.chain == shared.chain
        && leads(rule)
        && mark.is_none_or(|mark| {
            let text = format!("{:#x}/{:#x}", mark.value, mark.mask);
            shared.rule.split(' ').any(|word| word == text)
        })
}

fn mark_set(rule: &Rule) -> Option<Masked> {
    rule.statements
        .iter()
        .find_map(|statement| match statement {
            Statement::SetMark(NewMark::Value(mark)) => Some(*mark),
            _ => None,
        })
}

fn mark_wanted(rule: &Rule) -> Option<Masked> {
    rule.matches.iter().find_map(|condition| match condition {
        Match::Is(Test::Mark(mark)) => Some(*mark),
        _ => None,
    })
}

/// Whether a shared rule that the settings need is missing in iptables-nft. Where iptables-legacy is in
/// use none is: its rules are never there, and a flush of nftables takes nothing from it.
///
/// # Errors
/// What the kernel refuses.
pub(crate) fn shared_is_missing(settings: &Settings, family: Family) -> Result<bool> {
    if Iptables::new(family).is_ok_and(|program| is_legacy(family, &program)) {
        return Ok(false);
    }
    let present = match content(family) {
        Err(error) if Nft::is_unsupported(&error) => return Ok(false),
        content => Present::Nft(content?),
    };
    let shared = script::shared(settings);
    Ok(shared.iter().any(|rule| !present.has_rule(rule)))
}
