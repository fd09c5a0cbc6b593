//! The reference plugin's chains and rules in the filter tables of iptables and ip6tables, in its words.
//! They are state that is shared with pods it made.

use ipnetwork::IpNetwork;
use kernel::{
    Family,
    iptables::{self, Position},
    nft::{self, Match, States, Table, TableFamily, Test, Verdict},
};

use crate::config::{Isolation, Policy};

/// The table.
pub(crate) const TABLE: &str = "filter";
/// Every forwarded packet comes through it.
pub(crate) const FORWARD: &str = "FORWARD";
/// Lets packets of pods through.
pub(crate) const CNI_FORWARD: &str = "CNI-FORWARD";
/// The administrator's, unless the configuration names another.
pub(crate) const ADMIN: &str = "CNI-ADMIN";
/// Packets that come from a bridge with a policy.
pub(crate) const STAGE_1: &str = "CNI-ISOLATION-STAGE-1";
/// Those of them that leave the bridge.
pub(crate) const STAGE_2: &str = "CNI-ISOLATION-STAGE-2";

const COMMENT: &str = "CNI firewall plugin rules";
/// Of the jump to the administrator's chain.
pub(crate) const ADMIN_COMMENT: &str = "CNI firewall plugin admin overrides";
const ISOLATION_COMMENT: &str = "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)";

/// The states of an answer.
pub(crate) const ANSWER: States = States::RELATED.or(States::ESTABLISHED);

/// iptables-nft's table of a family.
pub(crate) fn table(family: Family) -> Table<'static> {
    let family = match family {
        Family::V4 => TableFamily::Ip,
        Family::V6 => TableFamily::Ip6,
    };
    Table {
        family,
        name: TABLE,
    }
}

/// A rule that is there once or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub chain: &'static str,
    matches: Vec<Match>,
    comment: Option<String>,
    target: Verdict,
    /// Where it is put when it is missing.
    pub position: Position,
}

impl Rule {
    fn new(chain: &'static str, matches: Vec<Match>, target: Verdict) -> Self {
        Self {
            chain,
            matches,
            comment: None,
            target,
            position: Position::Last,
        }
    }

    fn first(self) -> Self {
        Self {
            position: Position::First,
            ..self
        }
    }

    fn with_comment(self, text: impl Into<String>) -> Self {
        Self {
            comment: Some(text.into()),
            ..self
        }
    }

    /// As iptables-restore reads it and `iptables -S` prints it, without `-A CHAIN`.
    pub(crate) fn text(&self) -> String {
        let mut parts: Vec<String> = self.matches.iter().map(condition).collect();
        parts.extend(self.comment.as_deref().map(iptables::comment_match));
        parts.push(format!("-j {}", target(&self.target)));
        parts.join(" ")
    }

    /// For people, as the reference plugin prints it.
    pub(crate) fn words(&self) -> String {
        iptables::words(&self.text()).join(" ")
    }

    /// The command that adds it.
    pub(crate) fn addition(&self) -> String {
        match self.position {
            Position::First => format!("-I {} 1 {}", self.chain, self.text()),
            Position::Last => format!("-A {} {}", self.chain, self.text()),
        }
    }

    /// Whether iptables-nft stored it like this. Releases of the reference plugin differ in comments, so
    /// any will do where we write one.
    pub(crate) fn is_nft(&self, seen: &nft::Rule) -> bool {
        seen.matches == self.matches
            && (self.comment.is_some() || seen.comment.is_none())
            && seen.action == Some(self.target.clone().into())
    }

    /// Whether `iptables -S` prints it like this.
    pub(crate) fn is_line(&self, line: &iptables::Line) -> bool {
        let own = iptables::words(&self.text());
        line.is_rule_of(self.chain)
            && match self.comment {
                Some(_) => without_comment(line.rule()).eq(without_comment(&own)),
                None => line.rule() == own,
            }
    }
}

/// The words of a rule but for `-m comment --comment TEXT`.
fn without_comment(words: &[String]) -> impl Iterator<Item = &String> {
    let at = words
        .windows(3)
        .position(|words| words[..] == ["-m", "comment", "--comment"]);
    let comment = at.map_or(0..0, |at| at..at + 4);
    let words = words.iter().enumerate();
    words.filter_map(move |(place, word)| (!comment.contains(&place)).then_some(word))
}

fn condition(condition: &Match) -> String {
    match condition {
        Match::Is(test) => test_text(test),
        Match::Not(test) => format!("! {}", test_text(test)),
        other => format!("{other:?}"),
    }
}

fn test_text(test: &Test) -> String {
    match test {
        Test::Source(network) => format!("-s {network}"),
        Test::Destination(network) => format!("-d {network}"),
        Test::InputInterface(name) => format!("-i {name}"),
        Test::OutputInterface(name) => format!("-o {name}"),
        Test::ConntrackState(_) => "-m conntrack --ctstate RELATED,ESTABLISHED".to_owned(),
        other => format!("{other:?}"),
    }
}

fn target(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Accept => "ACCEPT",
        Verdict::Drop => "DROP",
        Verdict::Continue => "CONTINUE",
        Verdict::Return => "RETURN",
        Verdict::Jump(chain) | Verdict::Goto(chain) => chain,
    }
}

fn jump(from: &'static str, to: &str, comment: &str) -> Rule {
    Rule::new(from, Vec::new(), Verdict::Jump(to.to_owned()))
        .with_comment(comment)
        .first()
}

/// FORWARD leads to CNI-FORWARD.
pub(crate) fn forward() -> Rule {
    jump(FORWARD, CNI_FORWARD, COMMENT)
}

/// CNI-FORWARD leads to the administrator's chain.
pub(crate) fn admin(chain: &str) -> Rule {
    jump(CNI_FORWARD, chain, ADMIN_COMMENT)
}

