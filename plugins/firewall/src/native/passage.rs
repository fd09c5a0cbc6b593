//! What lets packets of all pods of a family through, in iptables-nft's table.
//!
//! ```text
//! table ip filter {
//!     set podwire-pods {
//!         type ipv4_addr
//!         elements = { 10.22.0.5 comment "<owner>" }
//!     }
//!     chain FORWARD {
//!         type filter hook forward priority filter; policy drop;
//!         jump CNI-PODWIRE
//!     }
//!     chain CNI-PODWIRE {
//!         jump CNI-ADMIN
//!         ip saddr != @podwire-pods ip daddr != @podwire-pods return
//!         ct state established,related accept
//!         ip saddr != @podwire-pods return
//!         accept
//!     }
//! }
//! ```
//!
//! iptables-nft has no word for a set and leaves that condition out where it prints a rule. So the rules with
//! sets only return: somebody who saves the table with `iptables-save` and restores it gets a chain that
//! lets nothing through, not one that lets everything through, and CHECK tells of it. Comments and states
//! are written as iptables' own, because a `ct` of nftables makes it refuse the whole table.

use kernel::{
    Family, Result,
    iptables::MADE,
    nft::{
        Chain, ChainKind, Existing, Extension, Field, Hook, KeyType, Match, NewChain, NewRule,
        NewSet, Nft, Point, Policy, Position, Priority, Rule, SetType, Statement, Table,
        TableFamily, Transaction, Verdict,
    },
};

use super::{are, says};
use crate::{
    error::{Error, Mismatch},
    reference::{ADMIN_COMMENT, ANSWER, FORWARD, STAGE_1, table},
};

/// Our chain. Scripts that clean up by name look for `CNI-`.
pub(crate) const CHAIN: &str = "CNI-PODWIRE";
/// The addresses of all pods of the family.
pub(crate) const SET: &str = "podwire-pods";
const SET_COMMENT: &str = "podwire: addresses whose packets are let through";
/// As iptables-nft makes it.
const HOOK: Hook = Hook {
    kind: ChainKind::Filter,
    point: Point::Forward,
    priority: Priority::filter(TableFamily::Ip),
    policy: Policy::Accept,
};

/// Whether a chain or a set of this name is one that lets pods' packets through, which nobody else has.
pub fn is_of_passage(name: &str) -> bool {
    [CHAIN, SET].contains(&name)
}

/// What the set of a family holds.
pub(super) fn set_type(family: Family) -> SetType {
    KeyType::Address(family).into()
}

/// What is there.
struct Seen {
    /// `None` when FORWARD does not exist; otherwise whether it sees forwarded packets.
    is_hooked: Option<bool>,
    forward: Vec<Rule>,
    own: Vec<Rule>,
}

impl Seen {
    fn read(nft: &mut Nft, table: Table<'_>) -> Result<Self> {
        let forward = nft.chain(table, FORWARD)?;
        let sees = |hook: Hook| (hook.kind, hook.point) == (HOOK.kind, HOOK.point);
        Ok(Self {
            is_hooked: forward.map(|chain| chain.hook.is_some_and(sees)),
            forward: nft.rules(table, FORWARD)?,
            own: nft.rules(table, CHAIN)?,
        })
    }

    fn jump(&self) -> Option<usize> {
        self.forward.iter().position(|rule| leads_to(rule, CHAIN))
    }

    /// The last rule that the jump must stand behind: what keeps bridges apart comes first.
    fn stage_1(&self) -> Option<usize> {
        self.forward
            .iter()
            .rposition(|rule| leads_to(rule, STAGE_1))
    }

    fn jump_is_behind_stage_1(&self) -> bool {
        self.jump()
            .is_some_and(|jump| self.stage_1().is_none_or(|stage_1| stage_1 < jump))
    }

    /// The administrators' chains that our chain leads to: each network may have its own.
    fn admin_chains(&self) -> Vec<&str> {
        let leading = self.own.iter().map_while(admin_chain);
        leading.collect()
    }

    /// Whether a chain is there because we made it, and nobody else has a rule in it or leads to it.
    fn is_unneeded(&self, chain: &Chain) -> bool {
        let own = match chain.name.as_str() {
            FORWARD => self
                .forward
                .iter()
                .filter(|rule| leads_to(rule, CHAIN))
                .count(),
            name => self
                .admin_chains()
                .iter()
                .filter(|admin| **admin == name)
                .count(),
        };
        chain.comment.as_deref() == Some(MADE)
            && chain.hook == (chain.name == FORWARD).then_some(HOOK)
            && chain.references as usize == own
    }

