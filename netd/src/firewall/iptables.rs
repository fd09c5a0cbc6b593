//! The rules in flannel's chains of iptables: `FLANNEL-POSTRTG` and `FLANNEL-FWD`.

use backend::Family;
use kernel::iptables::{self, Jump, Position, ensure_chain, remove_chain_of_any_flavour};

use super::rules::{Purpose, Rule, RuleSet, Side, Target};

/// A chain of flannel's.
#[derive(Debug, PartialEq, Eq)]
struct Chain {
    table: &'static str,
    name: &'static str,
    from: &'static str,
    comment: &'static str,
}

const MASQUERADE: Chain = Chain {
    table: "nat",
    name: "FLANNEL-POSTRTG",
    from: "POSTROUTING",
    comment: "flanneld masq",
};

const FORWARD: Chain = Chain {
    table: "filter",
    name: "FLANNEL-FWD",
    from: "FORWARD",
    comment: "flanneld forward",
};

fn chain(purpose: Purpose) -> &'static Chain {
    match purpose {
        Purpose::Masquerade => &MASQUERADE,
        Purpose::Forward => &FORWARD,
    }
}

/// Makes the chain hold these rules and the packets come to it; says whether anything had to change.
pub(super) fn ensure(set: &RuleSet) -> Result<bool, iptables::Error> {
    let chain = chain(set.purpose);
    let jump = Jump {
        from: chain.from,
        position: Position::Last,
        comment: Some(chain.comment),
    };
    let rules = rules(set);
    ensure_chain(set.family.into(), chain.table, chain.name, &rules, &jump)
}

/// Removes the chains of both families; says whether there was one.
pub(super) fn remove() -> Result<bool, iptables::Error> {
    let mut was_there = false;
    for family in Family::ALL {
        for chain in [&MASQUERADE, &FORWARD] {
            was_there |= remove_chain_of_any_flavour(family.into(), chain.table, chain.name)?;
        }
    }
    Ok(was_there)
}

/// As `iptables -S` prints them.
fn rules(set: &RuleSet) -> Vec<String> {
    let comment = iptables::comment_match(chain(set.purpose).comment);
    let words = |rule: &Rule| {
        let mut words = Vec::new();
        words.extend(
            rule.mark
                .map(|bits| format!("-m mark --mark {bits:#x}/{bits:#x}")),
        );
        words.extend(rule.source.map(|side| condition("-s", side)));
        words.extend(rule.destination.map(|side| condition("-d", side)));
        words.extend([comment.clone(), format!("-j {}", target(rule.target))]);
        words.join(" ")
    };
    set.rules.iter().map(words).collect()
}

fn condition(option: &str, side: Side) -> String {
    match side {
        Side::In(network) => format!("{option} {network}"),
        Side::NotIn(network) => format!("! {option} {network}"),
    }
}

fn target(target: Target) -> &'static str {
    match target {
        Target::Return => "RETURN",
        Target::Accept => "ACCEPT",
        Target::Masquerade { random_fully: true } => "MASQUERADE --random-fully",
        Target::Masquerade {
            random_fully: false,
        } => "MASQUERADE",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Features, rules::rule_sets};
    use super::*;
    use cluster::{NetworkConfig, Subnets};

    fn node() -> (NetworkConfig, Subnets) {
        let config = br#"{"Network":"10.100.0.0/16","EnableIPv6":true,
            "IPv6Network":"fd00:100::/48","Backend":{"Type":"vxlan"}}"#;
        let own = Subnets::parse_key("10.100.86.0-24&fd00:100:0:26::-64").expect("key");
        (NetworkConfig::parse(config).expect("config"), own)
    }

    fn rendered(features: Features) -> Vec<Vec<String>> {
        let (config, own) = node();
        rule_sets(&config, &own, features)
            .iter()
            .map(rules)
            .collect()
    }

    #[test]
    fn rules_are_flannels() {
        let sets = rendered(Features {
            masquerade: true,
            forward: true,
            random_fully: true,
        });
        let golden = |n: &str, p: &str, m: &str| {
            let c = r#"-m comment --comment "flanneld masq""#;
            vec![
                format!("-m mark --mark 0x4000/0x4000 {c} -j RETURN"),
                format!("-s {p} -d {n} {c} -j RETURN"),
                format!("-s {n} -d {p} {c} -j RETURN"),
                format!("! -s {n} -d {p} {c} -j RETURN"),
                format!("-s {n} ! -d {m} {c} -j MASQUERADE --random-fully"),
                format!("! -s {n} -d {n} {c} -j MASQUERADE --random-fully"),
            ]
        };
        assert_eq!(sets.len(), 4);
        let v4 = golden("10.100.0.0/16", "10.100.86.0/24", "224.0.0.0/4");
        let v6 = golden("fd00:100::/48", "fd00:100:0:26::/64", "ff00::/8");
        assert_eq!((&sets[0], &sets[2]), (&v4, &v6));
        let forward = r#"-m comment --comment "flanneld forward" -j ACCEPT"#;
        let both = [
            format!("-s 10.100.0.0/16 {forward}"),
            format!("-d 10.100.0.0/16 {forward}"),
        ];
        assert_eq!(sets[1], both);
    }

    #[test]
    fn only_what_is_asked_for() {
        let features = Features {
            masquerade: false,
            forward: false,
            random_fully: false,
        };
        assert!(rendered(features).is_empty());
        let sets = rendered(Features {
            masquerade: true,
            ..features
        });
        assert_eq!(sets.iter().map(Vec::len).collect::<Vec<_>>(), [6, 6]);
        assert!(!sets.concat().concat().contains("random"));
    }
}
