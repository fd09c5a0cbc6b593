//! Conditions.

use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use super::{Reading, find_number, find_value, registers::Content};
use crate::nft::{
    Action, Masked, Match, States, Test, Translation,
    attribute::{find, text},
    encode::{DNATTED, LOCAL},
    field::{Field, Origin},
    key::{Datum, INTERFACE_NAME_LENGTH},
    kind,
};
use crate::{Family, MacAddr};

/// A check of the IP family, which is a condition of its own only if no other implies it.
#[derive(Default)]
pub(super) struct Version {
    seen: Option<(usize, Family)>,
    is_implied: bool,
}

impl Version {
    fn see(&mut self, place: usize, family: Family) {
        self.seen = Some((place, family));
        self.is_implied = false;
    }

    pub(super) fn implied_by(&mut self, condition: &Match) {
        let families: Vec<Family> = match condition {
            Match::Is(Test::Source(network) | Test::Destination(network))
            | Match::Not(Test::Source(network) | Test::Destination(network)) => {
                vec![network.into()]
            }
            Match::In(fields, _) | Match::NotIn(fields, _) => {
                fields.iter().filter_map(|field| field.family()).collect()
            }
            _ => Vec::new(),
        };
        self.implied_by_family(families);
    }

    pub(super) fn implied_by_action(&mut self, action: &Action) {
        if let Action::VerdictOf(key, _)
        | Action::Dnat(Translation::Of { key, .. }, _)
        | Action::Snat(Translation::Of { key, .. }, _) = action
        {
            self.implied_by_family(key.iter().filter_map(|field| field.family()).collect());
        }
    }

    fn implied_by_family(&mut self, families: Vec<Family>) {
        if let Some((_, seen)) = self.seen {
            self.is_implied |= families.contains(&seen);
        }
    }

    /// Makes a condition of a check that nothing has implied.
    pub(super) fn settle(&self, matches: &mut Vec<Match>) {
        if let (Some((place, family)), false) = (self.seen, self.is_implied) {
            matches.insert(place, Match::Is(Test::Family(family)));
        }
    }
}

impl<'a> Reading<'a> {
    pub(super) fn compare(&mut self, name: &str, data: &'a [u8]) -> Option<()> {
        if name == "range" {
            return self.range(data);
        }
        let content = self
            .registers
            .get(find_number(data, kind::compare::FROM)?)?;
        let value = find_value(data, kind::compare::DATA)?;
        let operator = find_number(data, kind::compare::OPERATOR)?;
        let (origin, mask) = match content {
            Content::Loaded(origin, mask) => (origin, mask),
            Content::Ordered(origin) => return self.length(origin, operator, value),
            _ => return None,
        };
        let is = match operator {
            kind::compare::EQUAL => true,
            kind::compare::NOT_EQUAL => false,
            kind::compare::AT_LEAST if mask.is_none() => {
                let earlier = self.at_least.replace((origin, value));
                return earlier.is_none().then_some(());
            }
            kind::compare::AT_MOST if mask.is_none() => {
                let (lower, first) = self.at_least.take()?;
                let test = ports(origin, first, value).filter(|_| lower == origin)?;
                return self.push_match(Match::Is(test));
            }
            _ => return None,
        };
        if let (Some(family), None) = (origin.version(value), mask) {
            return self.version(family, is);
        }
        // What is left of the bits that are looked for is compared with nothing.
        let (test, is) = match mask {
            Some((bits, _)) if value.iter().all(|byte| *byte == 0) => match any_of(origin, bits) {
                Some(test) => (test, !is),
                None => (masked(origin, mask?, value)?, is),
            },
            Some(mask) => (masked(origin, mask, value)?, is),
            None => (exact(origin, value)?, is),
        };
        self.push_match(if is {
            Match::Is(test)
        } else {
            Match::Not(test)
        })
    }

    fn version(&mut self, family: Family, is: bool) -> Option<()> {
        if is {
            self.version.settle(&mut self.content.matches);
            self.version.see(self.content.matches.len(), family);
            return Some(());
        }
        self.push_match(Match::Not(Test::Family(family)))
    }

    fn length(&mut self, origin: Origin, operator: u32, value: &[u8]) -> Option<()> {
        let than = || value.try_into().ok().map(u32::from_be_bytes);
        let test = match origin {
            Origin::Meta(kind::meta::LENGTH) => Test::LongerThan(than()?),
            _ => return None,
        };
        match operator {
            kind::compare::MORE => self.push_match(Match::Is(test)),
            kind::compare::AT_MOST => self.push_match(Match::Not(test)),
            _ => None,
        }
    }

    fn range(&mut self, data: &'a [u8]) -> Option<()> {
        let content = self.registers.get(find_number(data, kind::range::FROM)?)?;
        let Content::Loaded(origin, None) = content else {
            return None;
        };
        let first = find_value(data, kind::range::FIRST)?;
        let test = ports(origin, first, find_value(data, kind::range::LAST)?)?;
        match find_number(data, kind::range::OPERATOR)? {
            kind::range::EQUAL => self.push_match(Match::Is(test)),
            kind::range::NOT_EQUAL => self.push_match(Match::Not(test)),
            _ => None,
        }
    }

