//! From the kernel's expressions back to [`Match`] and [`Action`], for rules of nft(8),
//! iptables-nft and ours.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
    Lookup, Meta, MetaKey, Operator, Payload, Verdict, VerdictAttribute,
};

use super::{
    Action, KeyType, Match,
    encode::{ETHER_SOURCE, LINK_HEADER, NETWORK_HEADER},
};
use crate::MacAddr;

/// NFTA_{MATCH,TARGET}_NAME and NFTA_MATCH_INFO: extensions of iptables-nft.
const EXTENSION_NAME: u16 = 1;
const EXTENSION_INFO: u16 = 3;

/// What a rule's expressions say.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) matches: Vec<Match>,
    pub(super) action: Option<Action>,
    pub(super) comment: Option<String>,
}

/// What the latest loading expression put into its register.
#[derive(Default)]
enum Loaded {
    #[default]
    Nothing,
    Packet {
        base: u32,
        offset: u32,
        mask: Option<Vec<u8>>,
    },
    Meta(MetaKey),
}

/// Reads the expressions of one rule.
pub(super) fn rule(list: &[ListAttribute<ExpressionAttribute>]) -> Content {
    let mut content = Content::default();
    let mut loaded = Loaded::Nothing;
    for expression in list.iter().filter_map(data) {
        match expression {
            Expressions::Payload(attributes) => loaded = payload(attributes),
            Expressions::Meta(attributes) => loaded = meta(attributes),
            Expressions::Bitwise(attributes) => {
                if let Loaded::Packet { mask, .. } = &mut loaded {
                    *mask = bitwise_mask(attributes);
                }
            }
            Expressions::Cmp(attributes) => content.matches.extend(compare(&loaded, attributes)),
            Expressions::Lookup(attributes) => {
                content.matches.push(lookup(&loaded, attributes));
            }
            Expressions::Immediate(attributes) => {
                content.action = verdict(attributes).or(content.action);
            }
            Expressions::Other {
                expression_type,
                attributes,
            } => {
                extension(&mut content, expression_type, attributes);
            }
            _ => content.matches.push(Match::Other("unknown".into())),
        }
    }
    content
}

fn data(item: &ListAttribute<ExpressionAttribute>) -> Option<&Expressions> {
    let ListAttribute::Element(attributes) = item else {
        return None;
    };
    attributes.iter().find_map(|attribute| match attribute {
        ExpressionAttribute::Data(expressions) => Some(expressions),
        _ => None,
    })
}

fn payload(attributes: &[Payload]) -> Loaded {
    let (mut base, mut offset) = (u32::MAX, u32::MAX);
    for attribute in attributes {
        match attribute {
            Payload::Base(number) => base = *number,
            Payload::Offset(number) => offset = *number,
            _ => {}
        }
    }
    Loaded::Packet {
        base,
        offset,
        mask: None,
    }
}

fn meta(attributes: &[Meta]) -> Loaded {
    let key = attributes.iter().find_map(|attribute| match attribute {
        Meta::Key(key) => Some(*key),
        _ => None,
    });
    key.map_or(Loaded::Nothing, Loaded::Meta)
}

fn bitwise_mask(attributes: &[Bitwise]) -> Option<Vec<u8>> {
    attributes.iter().find_map(|attribute| match attribute {
        Bitwise::Mask(DataAttribute::Value(mask)) => Some(mask.clone()),
        _ => None,
    })
}

/// `None` for a check of the IP version, which the other conditions imply.
fn compare(loaded: &Loaded, attributes: &[Cmp]) -> Option<Match> {
    let (mut equal, mut negated, mut value) = (false, false, &[][..]);
    for attribute in attributes {
        match attribute {
            Cmp::Op(operator) => {
                (equal, negated) = (
                    *operator == Operator::Equal,
                    *operator == Operator::NotEqual,
                );
            }
            Cmp::Data(DataAttribute::Value(bytes)) => value = bytes,
            _ => {}
        }
    }
    let other = || Some(Match::Other("cmp".into()));
    match loaded {
        Loaded::Meta(MetaKey::Nfproto | MetaKey::EtherTypeProtocol) if equal => None,
        Loaded::Meta(MetaKey::Iifname) if equal => interface(value).or_else(other),
        Loaded::Packet {
            base: LINK_HEADER,
            offset: ETHER_SOURCE,
            mask: None,
        } if equal => value
            .try_into()
            .ok()
            .map(|mac| Match::EtherSource(MacAddr(mac)))
            .or_else(other),
        Loaded::Packet {
            base: NETWORK_HEADER,
            offset,
            mask,
        } => network(*offset, value, mask.as_deref(), equal, negated).or_else(other),
        _ => other(),
    }
}

