//! From [`Match`] and [`Action`] to the kernel's expressions, as nft(8) composes them, so that
//! nft(8) can print them.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
    Lookup, Meta, MetaKey, Operator, Payload, Register, Verdict, VerdictAttribute,
};

use super::{Action, Family, KeyType, Match, NewRule};

/// NFT_PAYLOAD_LL_HEADER
pub(super) const LINK_HEADER: u32 = 0;
/// NFT_PAYLOAD_NETWORK_HEADER
pub(super) const NETWORK_HEADER: u32 = 1;
/// Offset of the source address in an Ethernet header.
pub(super) const ETHER_SOURCE: u32 = 6;
/// The kernel compares interface names over their whole buffer (IFNAMSIZ).
const INTERFACE_NAME_LENGTH: usize = 16;
/// NF_DROP and NF_ACCEPT.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

type Expression = ListAttribute<ExpressionAttribute>;

/// The expressions of `rule` in a table of `family`.
pub(super) fn rule(family: Family, rule: &NewRule<'_>) -> Vec<Expression> {
    let mut expressions = Vec::with_capacity(8);
    let mut known = None;
    for condition in &rule.matches {
        if let Some(version) = version(condition).filter(|version| known != Some(*version)) {
            expressions.extend(protocol(family, version));
            known = Some(version);
        }
        expressions.extend(condition_expressions(condition));
    }
    expressions.push(action(&rule.action));
    expressions.into_iter().map(Expression::from).collect()
}

fn condition_expressions(condition: &Match) -> Vec<Expressions> {
    match condition {
        Match::Source(network) => network_match(network, source_offset(network), Operator::Equal),
        Match::Destination(network) => {
            network_match(network, destination_offset(network), Operator::Equal)
        }
        Match::NotDestination(network) => {
            network_match(network, destination_offset(network), Operator::NotEqual)
        }
        Match::SourceIn(key, set) => vec![
            load(NETWORK_HEADER, key_offset(*key), key.length()),
            Expressions::Lookup(vec![
                Lookup::Set(set.clone()),
                Lookup::SourceRegister(Register::Reg1),
            ]),
        ],
        Match::InputInterface(name) => {
            let mut value = name.as_bytes().to_vec();
            value.resize(INTERFACE_NAME_LENGTH, 0);
            vec![load_meta(MetaKey::Iifname), compare(Operator::Equal, value)]
        }
        Match::EtherSource(mac) => {
            vec![
                load(LINK_HEADER, ETHER_SOURCE, 6),
                compare(Operator::Equal, mac.0.to_vec()),
            ]
        }
        Match::Other(_) => Vec::new(),
    }
}

/// The IP version that a condition needs established before it may look into the packet.
fn version(condition: &Match) -> Option<KeyType> {
    match condition {
        Match::Source(network) | Match::Destination(network) | Match::NotDestination(network) => {
            Some(KeyType::of(network))
        }
        Match::SourceIn(key, _) => Some(*key),
        _ => None,
    }
}

fn protocol(family: Family, version: KeyType) -> Vec<Expressions> {
    let (key, value) = match (family, version) {
        (Family::Inet, KeyType::Ipv4Address) => (MetaKey::Nfproto, vec![2]),
        (Family::Inet, KeyType::Ipv6Address) => (MetaKey::Nfproto, vec![10]),
        (Family::Bridge, KeyType::Ipv4Address) => (MetaKey::EtherTypeProtocol, vec![0x08, 0x00]),
        (Family::Bridge, KeyType::Ipv6Address) => (MetaKey::EtherTypeProtocol, vec![0x86, 0xdd]),
        (Family::Ip | Family::Ip6, _) => return Vec::new(),
    };
    vec![load_meta(key), compare(Operator::Equal, value)]
}

/// Whole bytes of a prefix are compared directly; other prefixes are masked first.
fn network_match(network: &IpNetwork, offset: u32, operator: Operator) -> Vec<Expressions> {
    let (address, mask) = (bytes(network.network()), bytes(network.mask()));
    let whole = usize::from(network.prefix()) / 8;
    if network.prefix() > 0 && network.prefix().is_multiple_of(8) {
        return vec![
            load(NETWORK_HEADER, offset, whole as u32),
            compare(operator, address[..whole].to_vec()),
        ];
    }
    vec![
        load(NETWORK_HEADER, offset, address.len() as u32),
        Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(address.len() as u32),
            Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
            Bitwise::Mask(DataAttribute::Value(mask)),
        ]),
        compare(operator, address),
    ]
}

fn action(action: &Action) -> Expressions {
    let (code, chain) = match action {
        Action::Masquerade => {
            return Expressions::Other {
                expression_type: "masq".into(),
                attributes: Vec::new(),
            };
        }
        Action::Accept => (Verdict::Other(ACCEPT), None),
        Action::Drop => (Verdict::Other(DROP), None),
        Action::Return => (Verdict::Return, None),
        Action::Jump(chain) => (Verdict::Jump, Some(chain)),
        Action::Goto(chain) => (Verdict::Goto, Some(chain)),
    };
    let mut verdict = vec![VerdictAttribute::Code(code)];
    verdict.extend(chain.cloned().map(VerdictAttribute::Chain));
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(verdict)),
    ])
}

fn load(base: u32, offset: u32, length: u32) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
}

fn load_meta(key: MetaKey) -> Expressions {
    Expressions::Meta(vec![
        Meta::Key(key),
        Meta::DestinationRegister(Register::Reg1),
    ])
}

fn compare(operator: Operator, value: Vec<u8>) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value)),
    ])
}

fn key_offset(key: KeyType) -> u32 {
    match key {
        KeyType::Ipv4Address => 12,
        KeyType::Ipv6Address => 8,
    }
}

/// Offset of the source address in the IP header (RFC 791, RFC 8200).
pub(super) fn source_offset(network: &IpNetwork) -> u32 {
    key_offset(KeyType::of(network))
}

/// Offset of the destination address in the IP header: right behind the source.
pub(super) fn destination_offset(network: &IpNetwork) -> u32 {
    source_offset(network) + KeyType::of(network).length()
}

/// An address as it lies in a packet and in a set's key.
pub(super) fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
