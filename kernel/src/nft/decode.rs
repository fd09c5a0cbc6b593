//! From the kernel's expressions back to the vocabulary of rules, for rules of nft(8),
//! iptables-nft and ours.

mod action;
mod condition;
mod registers;

use super::{
    Action, Match, NewMark, Statement, Test, Verdict,
    attribute::{attributes, find, number, text},
    extension,
    field::Origin,
    kind,
};
use registers::Registers;

/// What a rule's expressions say.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) matches: Vec<Match>,
    pub(super) statements: Vec<Statement>,
    pub(super) action: Option<Action>,
    pub(super) comment: Option<String>,
}

/// Reads the expressions of one rule.
pub(super) fn rule(list: &[u8]) -> Content {
    let mut reading = Reading::default();
    for (_, expression) in attributes(list) {
        let name = find(expression, kind::expression::NAME)
            .and_then(text)
            .unwrap_or_default();
        let data = find(expression, kind::expression::DATA).unwrap_or_default();
        if reading.expression(name, data).is_none() {
            reading.unknown(name);
        }
    }
    if reading.at_least.is_some() {
        reading.unknown("cmp");
    }
    reading.version.settle(&mut reading.content.matches);
    reading.content
}

/// How far the reading of a rule has come.
#[derive(Default)]
struct Reading<'a> {
    content: Content,
    registers: Registers<'a>,
    version: condition::Version,
    /// The lower end of a range whose upper end is still to come.
    at_least: Option<(Origin, &'a [u8])>,
}

impl<'a> Reading<'a> {
    /// `None` for what this vocabulary has no word for.
    fn expression(&mut self, name: &str, data: &'a [u8]) -> Option<()> {
        match name {
            "payload" | "fib" => self.registers.load(name, data),
            "meta" if find(data, kind::meta::FROM).is_none() => self.registers.load(name, data),
            "ct" if find(data, kind::conntrack::FROM).is_none() => self.registers.load(name, data),
            "immediate" => self.immediate(data),
            "bitwise" => self.registers.mask(data),
            "byteorder" => self.registers.order(data),
            "cmp" | "range" => self.compare(name, data),
            "lookup" => self.lookup(data),
            "meta" | "ct" | "counter" | "log" | "flow_offload" => self.statement(name, data),
            "masq" | "nat" | "redir" => self.translation(name, data),
            "match" | "target" => self.extension(data),
            _ => None,
        }
    }

    fn unknown(&mut self, name: &str) {
        self.content.matches.push(Match::Other(name.to_owned()));
    }

    /// A condition behind a statement would be one before it in our words.
    fn push_match(&mut self, condition: Match) -> Option<()> {
        let only_counts = |statement: &Statement| *statement == Statement::Counter;
        if !self.content.statements.iter().all(only_counts) {
            return None;
        }
        self.version.implied_by(&condition);
        self.content.matches.push(condition);
        Some(())
    }

    fn set_action(&mut self, action: Action) -> Option<()> {
        self.version.implied_by_action(&action);
        match self.content.action.replace(action) {
            None => Some(()),
            Some(_) => None,
        }
    }

    /// Extensions of iptables-nft that carry what nftables says with an expression of its own.
    fn extension(&mut self, data: &[u8]) -> Option<()> {
        let name = find(data, kind::extension::NAME).and_then(text)?;
        match name {
            "MASQUERADE" => self.set_action(Action::Masquerade(Default::default()))?,
            "comment" => {
                let text = find(data, kind::extension::INFO).and_then(text);
                self.content.comment = text.map(str::to_owned);
            }
            "conntrack" => {
                let states = extension::states(find(data, kind::extension::INFO)?)?;
                self.push_match(Match::Is(Test::ConntrackState(states)))?;
            }
            "multiport" => {
                let ports = extension::ports(find(data, kind::extension::INFO)?)?;
                self.push_match(Match::DestinationPorts(ports))?;
            }
            "mark" => {
                let mark = extension::mark(find(data, kind::extension::INFO)?, true)?;
                self.push_match(Match::Is(Test::Mark(mark)))?;
            }
            "MARK" => {
                let mark = extension::mark(find(data, kind::extension::INFO)?, false)?;
                let mark = Statement::SetMark(NewMark::Value(mark));
                self.content.statements.push(mark);
            }
            "DNAT" => {
                let to = extension::destination(find(data, kind::extension::INFO)?)?;
                self.set_action(Action::Dnat(to, Default::default()))?;
            }
            other => self.unknown(other),
        }
        Some(())
    }
}

fn find_number(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind).and_then(number)
}

/// What is in an attribute's NFTA_DATA_VALUE.
pub(super) fn find_value(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    find(bytes, kind).and_then(|data| find(data, kind::data::VALUE))
}

/// What is in an attribute's NFTA_DATA_VERDICT.
pub(super) fn find_verdict(bytes: &[u8], kind: u16) -> Option<Verdict> {
    let verdict = find(bytes, kind).and_then(|data| find(data, kind::data::VERDICT))?;
    let chain = || {
        find(verdict, kind::data::VERDICT_CHAIN)
            .and_then(text)
            .map(str::to_owned)
    };
    Some(
        match find_number(verdict, kind::data::VERDICT_CODE)? as i32 {
            kind::verdict::DROP => Verdict::Drop,
            kind::verdict::ACCEPT => Verdict::Accept,
            kind::verdict::CONTINUE => Verdict::Continue,
            kind::verdict::RETURN => Verdict::Return,
            kind::verdict::JUMP => Verdict::Jump(chain()?),
            kind::verdict::GOTO => Verdict::Goto(chain()?),
            _ => return None,
        },
    )
}
