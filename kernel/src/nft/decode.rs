//! From the kernel's expressions back to [`Match`] and [`Action`], for rules of nft(8),
//! iptables-nft and ours.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{
    Action, KeyType, Match,
    attribute::{attributes, find, number, text},
    encode::{ETHER_SOURCE, LINK_HEADER, NETWORK_HEADER},
};
use crate::MacAddr;

/// Attributes and values as `linux/netfilter/nf_tables.h` numbers them.
mod kind {
    pub(super) const EXPRESSION_NAME: u16 = 1;
    pub(super) const EXPRESSION_DATA: u16 = 2;
    pub(super) const DATA_VALUE: u16 = 1;
    pub(super) const DATA_VERDICT: u16 = 2;
    pub(super) const PAYLOAD_BASE: u16 = 2;
    pub(super) const PAYLOAD_OFFSET: u16 = 3;
    pub(super) const META_KEY: u16 = 2;
    pub(super) const BITWISE_MASK: u16 = 4;
    pub(super) const CMP_OPERATOR: u16 = 2;
    pub(super) const CMP_DATA: u16 = 3;
    pub(super) const LOOKUP_SET: u16 = 1;
    pub(super) const IMMEDIATE_DATA: u16 = 2;
    pub(super) const VERDICT_CODE: u16 = 1;
    pub(super) const VERDICT_CHAIN: u16 = 2;
    /// Of iptables-nft's `match` and `target`.
    pub(super) const EXTENSION_NAME: u16 = 1;
    pub(super) const EXTENSION_INFO: u16 = 3;
}

const META_PROTOCOL: u32 = 1;
const META_IIFNAME: u32 = 6;
const META_NFPROTO: u32 = 15;
const CMP_EQUAL: u32 = 0;
const CMP_NOT_EQUAL: u32 = 1;
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;
const RETURN: i32 = -5;

/// What a rule's expressions say.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) matches: Vec<Match>,
    pub(super) action: Option<Action>,
    pub(super) comment: Option<String>,
}

/// What the latest loading expression put into its register.
#[derive(Clone, Copy, Default)]
enum Loaded<'a> {
    #[default]
    Nothing,
    Packet {
        base: u32,
        offset: u32,
        mask: Option<&'a [u8]>,
    },
    Meta(u32),
}

/// Reads the expressions of one rule.
pub(super) fn rule(list: &[u8]) -> Content {
    let mut content = Content::default();
    let mut loaded = Loaded::Nothing;
    for (_, expression) in attributes(list) {
        let name = find(expression, kind::EXPRESSION_NAME)
            .and_then(text)
            .unwrap_or_default();
        let data = find(expression, kind::EXPRESSION_DATA).unwrap_or_default();
        match name {
            "payload" => loaded = payload(data),
            "meta" => loaded = find_number(data, kind::META_KEY).map_or(loaded, Loaded::Meta),
            "bitwise" => loaded = masked(loaded, data),
            "cmp" => content.matches.extend(compare(loaded, data)),
            "lookup" => content.matches.push(lookup(loaded, data)),
            "immediate" => content.action = verdict(data).or(content.action),
            "masq" => content.action = Some(Action::Masquerade),
            "counter" => {}
            "match" | "target" => extension(&mut content, data),
            other => content.matches.push(Match::Other(other.to_owned())),
        }
    }
    content
}

fn find_number(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind).and_then(number)
}

fn payload(data: &[u8]) -> Loaded<'_> {
    match (
        find_number(data, kind::PAYLOAD_BASE),
        find_number(data, kind::PAYLOAD_OFFSET),
    ) {
        (Some(base), Some(offset)) => Loaded::Packet {
            base,
            offset,
            mask: None,
        },
        _ => Loaded::Nothing,
    }
}

fn masked<'a>(loaded: Loaded<'a>, data: &'a [u8]) -> Loaded<'a> {
    let mask = find(data, kind::BITWISE_MASK).and_then(|mask| find(mask, kind::DATA_VALUE));
    match (loaded, mask) {
        (
            Loaded::Packet {
                base,
                offset,
                mask: None,
            },
            Some(mask),
        ) => Loaded::Packet {
            base,
            offset,
            mask: Some(mask),
        },
        _ => Loaded::Nothing,
    }
}

