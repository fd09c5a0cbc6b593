//! The chains of the filter table that are looked at, whichever kernel interface has them.

use std::collections::BTreeMap;

use kernel::{
    Family,
    iptables::{Flavour, Iptables, Line, has_legacy_table},
    nft::{self, Nft},
};

use crate::{
    error::Error,
    reference::{self, Rule, TABLE},
};

/// The rules of some chains, in order; a chain that does not exist is not in it.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(BTreeMap<String, Vec<Seen>>);

/// A rule as its interface gives it.
#[derive(Debug)]
pub(crate) enum Seen {
    Nft(Box<nft::Rule>),
    Line(Line),
}

impl Seen {
    pub(crate) fn is(&self, rule: &Rule) -> bool {
        match self {
            Self::Nft(seen) => rule.is_nft(seen),
            Self::Line(line) => rule.is_line(line),
        }
    }

    /// Whether no packet comes past it.
    fn drops_all(&self) -> bool {
        match self {
            Self::Nft(seen) => {
                seen.matches.is_empty() && seen.action == Some(nft::Verdict::Drop.into())
            }
            Self::Line(line) => {
                matches!(line.rule(), [jump, target] if jump == "-j" && target == "DROP")
            }
        }
    }
}

impl Snapshot {
    /// Of the flavour that `program` is; iptables-nft's chains are read without running it.
    pub(crate) fn of(program: &Iptables, family: Family, chains: &[&str]) -> Result<Self, Error> {
        match program.flavour() {
            Some(Flavour::Nft) => Self::of_nft(family, chains),
            Some(Flavour::Legacy) => Self::of_legacy(program, chains),
            None if has_legacy_table(family, TABLE) => Self::of_legacy(program, chains),
            None => Self::of_nft(family, chains),
        }
    }

    /// Of iptables-nft. A kernel without nftables has no chain.
    pub(crate) fn of_nft(family: Family, chains: &[&str]) -> Result<Self, Error> {
        let mut snapshot = Self::default();
        let table = reference::table(family);
        let mut nft = match Nft::open() {
            Err(error) if Nft::is_unsupported(&error) => return Ok(snapshot),
            opened => opened?,
        };
        for chain in chains {
            let found = match nft.chain(table, chain) {
                Err(error) if Nft::is_unsupported(&error) => return Ok(snapshot),
                found => found?,
            };
            if found.is_none() {
                continue;
            }
            let rules = nft.rules(table, chain)?.into_iter();
            let rules = rules.map(|rule| Seen::Nft(Box::new(rule))).collect();
            snapshot.0.insert((*chain).to_owned(), rules);
        }
        Ok(snapshot)
    }

    pub(crate) fn of_legacy(program: &Iptables, chains: &[&str]) -> Result<Self, Error> {
        Ok(Self::of_lines(&program.list(TABLE)?, chains))
    }

    fn of_lines(lines: &[Line], chains: &[&str]) -> Self {
        let there = chains
            .iter()
            .filter(|chain| lines.iter().any(|line| line.declares(chain)));
        let rules = |chain: &str| {
            let rules = lines.iter().filter(|line| line.is_rule_of(chain));
            rules.cloned().map(Seen::Line).collect()
        };
        Self(
            there
                .map(|chain| ((*chain).to_owned(), rules(chain)))
                .collect(),
        )
    }

    /// The chain exists.
    pub(crate) fn has_chain(&self, chain: &str) -> bool {
        self.0.contains_key(chain)
    }

    /// The rules of a chain, none if it does not exist.
    pub(crate) fn rules(&self, chain: &str) -> &[Seen] {
        self.0.get(chain).map_or(&[], Vec::as_slice)
    }

    /// Where the rule stands in its chain.
    pub(crate) fn place(&self, rule: &Rule) -> Option<usize> {
        self.rules(rule.chain).iter().position(|seen| seen.is(rule))
    }

