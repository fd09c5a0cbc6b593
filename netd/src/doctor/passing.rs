//! Whether a base chain lets pods' packets pass: its rules, and those of the chains that it jumps
//! to, in the words of nftables. Pure.

use std::collections::BTreeSet;

use cluster::NetworkConfig;
use ipnetwork::IpNetwork;
use kernel::Family;
use kernel::iptables::Line;
use kernel::nft::{Action, Datum, Field, Key, Match, Rule, States, Test, Verdict};

/// Packets that a node forwards between its pods and those of other nodes, one direction.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Where they come from.
    pub(super) from: IpNetwork,
    /// Where they go.
    pub(super) to: IpNetwork,
    /// By which links they come in, as far as is known.
    pub(super) inputs: Vec<String>,
    /// By which links they go out.
    pub(super) outputs: Vec<String>,
}

/// What `FIELD @SET` holds; a set that cannot be read holds nothing.
pub(super) type Sets<'a> = &'a dyn Fn(&str) -> Vec<Key>;

impl Way {
    /// Both directions: from this node's pods (`bridges`) to those of other nodes (`carriers`), and
    /// back.
    pub(super) fn both(
        network: IpNetwork,
        own: Option<IpNetwork>,
        bridges: &[String],
        carriers: &[String],
    ) -> [Self; 2] {
        let own = own.unwrap_or(network);
        let way = |from, to, inputs: &[String], outputs: &[String]| Self {
            from,
            to,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
        };
        [
            way(own, network, bridges, carriers),
            way(network, own, carriers, bridges),
        ]
    }

    /// Whether a rule that is reached from `chain` accepts all these packets.
    pub(super) fn passes(&self, rules: &[Rule], chain: &str, sets: Sets<'_>) -> bool {
        let mut seen = BTreeSet::from([chain]);
        let mut ahead = vec![chain];
        while let Some(chain) = ahead.pop() {
            let here = rules.iter().filter(|rule| rule.chain == chain);
            for rule in here.filter(|rule| self.all_meet(&rule.matches, sets)) {
                match &rule.action {
                    Some(Action::Verdict(Verdict::Accept)) => return true,
                    Some(Action::Verdict(Verdict::Jump(next) | Verdict::Goto(next)))
                        if seen.insert(next) =>
                    {
                        ahead.push(next);
                    }
                    _ => {}
                }
            }
        }
        false
    }

    fn all_meet(&self, conditions: &[Match], sets: Sets<'_>) -> bool {
        conditions.iter().all(|condition| match condition {
            Match::Is(test) => self.meets(test),
            Match::Not(Test::Source(network)) => !cluster::overlap(*network, self.from),
            Match::Not(Test::Destination(network)) => !cluster::overlap(*network, self.to),
            Match::In(fields, set) => {
                let network = match fields[..] {
                    [Field::Source(_)] => self.from,
                    [Field::Destination(_)] => self.to,
                    _ => return false,
                };
                sets(set).iter().any(|key| holds(key, network))
            }
            Match::Extension(kernel::nft::Extension::Comment(_)) => true,
            _ => false,
        })
    }

    fn meets(&self, test: &Test) -> bool {
        let any = |links: &[String], pattern: &str| {
            let prefix = pattern.strip_suffix('*');
            links.iter().any(|link| match prefix {
                Some(prefix) => link.starts_with(prefix),
                None => link == pattern,
            })
        };
        match test {
            Test::Family(family) => (*family == Family::V4) == self.from.is_ipv4(),
            Test::Source(network) => within(self.from, *network),
            Test::Destination(network) => within(self.to, *network),
            // Of connections that begin, and not of those that are known alone.
            Test::ConntrackState(states) => states.or(States::NEW) == *states,
            Test::InputInterface(pattern) => any(&self.inputs, pattern),
            Test::OutputInterface(pattern) => any(&self.outputs, pattern),
            _ => false,
        }
    }
}

fn within(inner: IpNetwork, outer: IpNetwork) -> bool {
    outer.contains(inner.network()) && outer.prefix() <= inner.prefix()
}

