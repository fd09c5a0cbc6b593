//! Conditions.

use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use super::expression::{Expression, Register, bitwise, load, load_key, lookup};
use crate::Family;
use crate::nft::{
    Extension, Masked, Match, TableFamily, Test,
    field::{Field, Origin},
    key::{Datum, INTERFACE_NAME_LENGTH},
    kind,
};

/// IPS_DST_NAT
pub(in crate::nft) const DNATTED: u32 = 0x20;
/// RTN_LOCAL
pub(in crate::nft) const LOCAL: u32 = 2;

/// The expressions of all conditions, each IP family made certain before its first address, and
/// the family that is certain at the end.
pub(super) fn all(table: TableFamily, matches: &[Match]) -> (Vec<Expression>, Option<Family>) {
    let mut expressions = Vec::with_capacity(8);
    let mut known = None;
    for condition in matches {
        for family in families(condition) {
            if known != Some(family) {
                expressions.extend(version(table, family));
                known = Some(family);
            }
        }
        expressions.extend(one(table, condition));
    }
    (expressions, known)
}

/// The families that a condition needs made certain before it may look into the packet.
fn families(condition: &Match) -> Vec<Family> {
    match condition {
        Match::Is(Test::Family(family)) => vec![*family],
        // What is not of a family may be of none.
        Match::Not(Test::Family(_)) => Vec::new(),
        Match::Is(test) | Match::Not(test) => match test {
            Test::Source(network) | Test::Destination(network) => vec![network.into()],
            _ => Vec::new(),
        },
        Match::In(fields, _) | Match::NotIn(fields, _) => {
            fields.iter().filter_map(|field| field.family()).collect()
        }
        Match::DestinationPorts(_) | Match::Extension(_) | Match::Other(_) => Vec::new(),
    }
}

pub(super) fn version(table: TableFamily, family: Family) -> Vec<Expression> {
    let needed = Origin::of_version(table, family);
    needed.map_or_else(Vec::new, |(origin, value)| equal(origin, value, true))
}

fn one(table: TableFamily, condition: &Match) -> Vec<Expression> {
    match condition {
        Match::Not(Test::Family(family)) => {
            let (origin, value) = Origin::of_any_version(table, *family);
            equal(origin, value, false)
        }
        Match::Is(value) => test(value, true),
        Match::Not(value) => test(value, false),
        Match::In(fields, set) => in_set(fields, set, true),
        Match::NotIn(fields, set) => in_set(fields, set, false),
        Match::Extension(extension) => vec![compatible(extension)],
        Match::DestinationPorts(_) | Match::Other(_) => Vec::new(),
    }
}

/// NFTA_MATCH: name, revision and structure of an xtables match.
fn compatible(extension: &Extension) -> Expression {
    Expression::new("match")
        .text(kind::extension::NAME, extension.name())
        .number(kind::extension::REVISION, extension.revision())
        .bytes(kind::extension::INFO, extension.info())
}

fn in_set(fields: &[Field], set: &str, is_in: bool) -> Vec<Expression> {
    let mut expressions = load_key(fields);
    let found = lookup(set);
    expressions.push(if is_in {
        found
    } else {
        found.number(kind::lookup::FLAGS, kind::lookup::INVERTED)
    });
    expressions
}

fn test(test: &Test, is: bool) -> Vec<Expression> {
    let field = |field: Field, value: Datum| equal(field.origin(), value.bytes(), is);
    match test {
        // Done by `version`.
        Test::Family(_) => Vec::new(),
        Test::Source(network) => address(Field::Source(network.into()), network, is),
        Test::Destination(network) => address(Field::Destination(network.into()), network, is),
        Test::SourcePort(ports) => port(Field::SourcePort, ports, is),
        Test::DestinationPort(ports) => port(Field::DestinationPort, ports, is),
        Test::Protocol(number) => field(Field::Protocol, Datum::Protocol(*number)),
        Test::Mark(masked) => mark(Field::Mark, *masked, is),
        Test::ConntrackMark(masked) => mark(Field::ConntrackMark, *masked, is),
        Test::ConntrackState(states) => {
            any_bit(Origin::Conntrack(kind::conntrack::STATE), states.0, is)
        }
        Test::Dnatted => any_bit(Origin::Conntrack(kind::conntrack::STATUS), DNATTED, is),
        Test::InputInterface(name) => interface(Field::InputInterface, name, is),
        Test::OutputInterface(name) => interface(Field::OutputInterface, name, is),
        Test::EtherSource(mac) => field(Field::EtherSource, Datum::Mac(*mac)),
        Test::EtherDestination(mac) => field(Field::EtherDestination, Datum::Mac(*mac)),
        Test::DestinationIsLocal => {
            equal(Origin::DestinationType, LOCAL.to_ne_bytes().to_vec(), is)
        }
        Test::LongerThan(bytes) => longer(*bytes, is),
    }
}

