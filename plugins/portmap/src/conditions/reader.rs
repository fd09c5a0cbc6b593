//! Taking conditions apart, word by word.

use std::ops::RangeInclusive;

use kernel::{
    Family,
    nft::{Datum, Field, Key, Masked, Match, States, Test},
};

use super::{Choice, Condition, values};
use crate::mapping::Protocol;

type Read<T> = Result<T, &'static str>;

const NOT_UNDERSTOOD: &str = "not a condition that is understood";

/// Where the reading stands.
pub(super) struct Reader {
    family: Family,
    words: Vec<String>,
    at: usize,
}

/// Blanks separate; braces, commas and operators are words of their own; quotes are left out.
fn words(text: &str) -> Vec<String> {
    let mut spaced = text.replace('"', " ");
    for word in ["{", "}", ",", "!=", "==", "&"] {
        spaced = spaced.replace(word, &format!(" {word} "));
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// What may stand where a field's value does.
struct Operand {
    negated: bool,
    values: Vec<String>,
}

impl Reader {
    pub(super) fn new(family: Family, text: &str) -> Self {
        Self {
            family,
            words: words(text),
            at: 0,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.words.len()
    }

    /// The word at which the reading ended.
    pub(super) fn position(&self) -> String {
        let read = self.at.min(self.words.len());
        let last = self.words[..read].last();
        last.cloned().unwrap_or_default()
    }

    fn next(&mut self) -> Read<String> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word.ok_or("something is missing behind it")
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_it = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(is_it);
        is_it
    }

    fn operand(&mut self) -> Read<Operand> {
        let negated = self.takes("!=");
        if !negated {
            self.takes("==");
        }
        let mut values = Vec::new();
        if !self.takes("{") {
            values.push(self.next()?);
            while self.takes(",") {
                values.push(self.next()?);
            }
            return Ok(Operand { negated, values });
        }
        loop {
            values.push(self.next()?);
            if self.takes("}") {
                return Ok(Operand { negated, values });
            }
            if !self.takes(",") {
                return Err("a comma or } is missing behind it");
            }
            if self.takes("}") {
                return Ok(Operand { negated, values });
            }
        }
    }

    /// The next condition, which may be two to the kernel.
    pub(super) fn condition(&mut self) -> Read<Vec<Condition>> {
        let subject = self.next()?;
        match subject.as_str() {
            "ip" => self.network_header(Family::V4),
            "ip6" => self.network_header(Family::V6),
            "tcp" | "udp" | "sctp" | "th" => self.transport_header(&subject),
            "meta" => self.meta(),
            "iifname" | "oifname" | "mark" => {
                self.at -= 1;
                self.meta()
            }
            "ct" => self.conntrack(),
            "ether" => self.ether(),
            "fib" => self.fib(),
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    fn network_header(&mut self, family: Family) -> Read<Vec<Condition>> {
        if family != self.family {
            return Err("of the other address family");
        }
        match self.next()?.as_str() {
            "saddr" => self.choice(Field::Source(family), |text| values::address(family, text)),
            "daddr" => self.choice(Field::Destination(family), |text| {
                values::address(family, text)
            }),
            "protocol" if family == Family::V4 => self.protocol(),
            "nexthdr" if family == Family::V6 => self.protocol(),
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    fn transport_header(&mut self, protocol: &str) -> Read<Vec<Condition>> {
        let field = match self.next()?.as_str() {
            "sport" => Field::SourcePort,
            "dport" => Field::DestinationPort,
            _ => return Err(NOT_UNDERSTOOD),
        };
        let mut conditions = Vec::new();
        if protocol != "th" {
            let number = values::protocol(protocol).ok_or(NOT_UNDERSTOOD)?;
            conditions.push(Condition::Match(Match::Is(Test::Protocol(number))));
        }
        conditions.extend(self.choice(field, values::port)?);
        Ok(conditions)
    }

    fn protocol(&mut self) -> Read<Vec<Condition>> {
        self.choice(Field::Protocol, |text| {
            values::protocol(text).map(|number| Datum::Protocol(number).into())
        })
    }

    fn meta(&mut self) -> Read<Vec<Condition>> {
        match self.next()?.as_str() {
            "l4proto" => self.protocol(),
            "iifname" => self.interface(Field::InputInterface, Test::InputInterface),
            "oifname" => self.interface(Field::OutputInterface, Test::OutputInterface),
            "mark" => self.mark(Test::Mark),
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    /// A name with any end is no value of a set.
    fn interface(&mut self, field: Field, test: fn(String) -> Test) -> Read<Vec<Condition>> {
        let Operand { negated, values } = self.operand()?;
        if let [name] = &values[..] {
            return Ok(one(test(name.clone()), negated));
        }
        if values.iter().any(|name| name.ends_with('*')) {
            return Err("* cannot stand among several names");
        }
        let keys = values
            .into_iter()
            .map(|name| Datum::Interface(name).into())
            .collect();
        Ok(vec![Condition::OneOf(Choice {
            field,
            keys,
            negated,
        })])
    }

    fn mark(&mut self, test: fn(Masked) -> Test) -> Read<Vec<Condition>> {
        let mask = match self.takes("&") || self.takes("and") {
            true => values::number(&self.next()?).ok_or("not a number")?,
            false => u32::MAX,
        };
        let Operand { negated, values } = self.operand()?;
        let [value] = &values[..] else {
            return Err("one mark is understood, not several");
        };
        let value = values::number(value).ok_or("not a number")?;
        Ok(one(test(Masked { value, mask }), negated))
    }

    fn conntrack(&mut self) -> Read<Vec<Condition>> {
        match self.next()?.as_str() {
            "mark" => self.mark(Test::ConntrackMark),
            "state" => {
                let Operand { negated, values } = self.operand()?;
                let states: Option<Vec<States>> =
                    values.iter().map(|text| values::state(text)).collect();
                let states = states.ok_or("not a state of a connection")?;
                let all = states.into_iter().reduce(States::or);
                let all = all.ok_or(NOT_UNDERSTOOD)?;
                Ok(one(Test::ConntrackState(all), negated))
            }
            "status" => {
                let Operand { negated, values } = self.operand()?;
                match values == ["dnat"] {
                    true => Ok(one(Test::Dnatted, negated)),
                    false => Err("of a connection's status only dnat is understood"),
                }
            }
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    fn ether(&mut self) -> Read<Vec<Condition>> {
        let field = match self.next()?.as_str() {
            "saddr" => Field::EtherSource,
            "daddr" => Field::EtherDestination,
            _ => return Err(NOT_UNDERSTOOD),
        };
        self.choice(field, |text| {
            text.parse().ok().map(|mac| Datum::Mac(mac).into())
        })
    }

    fn fib(&mut self) -> Read<Vec<Condition>> {
        if !(self.takes("daddr") && self.takes("type")) {
            return Err(NOT_UNDERSTOOD);
        }
        let Operand { negated, values } = self.operand()?;
        match values == ["local"] {
            true => Ok(one(Test::DestinationIsLocal, negated)),
            false => Err("of the types of addresses only local is understood"),
        }
    }

    fn choice(&mut self, field: Field, read: impl Fn(&str) -> Option<Key>) -> Read<Vec<Condition>> {
        let Operand { negated, values } = self.operand()?;
        let keys: Option<Vec<Key>> = values.iter().map(|text| read(text)).collect();
        let keys = keys.ok_or("not a value of this kind")?;
        if let [key] = &keys[..]
            && let Some(test) = test(field, key)
        {
            return Ok(one(test, negated));
        }
        Ok(vec![Condition::OneOf(Choice {
            field,
            keys: values::in_one_set(keys),
            negated,
        })])
    }
}

fn one(test: Test, negated: bool) -> Vec<Condition> {
    vec![Condition::Match(match negated {
        true => Match::Not(test),
        false => Match::Is(test),
    })]
}

/// A single value as a test of its own, where there is a word for it.
fn test(field: Field, key: &Key) -> Option<Test> {
    let port = |first: &[Datum], last: &[Datum]| -> Option<RangeInclusive<u16>> {
        match (first, last) {
            ([Datum::Port(first)], [Datum::Port(last)]) => Some(*first..=*last),
            _ => None,
        }
    };
    let (first, last) = match key {
        Key::Single(values) => (values, values),
        Key::Range(first, last) => (first, last),
    };
    match field {
        Field::Source(_) => values::network(first, last).map(Test::Source),
        Field::Destination(_) => values::network(first, last).map(Test::Destination),
        Field::SourcePort => port(first, last).map(Test::SourcePort),
        Field::DestinationPort => port(first, last).map(Test::DestinationPort),
        _ => match first[..] {
            [Datum::Protocol(number)] => Some(Test::Protocol(number)),
            [Datum::Mac(mac)] if field == Field::EtherSource => Some(Test::EtherSource(mac)),
            [Datum::Mac(mac)] => Some(Test::EtherDestination(mac)),
            _ => None,
        },
    }
}

/// The numbers of protocols that have names here are those of mappings.
pub(super) fn named_protocol(text: &str) -> Option<u8> {
    Protocol::parse(text).map(Protocol::number)
}