/// Whether an element of a set is the network, or wider.
fn holds(key: &Key, network: IpNetwork) -> bool {
    let (Key::Range(first, last), Key::Range(from, to)) = (key, Key::from(network)) else {
        return false;
    };
    let ([Datum::Address(first)], [Datum::Address(last)]) = (&first[..], &last[..]) else {
        return false;
    };
    let ([Datum::Address(from)], [Datum::Address(to)]) = (&from[..], &to[..]) else {
        return false;
    };
    first.is_ipv4() == from.is_ipv4() && first <= from && to <= last
}

/// A rule of `iptables -S`; nothing for other lines. What is not known here is a condition that no
/// packet is known to meet.
pub(super) fn of_iptables(line: &Line) -> Option<Rule> {
    let words = line.words();
    let (chain, mut rest) = match words {
        [command, chain, rest @ ..] if command == "-A" => (chain.clone(), rest.iter()),
        _ => return None,
    };
    let mut rule = Rule {
        handle: 0,
        chain,
        matches: Vec::new(),
        statements: Vec::new(),
        action: None,
        comment: None,
    };
    let mut negated = false;
    while let Some(word) = rest.next() {
        let mut value = || rest.next().map(String::as_str).unwrap_or_default();
        let test = match word.as_str() {
            "!" => {
                negated = true;
                continue;
            }
            "-j" | "-g" => {
                rule.action = verdict(word, value()).map(Action::Verdict);
                continue;
            }
            "-m" if matches!(value(), "comment" | "conntrack" | "state") => continue,
            "--comment" => {
                value();
                continue;
            }
            "-s" => value().parse().ok().map(Test::Source),
            "-d" => value().parse().ok().map(Test::Destination),
            "-i" => Some(Test::InputInterface(pattern(value()))),
            "-o" => Some(Test::OutputInterface(pattern(value()))),
            "--ctstate" | "--state" => states(value()).map(Test::ConntrackState),
            _ => None,
        };
        rule.matches.push(match (test, negated) {
            (Some(test), false) => Match::Is(test),
            (Some(test), true) => Match::Not(test),
            (None, _) => Match::Other(word.clone()),
        });
        negated = false;
    }
    Some(rule)
}

fn verdict(how: &str, target: &str) -> Option<Verdict> {
    match target {
        "ACCEPT" => Some(Verdict::Accept),
        "DROP" => Some(Verdict::Drop),
        "RETURN" => Some(Verdict::Return),
        _ if how == "-g" => Some(Verdict::Goto(target.to_owned())),
        // A target of an extension is a chain that does not exist.
        _ => Some(Verdict::Jump(target.to_owned())),
    }
}

/// iptables has `+` for any end.
fn pattern(link: &str) -> String {
    match link.strip_suffix('+') {
        Some(prefix) => format!("{prefix}*"),
        None => link.to_owned(),
    }
}

fn states(words: &str) -> Option<States> {
    let state = |word| match word {
        "NEW" => Some(States::NEW),
        "ESTABLISHED" => Some(States::ESTABLISHED),
        "RELATED" => Some(States::RELATED),
        "INVALID" => Some(States::INVALID),
        "UNTRACKED" => Some(States::UNTRACKED),
        _ => None,
    };
    let all: Option<Vec<States>> = words.split(',').map(state).collect();
    all?.into_iter().reduce(States::or)
}

