//! The rules in flannel's tables of nftables, `flannel-ipv4` and `flannel-ipv6`, over netlink: no program
//! is run. They say what those of iptables do; flannel's own differ in the mark, which it compares as a
//! whole, and in the fourth rule, which keeps the last from ever being reached.

use backend::Family;
use kernel::nft::{
    Action, ChainKind, Existing, Hook, Masked, Match, NatFlags, NewChain, NewRule, Nft, Point,
    Policy, Priority, Table, TableFamily, Test, Transaction, Verdict, ruleset,
};

use super::rules::{Purpose, Rule, RuleSet, Side, Target};

fn table(family: Family) -> Table<'static> {
    match family {
        Family::V4 => Table {
            family: TableFamily::Ip,
            name: "flannel-ipv4",
        },
        Family::V6 => Table {
            family: TableFamily::Ip6,
            name: "flannel-ipv6",
        },
    }
}

fn chain(set: &RuleSet) -> NewChain<'static> {
    let family = table(set.family).family;
    let (name, comment, kind, point, priority) = match set.purpose {
        Purpose::Masquerade => (
            "postrtg",
            "chain to manage traffic masquerading by flannel",
            ChainKind::Nat,
            Point::Postrouting,
            Priority::srcnat(family),
        ),
        Purpose::Forward => (
            "forward",
            "chain to accept flannel traffic",
            ChainKind::Filter,
            Point::Forward,
            Priority::filter(family),
        ),
    };
    let policy = Policy::Accept;
    NewChain {
        name,
        hook: Some(Hook {
            kind,
            point,
            priority,
            policy,
        }),
        comment: Some(comment),
    }
}

/// Makes the chains hold these rules and see packets, in one transaction; says whether anything had to
/// change.
pub(super) fn ensure(sets: &[RuleSet]) -> kernel::Result<bool> {
    ruleset::change(&mut Nft::open()?, |nft, transaction| {
        sets.iter().try_fold(transaction, |transaction, set| {
            complete(nft, transaction, set)
        })
    })
}

/// Removes the tables of both families; says whether there was one.
pub(super) fn remove() -> kernel::Result<bool> {
    ruleset::change_what_is_there(|nft, mut transaction| {
        for table in Family::ALL.map(table) {
            if nft.has_table(table)? {
                transaction = transaction.delete_table(table);
            }
        }
        Ok(transaction)
    })
}

fn complete(nft: &mut Nft, transaction: Transaction, set: &RuleSet) -> kernel::Result<Transaction> {
    let (table, wanted, rules) = (table(set.family), chain(set), rules(set));
    let transaction = match nft.is_dormant(table)? {
        true => transaction.wake_table(table),
        false => transaction,
    };
    let present = nft.chain(table, wanted.name)?;
    let is_hooked = present.as_ref().map(|chain| chain.hook == wanted.hook);
    if is_hooked == Some(true) && says(nft, table, wanted.name, &rules)? {
        return Ok(transaction);
    }
    let name = wanted.name;
    let transaction = match is_hooked {
        Some(true) => transaction.flush_chain(table, name),
        Some(false) => transaction
            .flush_chain(table, name)
            .delete_chain(table, name)
            .add_chain(table, wanted, Existing::Refuse),
        None => transaction
            .add_table(
                table,
                Some(&format!("rules for {}", table.name)),
                Existing::Keep,
            )
            .add_chain(table, wanted, Existing::Refuse),
    };
    let add = |transaction: Transaction, rule| transaction.add_rule(table, name, rule);
    Ok(rules.iter().fold(transaction, add))
}

fn says(
    nft: &mut Nft,
    table: Table<'_>,
    chain: &str,
    wanted: &[NewRule<'_>],
) -> kernel::Result<bool> {
    let present = nft.rules(table, chain)?;
    let pairs = present.iter().zip(wanted);
    let mut same = pairs.map(|(present, wanted)| {
        present.matches == wanted.matches
            && present.statements == wanted.statements
            && present.action == wanted.action
    });
    Ok(present.len() == wanted.len() && same.all(|same| same))
}

fn rules(set: &RuleSet) -> Vec<NewRule<'static>> {
    set.rules.iter().map(rule).collect()
}

fn rule(rule: &Rule) -> NewRule<'static> {
    let mark = rule
        .mark
        .map(|bits| Match::Is(Test::Mark(Masked::bits(bits))));
    let source = rule.source.map(|side| condition(Test::Source, side));
    let destination = rule
        .destination
        .map(|side| condition(Test::Destination, side));
    let action = match rule.target {
        Target::Return => Verdict::Return.into(),
        Target::Accept => Verdict::Accept.into(),
        Target::Masquerade { random_fully } => Action::Masquerade(NatFlags {
            fully_random: random_fully,
            ..NatFlags::default()
        }),
    };
    NewRule {
        matches: [mark, source, destination].into_iter().flatten().collect(),
        action: Some(action),
        ..NewRule::default()
    }
}

fn condition(test: impl Fn(ipnetwork::IpNetwork) -> Test, side: Side) -> Match {
    match side {
        Side::In(network) => Match::Is(test(network)),
        Side::NotIn(network) => Match::Not(test(network)),
    }
}