/// `None` for a check of the IP version, which the other conditions imply.
fn compare(loaded: Loaded<'_>, data: &[u8]) -> Option<Match> {
    let operator = find_number(data, kind::CMP_OPERATOR);
    let value = find(data, kind::CMP_DATA).and_then(|value| find(value, kind::DATA_VALUE));
    let (is_equal, value) = match (operator, value) {
        (Some(CMP_EQUAL), Some(value)) => (true, value),
        (Some(CMP_NOT_EQUAL), Some(value)) => (false, value),
        _ => return Some(Match::Other("cmp".to_owned())),
    };
    let condition = match loaded {
        Loaded::Meta(META_NFPROTO | META_PROTOCOL) if is_equal => return None,
        Loaded::Meta(META_IIFNAME) if is_equal => {
            text(value).map(|name| Match::InputInterface(name.to_owned()))
        }
        Loaded::Packet {
            base: LINK_HEADER,
            offset: ETHER_SOURCE,
            mask: None,
        } if is_equal => value
            .try_into()
            .ok()
            .map(|mac| Match::EtherSource(MacAddr(mac))),
        Loaded::Packet {
            base: NETWORK_HEADER,
            offset,
            mask,
        } => network_match(offset, value, mask, is_equal),
        _ => None,
    };
    Some(condition.unwrap_or_else(|| Match::Other("cmp".to_owned())))
}

/// The offsets of the four addresses in IP headers are all different.
fn network_match(offset: u32, value: &[u8], mask: Option<&[u8]>, is_equal: bool) -> Option<Match> {
    let length = match offset {
        12 | 16 => 4,
        8 | 24 => 16,
        _ => return None,
    };
    let mut bytes = value.to_vec();
    bytes.resize(length, 0);
    let prefix: u32 = match mask {
        // A prefix of whole bytes is loaded without the rest of the address.
        None => value.len() as u32 * 8,
        Some(mask) => mask.iter().map(|byte| byte.count_ones()).sum(),
    };
    let network = IpNetwork::new(address(&bytes)?, u8::try_from(prefix).ok()?).ok()?;
    match (offset, is_equal) {
        (8 | 12, true) => Some(Match::Source(network)),
        (16 | 24, true) => Some(Match::Destination(network)),
        (16 | 24, false) => Some(Match::NotDestination(network)),
        _ => None,
    }
}

fn lookup(loaded: Loaded<'_>, data: &[u8]) -> Match {
    let key = match loaded {
        Loaded::Packet {
            base: NETWORK_HEADER,
            offset: 12,
            mask: None,
        } => KeyType::Ipv4Address,
        Loaded::Packet {
            base: NETWORK_HEADER,
            offset: 8,
            mask: None,
        } => KeyType::Ipv6Address,
        _ => return Match::Other("lookup".to_owned()),
    };
    let set = find(data, kind::LOOKUP_SET)
        .and_then(text)
        .unwrap_or_default();
    Match::SourceIn(key, set.to_owned())
}

fn verdict(data: &[u8]) -> Option<Action> {
    let verdict =
        find(data, kind::IMMEDIATE_DATA).and_then(|data| find(data, kind::DATA_VERDICT))?;
    let chain = || {
        find(verdict, kind::VERDICT_CHAIN)
            .and_then(text)
            .map(str::to_owned)
    };
    match find_number(verdict, kind::VERDICT_CODE)? as i32 {
        DROP => Some(Action::Drop),
        ACCEPT => Some(Action::Accept),
        RETURN => Some(Action::Return),
        JUMP => chain().map(Action::Jump),
        GOTO => chain().map(Action::Goto),
        _ => None,
    }
}

/// Extensions of iptables-nft that carry what nftables says with an expression of its own.
fn extension(content: &mut Content, data: &[u8]) {
    let name = find(data, kind::EXTENSION_NAME)
        .and_then(text)
        .unwrap_or_default();
    match name {
        "MASQUERADE" => content.action = Some(Action::Masquerade),
        "comment" => {
            let text = find(data, kind::EXTENSION_INFO).and_then(text);
            content.comment = text.map(str::to_owned);
        }
        other => content.matches.push(Match::Other(other.to_owned())),
    }
}

/// An address from its 4 or 16 bytes.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