/// Whole bytes of a prefix are compared directly; other prefixes are masked first.
fn address(field: Field, network: &IpNetwork, is: bool) -> Vec<Expression> {
    let bytes = |address| Datum::Address(address).bytes();
    let (value, mask) = (bytes(network.network()), bytes(network.mask()));
    let whole = usize::from(network.prefix()) / 8;
    if network.prefix() > 0 && network.prefix().is_multiple_of(8) {
        return equal(field.origin(), value[..whole].to_vec(), is);
    }
    masked(field.origin(), mask, value, is)
}

fn port(field: Field, ports: &RangeInclusive<u16>, is: bool) -> Vec<Expression> {
    let [first, last] = [*ports.start(), *ports.end()].map(|port| Datum::Port(port).bytes());
    if first == last {
        return equal(field.origin(), first, is);
    }
    let mut expressions = vec![load(field.origin(), first.len(), Register::FIRST)];
    if is {
        expressions.push(compare(kind::compare::AT_LEAST, first));
        expressions.push(compare(kind::compare::AT_MOST, last));
    } else {
        expressions.push(
            Expression::new("range")
                .register(kind::range::FROM, Register::FIRST)
                .number(kind::range::OPERATOR, kind::range::NOT_EQUAL)
                .value(kind::range::FIRST, first)
                .value(kind::range::LAST, last),
        );
    }
    expressions
}

fn mark(field: Field, wanted: Masked, is: bool) -> Vec<Expression> {
    let value = wanted.value.to_ne_bytes().to_vec();
    match wanted.mask {
        u32::MAX => equal(field.origin(), value, is),
        mask => masked(field.origin(), mask.to_ne_bytes().to_vec(), value, is),
    }
}

/// One of the bits is set: what is left of them is not zero.
fn any_bit(origin: Origin, bits: u32, is: bool) -> Vec<Expression> {
    masked(origin, bits.to_ne_bytes().to_vec(), vec![0; 4], !is)
}

/// The kernel compares bytes from the first on, so a number must be in network order.
fn longer(than: u32, is: bool) -> Vec<Expression> {
    let operator = match is {
        true => kind::compare::MORE,
        false => kind::compare::AT_MOST,
    };
    vec![
        load(Origin::Meta(kind::meta::LENGTH), 4, Register::FIRST),
        Expression::new("byteorder")
            .register(kind::byte_order::FROM, Register::FIRST)
            .register(kind::byte_order::TO, Register::FIRST)
            .number(kind::byte_order::OPERATION, kind::byte_order::TO_NETWORK)
            .number(kind::byte_order::LENGTH, 4)
            .number(kind::byte_order::SIZE, 4),
        compare(operator, than.to_be_bytes().to_vec()),
    ]
}

/// A name that ends in `*` is compared up to there.
fn interface(field: Field, name: &str, is: bool) -> Vec<Expression> {
    let mut value = match name.strip_suffix('*') {
        Some(prefix) => prefix.as_bytes().to_vec(),
        None => Datum::Interface(name.to_owned()).bytes(),
    };
    value.truncate(INTERFACE_NAME_LENGTH);
    equal(field.origin(), value, is)
}

fn equal(origin: Origin, value: Vec<u8>, is: bool) -> Vec<Expression> {
    let operator = operator(is);
    vec![
        load(origin, value.len(), Register::FIRST),
        compare(operator, value),
    ]
}

fn masked(origin: Origin, mask: Vec<u8>, value: Vec<u8>, is: bool) -> Vec<Expression> {
    let none = vec![0; mask.len()];
    vec![
        load(origin, mask.len(), Register::FIRST),
        bitwise(mask, none),
        compare(operator(is), value),
    ]
}

fn operator(is: bool) -> u32 {
    if is {
        kind::compare::EQUAL
    } else {
        kind::compare::NOT_EQUAL
    }
}

fn compare(operator: u32, value: Vec<u8>) -> Expression {
    Expression::new("cmp")
        .register(kind::compare::FROM, Register::FIRST)
        .number(kind::compare::OPERATOR, operator)
        .value(kind::compare::DATA, value)
}