fn interface(value: &[u8]) -> Option<Match> {
    let name = value.split(|byte| *byte == 0).next()?;
    Some(Match::InputInterface(
        String::from_utf8(name.to_vec()).ok()?,
    ))
}

/// The offsets of the four addresses in IP headers are all different.
fn network(
    offset: u32,
    value: &[u8],
    mask: Option<&[u8]>,
    equal: bool,
    negated: bool,
) -> Option<Match> {
    let (length, is_source) = match offset {
        8 => (16, true),
        12 => (4, true),
        16 if value.len() <= 4 => (4, false),
        24 => (16, false),
        _ => return None,
    };
    let mut bytes = value.to_vec();
    bytes.resize(length, 0);
    let prefix = match mask {
        None => value.len() as u32 * 8,
        Some(mask) => mask.iter().map(|byte| byte.count_ones()).sum(),
    };
    let network = IpNetwork::new(address(&bytes)?, u8::try_from(prefix).ok()?).ok()?;
    match (is_source, equal, negated) {
        (true, true, _) => Some(Match::Source(network)),
        (false, true, _) => Some(Match::Destination(network)),
        (false, _, true) => Some(Match::NotDestination(network)),
        _ => None,
    }
}

fn lookup(loaded: &Loaded, attributes: &[Lookup]) -> Match {
    let set = attributes.iter().find_map(|attribute| match attribute {
        Lookup::Set(name) => Some(name.clone()),
        _ => None,
    });
    match (loaded, set) {
        (
            Loaded::Packet {
                base: NETWORK_HEADER,
                offset: 12,
                mask: None,
            },
            Some(set),
        ) => Match::SourceIn(KeyType::Ipv4Address, set),
        (
            Loaded::Packet {
                base: NETWORK_HEADER,
                offset: 8,
                mask: None,
            },
            Some(set),
        ) => Match::SourceIn(KeyType::Ipv6Address, set),
        _ => Match::Other("lookup".into()),
    }
}

fn verdict(attributes: &[Immediate]) -> Option<Action> {
    let verdict = attributes.iter().find_map(|attribute| match attribute {
        Immediate::Data(DataAttribute::Verdict(verdict)) => Some(verdict),
        _ => None,
    })?;
    let chain = || {
        verdict.iter().find_map(|attribute| match attribute {
            VerdictAttribute::Chain(name) => Some(name.clone()),
            _ => None,
        })
    };
    verdict.iter().find_map(|attribute| match attribute {
        VerdictAttribute::Code(Verdict::Other(0)) => Some(Action::Drop),
        VerdictAttribute::Code(Verdict::Other(1)) => Some(Action::Accept),
        VerdictAttribute::Code(Verdict::Return) => Some(Action::Return),
        VerdictAttribute::Code(Verdict::Jump) => chain().map(Action::Jump),
        VerdictAttribute::Code(Verdict::Goto) => chain().map(Action::Goto),
        _ => None,
    })
}

/// Expressions without attributes of their own here, and the extensions of iptables-nft.
fn extension(content: &mut Content, name: &str, attributes: &[DefaultNla]) {
    let text = |kind| {
        attributes
            .iter()
            .find(|nla| nla.kind() & 0x3fff == kind)
            .and_then(text)
    };
    match (name, text(EXTENSION_NAME).as_deref()) {
        ("counter", _) => {}
        ("masq", _) | ("target", Some("MASQUERADE")) => content.action = Some(Action::Masquerade),
        ("match", Some("comment")) => content.comment = text(EXTENSION_INFO),
        (_, Some(extension)) => content.matches.push(Match::Other(extension.into())),
        _ => content.matches.push(Match::Other(name.into())),
    }
}

/// The text before the first zero of an attribute.
fn text(attribute: &DefaultNla) -> Option<String> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    value.truncate(end);
    String::from_utf8(value).ok()
}

/// An address from its 4 or 16 bytes.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