    fn lets_pods_through(&self, family: Family) -> bool {
        are(&self.own[self.admin_chains().len()..], &rules(family))
    }
}

fn leads_to(rule: &Rule, chain: &str) -> bool {
    says(rule, &jump(chain, ""))
}

fn admin_chain(rule: &Rule) -> Option<&str> {
    match &rule.action {
        Some(kernel::nft::Action::Verdict(Verdict::Jump(chain))) if rule.matches.is_empty() => {
            Some(chain)
        }
        _ => None,
    }
}

/// Adds what is missing. What is there of others stays where it is, and FORWARD's policy what it is.
pub(super) fn complete(
    nft: &mut Nft,
    mut transaction: Transaction,
    family: Family,
    admin_chain: &str,
) -> Result<Transaction> {
    let table = table(family);
    let seen = Seen::read(nft, table)?;
    if !seen.lets_pods_through(family) || !seen.admin_chains().contains(&admin_chain) {
        transaction = write_chain(nft, transaction, family, admin_chain, &seen)?;
    }
    if seen.is_hooked.is_none() {
        let chain = NewChain {
            name: FORWARD,
            hook: Some(HOOK),
            comment: Some(MADE),
        };
        transaction = transaction.add_chain(table, chain, Existing::Refuse);
    }
    if !seen.jump_is_behind_stage_1() {
        transaction = write_jump(transaction, table, &seen);
    }
    Ok(transaction)
}

/// Whether somebody flushed what all pods need, or nobody needed it yet.
pub(super) fn is_missing(nft: &mut Nft, family: Family) -> Result<bool> {
    let seen = Seen::read(nft, table(family))?;
    Ok(seen.jump().is_none() || !seen.lets_pods_through(family))
}

/// Whether there is anything of a family that [`removal`] removes.
pub(super) fn is_there(nft: &mut Nft, family: Family) -> Result<bool> {
    Ok(!removal(nft, Transaction::new(), family)?.is_empty())
}

/// Deletes jump, chain and set; and of FORWARD, the administrators' chains and the table what was made
/// because it was missing, unless somebody uses it by now.
pub(super) fn removal(
    nft: &mut Nft,
    mut transaction: Transaction,
    family: Family,
) -> Result<Transaction> {
    let table = table(family);
    let Some(content) = nft.table(table)? else {
        return Ok(transaction);
    };
    let seen = Seen::read(nft, table)?;
    let chains = nft.chains(table)?;
    let mut leaving: Vec<&str> = chains
        .iter()
        .filter(|chain| chain.name == CHAIN)
        .map(|chain| chain.name.as_str())
        .collect();
    let unused = chains.iter().filter(|chain| seen.is_unneeded(chain));
    leaving.extend(unused.map(|chain| chain.name.as_str()));
    let has_set = nft.sets(table)?.iter().any(|set| set.name == SET);
    let count = leaving.len() + usize::from(has_set);
    if content.comment.as_deref() == Some(MADE) && content.objects as usize == count {
        return Ok(transaction.delete_table(table));
    }
    for rule in seen.forward.iter().filter(|rule| leads_to(rule, CHAIN)) {
        transaction = transaction.delete_rule(table, FORWARD, rule.handle);
    }
    for name in leaving {
        transaction = transaction.delete_chain(table, name);
    }
    Ok(match has_set {
        true => transaction.delete_set(table, SET),
        false => transaction,
    })
}

/// Adds the set alone, for elements that come before the rules.
pub(super) fn add_set(transaction: Transaction, family: Family) -> Transaction {
    let set = NewSet {
        name: SET,
        kind: set_type(family),
        comment: Some(SET_COMMENT),
    };
    let table = table(family);
    transaction
        .add_table(table, Some(MADE), Existing::Keep)
        .add_set(table, set, Existing::Keep)
}