/// FORWARD leads to the first stage.
pub(crate) fn stage_1() -> Rule {
    jump(FORWARD, STAGE_1, ISOLATION_COMMENT)
}

/// Answers to an address, and everything from it; a network stands for its address alone.
pub(crate) fn of_address(address: &IpNetwork) -> [Rule; 2] {
    let host = IpNetwork::from(address.ip());
    let states = Match::Is(Test::ConntrackState(ANSWER));
    [
        Rule::new(
            CNI_FORWARD,
            vec![Match::destination(host), states],
            Verdict::Accept,
        ),
        Rule::new(CNI_FORWARD, vec![Match::source(host)], Verdict::Accept),
    ]
}

/// What the policy of a bridge needs, FORWARD's jump included, in the order in which it is added.
pub(crate) fn of_bridge(isolation: &Isolation) -> Vec<Rule> {
    let Isolation { bridge, policy } = isolation;
    let own = format!(
        "CNI firewall plugin rules (ingressPolicy: {})",
        policy.name()
    );
    let from = Match::Is(Test::InputInterface(bridge.clone()));
    let to = Match::Is(Test::OutputInterface(bridge.clone()));
    let elsewhere = Match::Not(Test::OutputInterface(bridge.clone()));
    let end = |chain| Rule::new(chain, Vec::new(), Verdict::Return).with_comment(ISOLATION_COMMENT);
    let leaving = Rule::new(
        STAGE_1,
        vec![from.clone(), elsewhere],
        Verdict::Jump(STAGE_2.to_owned()),
    );
    let mut rules = vec![stage_1(), leaving.with_comment(&own).first()];
    if *policy == Policy::Isolated {
        let within = Rule::new(STAGE_1, vec![from, to.clone()], Verdict::Drop);
        rules.push(within.with_comment(&own).first());
    }
    let arriving = Rule::new(STAGE_2, vec![to], Verdict::Drop);
    rules.extend([
        end(STAGE_1),
        arriving.with_comment(ISOLATION_COMMENT).first(),
        end(STAGE_2),
    ]);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_the_references() {
        let network: IpNetwork = "10.22.0.5/24".parse().unwrap();
        let [answers, all] = of_address(&network);
        assert_eq!(
            answers.addition(),
            "-A CNI-FORWARD -d 10.22.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        );
        assert_eq!(all.addition(), "-A CNI-FORWARD -s 10.22.0.5/32 -j ACCEPT");
        let [_, six] = of_address(&"2001:db8:22::5/64".parse().unwrap());
        assert_eq!(six.words(), "-s 2001:db8:22::5/128 -j ACCEPT");
        assert_eq!(
            forward().addition(),
            r#"-I FORWARD 1 -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD"#
        );
        assert_eq!(
            admin("MY-ADMIN").words(),
            "-m comment --comment CNI firewall plugin admin overrides -j MY-ADMIN"
        );
    }

    /// 1.1.1 writes another comment into the second stage.
    #[test]
    fn comments_do_not_matter_where_there_is_one() {
        let line = iptables::Line::parse;
        let bridge = "cni0".to_owned();
        let policy = Policy::SameBridge;
        let rules = of_bridge(&Isolation { bridge, policy });
        let arriving = rules
            .iter()
            .find(|rule| rule.text().starts_with("-o"))
            .unwrap();
        for comment in ["", r#"-m comment --comment "CNI firewall plugin rules" "#] {
            let text = format!("-A CNI-ISOLATION-STAGE-2 -o cni0 {comment}-j DROP");
            assert!(arriving.is_line(&line(&text)), "{text}");
        }
        assert!(!arriving.is_line(&line("-A CNI-ISOLATION-STAGE-2 -o cni1 -j DROP")));
        let [_, all] = of_address(&"10.22.0.5/24".parse().unwrap());
        assert!(all.is_line(&line("-A CNI-FORWARD -s 10.22.0.5/32 -j ACCEPT")));
        let others = r#"-A CNI-FORWARD -s 10.22.0.5/32 -m comment --comment "mine" -j ACCEPT"#;
        assert!(!all.is_line(&line(others)), "somebody else's");
    }

    #[test]
    fn policies_are_the_references() {
        let texts = |policy| -> Vec<String> {
            let bridge = "cni0".to_owned();
            of_bridge(&Isolation { bridge, policy })
                .iter()
                .map(|rule| rule.addition().replace("CNI firewall plugin rules ", ""))
                .collect()
        };
        let shared = r#"-m comment --comment "(ingressPolicy: same-bridge|isolated)""#;
        let own = r#"-m comment --comment "(ingressPolicy: isolated)""#;
        let isolated = texts(Policy::Isolated);
        assert_eq!(
            isolated,
            [
                format!("-I FORWARD 1 {shared} -j CNI-ISOLATION-STAGE-1"),
                format!(
                    "-I CNI-ISOLATION-STAGE-1 1 -i cni0 ! -o cni0 {own} -j CNI-ISOLATION-STAGE-2"
                ),
                format!("-I CNI-ISOLATION-STAGE-1 1 -i cni0 -o cni0 {own} -j DROP"),
                format!("-A CNI-ISOLATION-STAGE-1 {shared} -j RETURN"),
                format!("-I CNI-ISOLATION-STAGE-2 1 -o cni0 {shared} -j DROP"),
                format!("-A CNI-ISOLATION-STAGE-2 {shared} -j RETURN"),
            ]
        );
        let same_bridge = texts(Policy::SameBridge);
        assert_eq!(same_bridge.len(), 5);
        assert!(same_bridge[1].contains("(ingressPolicy: same-bridge)\" -j"));
    }
}
