//! iptables, for users who ask for it by name: `iptables -S` to read a whole table, one
//! `iptables-restore --noflush` to change it. Nothing here is on the way of a pod that does not
//! ask for iptables.
//!
//! One restore is one transaction in iptables-nft and one pass under the xtables lock in
//! iptables-legacy, so a chain is never seen half written.

mod listing;
mod made;
mod program;

use std::fs;

pub use listing::{Line, words};
pub use made::{MADE, made_tables, remove_made_table};
pub use program::{Error, Flavour, Iptables};

use crate::Family;
use crate::nft::{Action, Rule, Table, Verdict, ruleset};

/// Where a jump goes among the rules of its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before all others.
    First,
    /// After all others.
    Last,
}

/// The rule that leads into a chain of ours.
#[derive(Clone, Copy, Debug)]
pub struct Jump<'a> {
    /// The chain that jumps: `POSTROUTING`.
    pub from: &'a str,
    /// Where the rule is put when it is missing. One that exists stays where it is.
    pub position: Position,
    /// The rule's comment.
    pub comment: Option<&'a str>,
}

/// Whether the old kernel interface of iptables-legacy has `table` in the calling thread's network
/// namespace. Reads `/proc`, runs nothing; the table appears there with its first use.
pub fn has_legacy_table(family: Family, table: &str) -> bool {
    let path = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    // Missing without the kernel module, and then there is no table either.
    fs::read_to_string(path).is_ok_and(|names| names.lines().any(|name| name == table))
}

/// Makes `chain` hold exactly `rules`, in this order, and `jump` lead to it exactly once.
///
/// Rules are written without `-A CHAIN`. They are compared word by word with what `iptables -S`
/// prints: write networks with their prefix length and options in its order, or the chain is
/// replaced every time. Returns whether anything had to change. Costs one process when nothing
/// did, two otherwise.
///
/// # Errors
/// iptables is not in PATH, or what it says.
pub fn ensure_chain(
    family: Family,
    table: &str,
    chain: &str,
    rules: &[String],
    jump: &Jump<'_>,
) -> Result<bool, Error> {
    let iptables = Iptables::new(family)?;
    let changes = ensure_script(&iptables.list(table)?, chain, rules, jump);
    iptables.restore(table, &changes)?;
    Ok(!changes.is_empty())
}

/// Removes `chain`: first every jump to it from its table, then its rules and itself. Returns
/// whether there was anything. Costs one process when there was nothing, two otherwise.
///
/// # Errors
/// iptables is not in PATH, or what it says.
pub fn remove_chain(family: Family, table: &str, chain: &str) -> Result<bool, Error> {
    Iptables::new(family)?.remove_chain(table, chain)
}

/// As [`remove_chain`], whichever flavour holds the chain: netlink for iptables-nft, and a program only
/// where iptables-legacy has the table.
///
/// # Errors
/// What the kernel says; iptables-legacy is not in PATH, or what it says.
pub fn remove_chain_of_any_flavour(
    family: Family,
    table: &str,
    chain: &str,
) -> Result<bool, Error> {
    let mut was_there = remove_from_nftables(family, table, chain)?;
    if has_legacy_table(family, table) {
        let legacy = Iptables::legacy(family)?;
        let changes = remove_script(&legacy.list(table)?, chain);
        legacy.restore(table, &changes)?;
        was_there |= !changes.is_empty();
    }
    Ok(was_there)
}

fn remove_from_nftables(family: Family, table: &str, chain: &str) -> crate::Result<bool> {
    let table = Table {
        family: family.into(),
        name: table,
    };
    ruleset::change_what_is_there(|nft, mut transaction| {
        if nft.chain(table, chain)?.is_none() {
            return Ok(transaction);
        }
        for rule in nft.table_rules(table)? {
            if leads_to(&rule, chain) {
                transaction = transaction.delete_rule(table, &rule.chain, rule.handle);
            }
        }
        let flushed = transaction.flush_chain(table, chain);
        Ok(flushed.delete_chain(table, chain))
    })
}

fn leads_to(rule: &Rule, chain: &str) -> bool {
    matches!(
        &rule.action,
        Some(Action::Verdict(Verdict::Jump(target) | Verdict::Goto(target))) if target == chain
    )
}