    pub(super) fn lookup(&mut self, data: &'a [u8]) -> Option<()> {
        let set = find(data, kind::lookup::SET).and_then(text)?;
        let key = self.registers.key()?;
        match find_number(data, kind::lookup::TO) {
            Some(0) => self.set_action(Action::VerdictOf(key, set.to_owned())),
            Some(register) => {
                self.registers.put(register, Content::Mapped(set))?;
                self.registers.key = key;
                Some(())
            }
            None => {
                let flags = find_number(data, kind::lookup::FLAGS).unwrap_or_default();
                self.push_match(if flags & kind::lookup::INVERTED == 0 {
                    Match::In(key, set.to_owned())
                } else {
                    Match::NotIn(key, set.to_owned())
                })
            }
        }
    }
}

fn ports(origin: Origin, first: &[u8], last: &[u8]) -> Option<Test> {
    let port = |bytes: &[u8]| bytes.try_into().ok().map(u16::from_be_bytes);
    port_test(Field::at(origin)?, port(first)?..=port(last)?)
}

fn port_test(field: Field, ports: RangeInclusive<u16>) -> Option<Test> {
    match field {
        Field::SourcePort => Some(Test::SourcePort(ports)),
        Field::DestinationPort => Some(Test::DestinationPort(ports)),
        _ => None,
    }
}

fn any_of(origin: Origin, bits: &[u8]) -> Option<Test> {
    let bits = u32::from_ne_bytes(bits.try_into().ok()?);
    match origin {
        Origin::Conntrack(kind::conntrack::STATE) => Some(Test::ConntrackState(States(bits))),
        Origin::Conntrack(kind::conntrack::STATUS) if bits == DNATTED => Some(Test::Dnatted),
        _ => None,
    }
}

/// Only what is masked and not turned over.
fn masked(origin: Origin, (mask, xor): (&[u8], &[u8]), value: &[u8]) -> Option<Test> {
    if xor.iter().any(|byte| *byte != 0) {
        return None;
    }
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_ne_bytes);
    match Field::at(origin)? {
        field @ (Field::Source(_) | Field::Destination(_)) => {
            let prefix = mask.iter().map(|byte| byte.count_ones()).sum();
            let test = address_test(field, value, prefix)?;
            // A mask with a hole is no prefix.
            let of = |network: &IpNetwork| Datum::Address(network.mask()).bytes();
            match &test {
                Test::Source(network) | Test::Destination(network) if of(network) == mask => {
                    Some(test)
                }
                _ => None,
            }
        }
        Field::Mark => Some(Test::Mark(Masked {
            value: number(value)?,
            mask: number(mask)?,
        })),
        Field::ConntrackMark => Some(Test::ConntrackMark(Masked {
            value: number(value)?,
            mask: number(mask)?,
        })),
        _ => None,
    }
}

fn exact(origin: Origin, value: &[u8]) -> Option<Test> {
    if origin == Origin::DestinationType {
        let is_local = value == LOCAL.to_ne_bytes();
        return is_local.then_some(Test::DestinationIsLocal);
    }
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_ne_bytes);
    let mac = || value.try_into().ok().map(MacAddr);
    match Field::at(origin)? {
        // A prefix of whole bytes is loaded without the rest of the address.
        field @ (Field::Source(_) | Field::Destination(_)) => {
            address_test(field, value, value.len() as u32 * 8)
        }
        field @ (Field::SourcePort | Field::DestinationPort) => {
            let port = u16::from_be_bytes(value.try_into().ok()?);
            port_test(field, port..=port)
        }
        Field::Protocol => value.first().copied().map(Test::Protocol),
        Field::Mark => Some(Test::Mark(Masked::exactly(number(value)?))),
        Field::ConntrackMark => Some(Test::ConntrackMark(Masked::exactly(number(value)?))),
        Field::InputInterface => interface(value).map(Test::InputInterface),
        Field::OutputInterface => interface(value).map(Test::OutputInterface),
        Field::EtherSource => mac().map(Test::EtherSource),
        Field::EtherDestination => mac().map(Test::EtherDestination),
    }
}

/// Compared up to its zero, or as the beginning of any name.
fn interface(value: &[u8]) -> Option<String> {
    let name = text(value)?;
    let is_whole = name.len() < value.len() || value.len() >= INTERFACE_NAME_LENGTH;
    Some(if is_whole {
        name.to_owned()
    } else {
        format!("{name}*")
    })
}

fn address_test(field: Field, value: &[u8], prefix: u32) -> Option<Test> {
    let kind = field.key_type();
    let mut bytes = value.to_vec();
    bytes.resize(kind.length(), 0);
    let Some(Datum::Address(address)) = Datum::read(kind, &bytes) else {
        return None;
    };
    let network = IpNetwork::new(address, u8::try_from(prefix).ok()?).ok()?;
    match field {
        Field::Source(_) => Some(Test::Source(network)),
        Field::Destination(_) => Some(Test::Destination(network)),
        _ => None,
    }
}