    /// Whether packets come as far as the rule, which is there.
    pub(crate) fn is_reached(&self, rule: &Rule) -> bool {
        let before = self
            .rules(rule.chain)
            .iter()
            .take_while(|seen| !seen.is(rule));
        !before.into_iter().any(Seen::drops_all)
    }

    /// The commands that make what is missing of `chains` and `rules`. A chain that is there is not
    /// declared again: `iptables-restore` would flush it.
    pub(crate) fn additions(&self, chains: &[&str], rules: &[Rule]) -> Vec<String> {
        let chains = chains.iter().filter(|chain| !self.has_chain(chain));
        let rules = rules.iter().filter(|rule| self.place(rule).is_none());
        let chains = chains.map(|chain| format!("-N {chain}"));
        chains.chain(rules.map(Rule::addition)).collect()
    }

    /// The commands that delete each of `rules` as often as it is there.
    pub(crate) fn deletions(&self, rules: &[Rule]) -> Vec<String> {
        let all = rules.iter().flat_map(|rule| {
            let seen = self.rules(rule.chain).iter().filter(|seen| seen.is(rule));
            seen.map(|_| format!("-D {} {}", rule.chain, rule.text()))
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{CNI_FORWARD, FORWARD, admin, forward, of_address};

    const CHAINS: &[&str] = &[FORWARD, CNI_FORWARD, "CNI-ADMIN"];

    fn snapshot(text: &str) -> Snapshot {
        let lines: Vec<Line> = text.lines().map(Line::parse).collect();
        Snapshot::of_lines(&lines, CHAINS)
    }

    fn wanted() -> Vec<Rule> {
        let address = "10.22.0.5/24".parse().unwrap();
        let mut rules = vec![forward(), admin("CNI-ADMIN")];
        rules.extend(of_address(&address));
        rules
    }

    #[test]
    fn an_empty_table_gets_everything_and_a_complete_one_nothing() {
        let empty = snapshot("-P FORWARD ACCEPT");
        let script = empty.additions(CHAINS, &wanted());
        assert_eq!(script[..2], ["-N CNI-FORWARD", "-N CNI-ADMIN"]);
        assert_eq!(script.len(), 6);
        let mut listing = "-P FORWARD ACCEPT\n-N CNI-FORWARD\n-N CNI-ADMIN\n".to_owned();
        for rule in wanted() {
            listing += &format!("-A {} {}\n", rule.chain, rule.text());
        }
        let complete = snapshot(&listing);
        assert_eq!(complete.additions(CHAINS, &wanted()), Vec::<String>::new());
        let gone = complete.deletions(&wanted()[2..]);
        assert_eq!(gone.len(), 2);
        assert_eq!(gone[1], "-D CNI-FORWARD -s 10.22.0.5/32 -j ACCEPT");
    }

    #[test]
    fn rules_of_others_are_told_apart() {
        let others = snapshot(
            "-P FORWARD DROP\n-N CNI-FORWARD\n-A CNI-FORWARD -s 10.22.0.50/32 -j ACCEPT\n\
             -A CNI-FORWARD -s 10.22.0.5/32 -j DROP\n-A CNI-FORWARD -s 10.22.0.5/32 -p tcp -j ACCEPT",
        );
        assert_eq!(others.deletions(&wanted()), Vec::<String>::new());
        assert!(!others.has_chain("CNI-ADMIN") && others.has_chain(FORWARD));
    }

    #[test]
    fn rules_behind_one_that_drops_all_are_not_reached() {
        let jump = format!("-A FORWARD {}", forward().text());
        for (before, is_reached) in [
            ("-A FORWARD -j DROP", false),
            ("-A FORWARD -s 10.0.0.0/8 -j DROP", true),
            ("-A FORWARD -j ACCEPT", true),
        ] {
            let seen = snapshot(&format!(
                "-P FORWARD ACCEPT\n{before}\n{jump}\n-A FORWARD -j DROP"
            ));
            assert_eq!(seen.is_reached(&forward()), is_reached, "{before}");
        }
    }
}