fn ensure_script(lines: &[Line], chain: &str, rules: &[String], jump: &Jump<'_>) -> Vec<String> {
    let exists = lines.iter().any(|line| line.declares(chain));
    let present = lines
        .iter()
        .filter(|line| line.is_rule_of(chain))
        .map(Line::rule);
    let mut script = Vec::new();
    if !exists || !present.eq(rules.iter().map(|rule| words(rule))) {
        script.push(format!(":{chain} - [0:0]"));
        script.extend(rules.iter().map(|rule| format!("-A {chain} {rule}")));
    }
    let comment = jump
        .comment
        .map_or_else(String::new, |text| comment_match(text) + " ");
    let rule = format!("{comment}-j {chain}");
    let wanted = words(&rule);
    let jumps = lines
        .iter()
        .filter(|line| line.is_rule_of(jump.from) && line.rule() == wanted);
    match jumps.count() {
        0 => script.push(match jump.position {
            Position::First => format!("-I {} 1 {rule}", jump.from),
            Position::Last => format!("-A {} {rule}", jump.from),
        }),
        count => script.extend((1..count).map(|_| format!("-D {} {rule}", jump.from))),
    }
    script
}

fn remove_script(lines: &[Line], chain: &str) -> Vec<String> {
    let mut script: Vec<String> = lines
        .iter()
        .filter(|line| line.target() == Some(chain))
        .filter_map(Line::deletion)
        .collect();
    if lines.iter().any(|line| line.declares(chain)) {
        script.extend([format!("-F {chain}"), format!("-X {chain}")]);
    }
    script
}

/// The match that carries a comment, quoted as `iptables-restore` reads it.
pub fn comment_match(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', r#"\""#);
    format!("-m comment --comment \"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUMP: Jump<'_> = Jump {
        from: "POSTROUTING",
        position: Position::First,
        comment: Some("flanneld masq"),
    };

    fn listing(text: &str) -> Vec<Line> {
        text.lines().map(Line::parse).collect()
    }

    fn rules() -> Vec<String> {
        vec![
            r#"-s 10.244.0.0/16 -m comment --comment "flanneld masq" -j RETURN"#.into(),
            "! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE".into(),
        ]
    }

    const COMPLETE: &str = r#"-P POSTROUTING ACCEPT
-N FLANNEL-POSTRTG
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE"#;

    #[test]
    fn complete_chain_needs_nothing() {
        let script = ensure_script(&listing(COMPLETE), "FLANNEL-POSTRTG", &rules(), &JUMP);
        assert_eq!(script, Vec::<String>::new());
    }

    #[test]
    fn missing_jump_alone_is_inserted() {
        let lines: String = COMPLETE
            .lines()
            .filter(|line| !line.contains("-A POST"))
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(
            ensure_script(&listing(&lines), "FLANNEL-POSTRTG", &rules(), &JUMP),
            [r#"-I POSTROUTING 1 -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG"#]
        );
    }

    #[test]
    fn doubled_jump_is_deleted_once() {
        let doubled = format!("{COMPLETE}\n{}", COMPLETE.lines().nth(2).unwrap());
        assert_eq!(
            ensure_script(&listing(&doubled), "FLANNEL-POSTRTG", &rules(), &JUMP),
            [r#"-D POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG"#]
        );
    }

    #[test]
    fn any_difference_replaces_the_chain() {
        let swapped: Vec<String> = rules().into_iter().rev().collect();
        for other in [&swapped[..], &rules()[..1], &[]] {
            let script = ensure_script(&listing(COMPLETE), "FLANNEL-POSTRTG", other, &JUMP);
            assert_eq!(script[0], ":FLANNEL-POSTRTG - [0:0]");
            assert_eq!(script.len(), 1 + other.len());
        }
    }

    #[test]
    fn removal_takes_jumps_first() {
        assert_eq!(
            remove_script(&listing(COMPLETE), "FLANNEL-POSTRTG"),
            [
                r#"-D POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG"#,
                "-F FLANNEL-POSTRTG",
                "-X FLANNEL-POSTRTG",
            ]
        );
        assert_eq!(
            remove_script(&listing(COMPLETE), "OTHER"),
            Vec::<String>::new()
        );
    }
}