fn write_chain(
    nft: &mut Nft,
    transaction: Transaction,
    family: Family,
    admin_chain: &str,
    seen: &Seen,
) -> Result<Transaction> {
    let (table, chain) = (table(family), |name, comment| NewChain {
        name,
        hook: None,
        comment,
    });
    let mut transaction = add_set(transaction, family)
        .add_chain(table, chain(CHAIN, None), Existing::Keep)
        .flush_chain(table, CHAIN);
    let mut admin_chains = seen.admin_chains();
    if !admin_chains.contains(&admin_chain) {
        admin_chains.push(admin_chain);
    }
    for name in admin_chains {
        if nft.chain(table, name)?.is_none() {
            transaction = transaction.add_chain(table, chain(name, Some(MADE)), Existing::Refuse);
        }
        transaction = transaction.add_rule(table, CHAIN, &jump(name, ADMIN_COMMENT));
    }
    let rules = rules(family);
    Ok(rules.iter().fold(transaction, |transaction, rule| {
        transaction.add_rule(table, CHAIN, rule)
    }))
}

/// First, as the reference plugin has it, but behind what keeps bridges apart.
fn write_jump(mut transaction: Transaction, table: Table<'_>, seen: &Seen) -> Transaction {
    for rule in seen.forward.iter().filter(|rule| leads_to(rule, CHAIN)) {
        transaction = transaction.delete_rule(table, FORWARD, rule.handle);
    }
    let position = match seen.stage_1() {
        Some(place) => Position::After(seen.forward[place].handle),
        None => Position::First,
    };
    let jump = jump(CHAIN, "podwire: packets of pods");
    transaction.add_rule_at(position, table, FORWARD, &jump)
}

fn jump(chain: &str, comment: &str) -> NewRule<'static> {
    rule(Vec::new(), Verdict::Jump(chain.to_owned()), comment)
}

/// Our chain behind the administrators' chains.
fn rules(family: Family) -> [NewRule<'static>; 4] {
    let not_from = Match::NotIn(vec![Field::Source(family)], SET.to_owned());
    let not_to = Match::NotIn(vec![Field::Destination(family)], SET.to_owned());
    let answer = Match::Extension(Extension::ConntrackState(ANSWER));
    [
        rule(
            vec![not_from.clone(), not_to],
            Verdict::Return,
            "neither from nor to one of nftables' set podwire-pods",
        ),
        rule(
            vec![answer],
            Verdict::Accept,
            "of connections that are known",
        ),
        rule(
            vec![not_from],
            Verdict::Return,
            "to one of nftables' set podwire-pods",
        ),
        rule(
            Vec::new(),
            Verdict::Accept,
            "from one of nftables' set podwire-pods",
        ),
    ]
}

fn rule(mut matches: Vec<Match>, verdict: Verdict, comment: &str) -> NewRule<'static> {
    matches.push(Match::Extension(Extension::Comment(comment.to_owned())));
    NewRule {
        matches,
        statements: vec![Statement::Counter],
        action: Some(verdict.into()),
        ..NewRule::default()
    }
}

/// CHECK: packets come to the chain, and it does its work.
pub(super) fn check(
    nft: &mut Nft,
    family: Family,
    admin_chain: &str,
) -> std::result::Result<(), Error> {
    let table = table(family);
    let seen = Seen::read(nft, table)?;
    let named = |chain: &str| format!("{table} {chain}");
    let no_jump = |from: &str, to: &str| Mismatch::NoJump {
        from: named(from),
        to: to.to_owned(),
    };
    if seen.is_hooked != Some(true) || nft.is_dormant(table)? {
        return Err(Mismatch::NoHook(named(FORWARD)).into());
    }
    let Some(place) = seen.jump() else {
        return Err(no_jump(FORWARD, CHAIN).into());
    };
    if !seen.jump_is_behind_stage_1() {
        return Err(Mismatch::Order {
            chain: named(FORWARD),
            earlier: format!("-j {CHAIN}"),
            later: format!("-j {STAGE_1}"),
        }
        .into());
    }
    let drops_all = rule(Vec::new(), Verdict::Drop, "");
    if seen.forward[..place]
        .iter()
        .any(|rule| says(rule, &drops_all))
    {
        return Err(Mismatch::Unreached {
            chain: named(FORWARD),
            rule: format!("-j {CHAIN}"),
        }
        .into());
    }
    if !seen.admin_chains().contains(&admin_chain) {
        return Err(no_jump(CHAIN, admin_chain).into());
    }
    match seen.lets_pods_through(family) {
        true => Ok(()),
        false => Err(Mismatch::Chain(named(CHAIN)).into()),
    }
}
