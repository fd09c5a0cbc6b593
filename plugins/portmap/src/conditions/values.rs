//! The values of conditions.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::{
    Family,
    nft::{Datum, Key, States},
};

use super::reader::named_protocol;

/// A decimal or hexadecimal number.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A protocol by name or number.
pub(super) fn protocol(text: &str) -> Option<u8> {
    named_protocol(text).or_else(|| u8::try_from(number(text)?).ok())
}

/// The state of a connection.
pub(super) fn state(text: &str) -> Option<States> {
    Some(match text {
        "invalid" => States::INVALID,
        "established" => States::ESTABLISHED,
        "related" => States::RELATED,
        "new" => States::NEW,
        "untracked" => States::UNTRACKED,
        _ => return None,
    })
}

/// A port, or a range of ports.
pub(super) fn port(text: &str) -> Option<Key> {
    let port = |text: &str| u16::try_from(number(text)?).ok();
    let Some((first, last)) = text.split_once('-') else {
        return port(text).map(|port| Datum::Port(port).into());
    };
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then(|| Key::Range(vec![Datum::Port(first)], vec![Datum::Port(last)]))
}

/// An address, a network, or a range of addresses.
pub(super) fn address(family: Family, text: &str) -> Option<Key> {
    let address = |text: &str| -> Option<IpAddr> {
        let address = text.parse::<IpAddr>().ok()?;
        (Family::from(address) == family).then_some(address)
    };
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (address(first)?, address(last)?);
        let range = Key::Range(vec![Datum::Address(first)], vec![Datum::Address(last)]);
        return (first <= last).then_some(range);
    }
    if let Some(address) = address(text) {
        return Some(address.into());
    }
    let network: IpNetwork = text.parse().ok()?;
    (Family::from(&network) == family).then(|| network.into())
}

/// The network that goes from the first address to the last.
pub(super) fn network(first: &[Datum], last: &[Datum]) -> Option<IpNetwork> {
    let ([Datum::Address(first)], [Datum::Address(last)]) = (first, last) else {
        return None;
    };
    let bits = |address: &IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let differing = bits(first) ^ bits(last);
    let host_bits = u128::BITS - differing.leading_zeros();
    let is_network = differing.count_ones() == host_bits && bits(first) & differing == 0;
    let prefix = Family::from(*first).bits() - u8::try_from(host_bits).ok()?;
    IpNetwork::new(*first, prefix).ok().filter(|_| is_network)
}

/// Keys as one set takes them: all single, or all ranges of which none meets another.
pub(super) fn in_one_set(mut keys: Vec<Key>) -> Vec<Key> {
    if !keys.iter().any(|key| matches!(key, Key::Range(..))) {
        keys.sort_unstable();
        keys.dedup();
        return keys;
    }
    let mut ranges: Vec<(Vec<Datum>, Vec<Datum>)> = keys
        .into_iter()
        .map(|key| match key {
            Key::Single(values) => (values.clone(), values),
            Key::Range(first, last) => (first, last),
        })
        .collect();
    ranges.sort_unstable();
    let mut apart: Vec<(Vec<Datum>, Vec<Datum>)> = Vec::new();
    for (first, last) in ranges {
        match apart.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(end.clone()),
            _ => apart.push((first, last)),
        }
    }
    apart
        .into_iter()
        .map(|(first, last)| Key::Range(first, last))
        .collect()
}