/// The pods' network of a family: as the network config says, else as subnet.env does.
pub(super) fn network(
    family: backend::Family,
    config: Option<&NetworkConfig>,
    env: Option<&cluster::SubnetEnv>,
) -> Option<IpNetwork> {
    let told = config.and_then(|config| family.network(config));
    told.or_else(|| match family {
        backend::Family::V4 => env?.networks.first().copied().map(IpNetwork::V4),
        backend::Family::V6 => env?.ipv6_networks.first().copied().map(IpNetwork::V6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> [Way; 2] {
        let network = "10.100.0.0/16".parse().expect("network");
        let own = "10.100.3.0/24".parse().ok();
        Way::both(
            network,
            own,
            &["cni0".to_owned()],
            &["flannel.1".to_owned()],
        )
    }

    fn passes(lines: &str) -> [bool; 2] {
        let lines = lines.lines().map(|line| Line::parse(line.trim()));
        let rules: Vec<Rule> = lines.filter_map(|line| of_iptables(&line)).collect();
        way().map(|way| way.passes(&rules, "FORWARD", &|_| Vec::new()))
    }

    #[test]
    fn rules_of_iptables_are_judged_for_both_directions() {
        for (lines, expected) in [
            ("-P FORWARD DROP", [false, false]),
            ("-A FORWARD -j ACCEPT", [true, true]),
            ("-A FORWARD -s 10.100.0.0/16 -j ACCEPT", [true, true]),
            (
                "-A FORWARD -s 10.0.0.0/8 -m comment --comment \"the pods\" -j ACCEPT",
                [true, true],
            ),
            (
                "-A FORWARD -s 10.100.0.0/16 -d 10.100.0.0/16 -j ACCEPT",
                [true, true],
            ),
            // This node's subnet is all that it forwards for.
            ("-A FORWARD -s 10.100.3.0/24 -j ACCEPT", [true, false]),
            ("-A FORWARD -d 10.100.3.0/24 -j ACCEPT", [false, true]),
            ("-A FORWARD -s 10.100.3.7/32 -j ACCEPT", [false, false]),
            ("-A FORWARD -s 10.200.0.0/16 -j ACCEPT", [false, false]),
            ("-A FORWARD ! -s 10.200.0.0/16 -j ACCEPT", [true, true]),
            ("-A FORWARD ! -s 10.0.0.0/8 -j ACCEPT", [false, false]),
            (
                "-A FORWARD -s 10.100.0.0/16 -p tcp -j ACCEPT",
                [false, false],
            ),
            ("-A FORWARD -i cni0 -j ACCEPT", [true, false]),
            (
                "-A FORWARD -i cni+ -j ACCEPT\n-A FORWARD -o cni0 -j ACCEPT",
                [true, true],
            ),
            ("-A FORWARD -i docker0 -j ACCEPT", [false, false]),
            (
                "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                [false, false],
            ),
            (
                "-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
                [true, true],
            ),
            (
                "-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
                [false, false],
            ),
            ("-A FORWARD -s 10.100.0.0/16 -j DROP", [false, false]),
            ("-A INPUT -s 10.100.0.0/16 -j ACCEPT", [false, false]),
            // Other chains, also such as lead in a circle.
            (
                "-A FORWARD -j X\n-A X -j Y\n-A Y -j X\n-A Y -d 10.100.0.0/16 -j ACCEPT",
                [true, true],
            ),
            (
                "-A FORWARD -s 10.200.0.0/16 -j X\n-A X -j ACCEPT",
                [false, false],
            ),
            (
                "-A FORWARD -s 10.100.0.0/16 -j MARK --set-xmark 0x1/0x1",
                [false, false],
            ),
        ] {
            assert_eq!(passes(lines), expected, "{lines}");
        }
    }

    #[test]
    fn rules_of_nftables_may_look_into_sets() {
        let rule = |condition: Match| Rule {
            handle: 1,
            chain: "forward".to_owned(),
            matches: vec![Match::Is(Test::Family(Family::V4)), condition],
            statements: Vec::new(),
            action: Some(Action::Verdict(Verdict::Accept)),
            comment: None,
        };
        let set = |name: &str| match name {
            "wide" => vec![Key::from(
                "10.0.0.0/8".parse::<IpNetwork>().expect("network"),
            )],
            "pods" => vec![Key::from(
                "10.100.3.7".parse::<std::net::IpAddr>().expect("address"),
            )],
            _ => Vec::new(),
        };
        let source = |set: &str| Match::source_in(Family::V4, set);
        for (condition, expected) in [
            (source("wide"), true),
            (source("pods"), false),
            (source("none"), false),
            (Match::In(vec![Field::Mark], "wide".to_owned()), false),
            (Match::Is(Test::Family(Family::V6)), false),
            (Match::Other("limit".to_owned()), false),
        ] {
            let rules = [rule(condition)];
            let [out, _] = way().map(|way| way.passes(&rules, "forward", &set));
            assert_eq!(out, expected, "{rules:?}");
        }
    }
}
