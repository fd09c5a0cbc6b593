//! What sets and maps hold: typed keys, single or as ranges, and the data of a map.

use std::{fmt, net::IpAddr};

use ipnetwork::IpNetwork;

use super::Verdict;
use crate::{Family, MacAddr};

/// The type of a key, of one field of a concatenated key, or of a map's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `ipv4_addr` or `ipv6_addr`
    Address(Family),
    /// `ether_addr`
    Mac,
    /// `inet_proto`
    Protocol,
    /// `inet_service`
    Port,
    /// `mark`
    Mark,
    /// `ifname`
    InterfaceName,
}

/// Bytes of an interface name (IFNAMSIZ): the kernel compares the whole buffer.
pub(super) const INTERFACE_NAME_LENGTH: usize = 16;
/// Bits of one type in the type of a concatenation (TYPE_BITS of nft(8)).
const TYPE_BITS: u32 = 6;

impl KeyType {
    const ALL: [Self; 7] = [
        Self::Address(Family::V4),
        Self::Address(Family::V6),
        Self::Mac,
        Self::Protocol,
        Self::Port,
        Self::Mark,
        Self::InterfaceName,
    ];

    /// The type of keys that hold addresses of `network`'s family.
    pub fn of(network: &IpNetwork) -> Self {
        Self::Address(network.into())
    }

    /// nft(8)'s number of the type; the kernel only stores it.
    fn number(self) -> u32 {
        match self {
            Self::Address(Family::V4) => 7,
            Self::Address(Family::V6) => 8,
            Self::Mac => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::InterfaceName => 41,
        }
    }

    pub(super) fn length(self) -> usize {
        match self {
            Self::Address(family) => family.address_length(),
            Self::Mac => 6,
            Self::Protocol => 1,
            Self::Port => 2,
            Self::Mark => 4,
            Self::InterfaceName => INTERFACE_NAME_LENGTH,
        }
    }

    /// What a register or a field of a concatenation takes: whole words of four bytes.
    pub(super) fn padded(self) -> usize {
        self.length().next_multiple_of(4)
    }

    /// Whether nft(8) reads the bytes as this machine's order, not the network's.
    pub(super) fn is_host_order(self) -> bool {
        matches!(self, Self::Mark | Self::InterfaceName)
    }
}

/// The number of a concatenation of `types`.
pub(super) fn type_number(types: &[KeyType]) -> u32 {
    let append = |number, kind: &KeyType| (number << TYPE_BITS) | kind.number();
    types.iter().fold(0, append)
}

/// The types in the number of a concatenation; `None` when one is not in this vocabulary.
pub(super) fn types_of(mut number: u32) -> Option<Vec<KeyType>> {
    let mut types = Vec::new();
    while number != 0 {
        let last = number & ((1 << TYPE_BITS) - 1);
        types.push(
            *KeyType::ALL
                .iter()
                .find(|candidate| candidate.number() == last)?,
        );
        number >>= TYPE_BITS;
    }
    types.reverse();
    Some(types)
}

/// Bytes of a key of `types`: a single field as it is, fields of a concatenation padded.
pub(super) fn length_of(types: &[KeyType]) -> usize {
    match types {
        [single] => single.length(),
        several => several.iter().map(|kind| kind.padded()).sum(),
    }
}

/// One value of a [`KeyType`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datum {
    /// An address of either family.
    Address(IpAddr),
    /// A hardware address.
    Mac(MacAddr),
    /// An IP protocol by its number: 6 is TCP.
    Protocol(u8),
    /// A port of TCP, UDP, SCTP.
    Port(u16),
    /// A packet's or connection's mark.
    Mark(u32),
    /// A link's name.
    Interface(String),
}

impl Datum {
    /// The bytes as they lie in a register.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::Mac(mac) => mac.0.to_vec(),
            Self::Protocol(number) => vec![*number],
            Self::Port(port) => port.to_be_bytes().to_vec(),
            Self::Mark(mark) => mark.to_ne_bytes().to_vec(),
            Self::Interface(name) => {
                let mut bytes = name.as_bytes().to_vec();
                bytes.resize(INTERFACE_NAME_LENGTH, 0);
                bytes
            }
        }
    }

    pub(super) fn read(kind: KeyType, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..kind.length())?;
        Some(match kind {
            KeyType::Address(Family::V4) => Self::Address(<[u8; 4]>::try_from(bytes).ok()?.into()),
            KeyType::Address(Family::V6) => Self::Address(<[u8; 16]>::try_from(bytes).ok()?.into()),
            KeyType::Mac => Self::Mac(MacAddr(bytes.try_into().ok()?)),
            KeyType::Protocol => Self::Protocol(*bytes.first()?),
            KeyType::Port => Self::Port(u16::from_be_bytes(bytes.try_into().ok()?)),
            KeyType::Mark => Self::Mark(u32::from_ne_bytes(bytes.try_into().ok()?)),
            KeyType::InterfaceName => Self::Interface(super::attribute::text(bytes)?.to_owned()),
        })
    }
}

/// The bytes of a key or of a map's data; fields of a concatenation are padded.
pub(super) fn bytes_of(values: &[Datum]) -> Vec<u8> {
    match values {
        [single] => single.bytes(),
        several => several
            .iter()
            .flat_map(|value| {
                let mut bytes = value.bytes();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes
            })
            .collect(),
    }
}

pub(super) fn values_of(types: &[KeyType], mut bytes: &[u8]) -> Option<Vec<Datum>> {
    types
        .iter()
        .map(|kind| {
            let value = Datum::read(*kind, bytes);
            bytes = bytes.get(kind.padded()..).unwrap_or_default();
            value
        })
        .collect()
}

/// The key of an element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// One value, or one of each field of a concatenation.
    Single(Vec<Datum>),
    /// From the first to the last, both included. Every key of a set with intervals is read as one,
    /// also of one value. In a concatenation each field is a range.
    Range(Vec<Datum>, Vec<Datum>),
}

impl Key {
    /// The address, of a key that is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Single(values) => match values[..] {
                [Datum::Address(address)] => Some(address),
                _ => None,
            },
            Self::Range(..) => None,
        }
    }

    /// The same key as a set of `types` holds it: a single value in a set of ranges is a range of
    /// one, because the kernel takes a key without an end there for a range without an end; and a
    /// range of one in a set of single keys is that value.
    pub(super) fn in_set_of(self, types: &SetType) -> Self {
        match self {
            Self::Single(values) if types.intervals => Self::Range(values.clone(), values),
            Self::Range(first, last) if !types.intervals && first == last => Self::Single(first),
            key => key,
        }
    }

    pub(super) fn first(&self) -> &[Datum] {
        match self {
            Self::Single(values) | Self::Range(values, _) => values,
        }
    }
}

/// As nft(8) writes it: `10.0.0.0-10.0.0.255 . 80`, with one range for the whole key.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |f: &mut fmt::Formatter<'_>, values: &[Datum]| {
            for (place, value) in values.iter().enumerate() {
                f.write_str(if place == 0 { "" } else { " . " })?;
                value.fmt(f)?;
            }
            Ok(())
        };
        write(f, self.first())?;
        if let Self::Range(_, last) = self {
            f.write_str("-")?;
            write(f, last)?;
        }
        Ok(())
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
            Self::Protocol(number) => number.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Mark(mark) => write!(f, "{mark:#x}"),
            Self::Interface(name) => f.write_str(name),
        }
    }
}

impl From<Datum> for Key {
    fn from(value: Datum) -> Self {
        Self::Single(vec![value])
    }
}

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        Datum::Address(address).into()
    }
}

/// The range of all addresses of the network, also of a single host.
impl From<IpNetwork> for Key {
    fn from(network: IpNetwork) -> Self {
        let (first, last) = (network.network(), last_address(&network));
        Self::Range(vec![Datum::Address(first)], vec![Datum::Address(last)])
    }
}

fn last_address(network: &IpNetwork) -> IpAddr {
    match network {
        IpNetwork::V4(network) => network.broadcast().into(),
        IpNetwork::V6(network) => (u128::from(network.network()) | !u128::from(network.mask()))
            .to_be_bytes()
            .into(),
    }
}

/// What a map says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Of a verdict map.
    Verdict(Verdict),
    /// One value, or one of each field of a concatenation.
    Values(Vec<Datum>),
}

/// The types of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetType {
    /// The key's fields; more than one is a concatenation.
    pub key: Vec<KeyType>,
    /// What a map says of a key; none for a set.
    pub data: Option<DataType>,
    /// Whether keys are ranges.
    pub intervals: bool,
}

/// The type of a map's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataType {
    /// `verdict`
    Verdict,
    /// The fields; more than one is a concatenation.
    Values(Vec<KeyType>),
}

impl From<KeyType> for SetType {
    /// A set of single keys.
    fn from(key: KeyType) -> Self {
        Self {
            key: vec![key],
            data: None,
            intervals: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenated_types_read_back() {
        for types in [
            vec![KeyType::Port],
            vec![KeyType::Address(Family::V4), KeyType::Port],
            vec![
                KeyType::Protocol,
                KeyType::Address(Family::V6),
                KeyType::InterfaceName,
            ],
        ] {
            assert_eq!(types_of(type_number(&types)), Some(types));
        }
        assert_eq!(types_of(5), None, "a string");
    }

    #[test]
    fn values_read_back() {
        let values = vec![
            Datum::Protocol(6),
            Datum::Port(80),
            Datum::Mac(MacAddr([2, 0, 0, 0, 0, 1])),
            Datum::Address("10.0.0.1".parse().unwrap()),
            Datum::Mark(7),
            Datum::Address("2001:db8::1".parse().unwrap()),
            Datum::Interface("eth0".to_owned()),
        ];
        let types = [
            KeyType::Protocol,
            KeyType::Port,
            KeyType::Mac,
            KeyType::Address(Family::V4),
            KeyType::Mark,
            KeyType::Address(Family::V6),
            KeyType::InterfaceName,
        ];
        let bytes = bytes_of(&values);
        assert_eq!(bytes.len(), length_of(&types));
        assert_eq!(values_of(&types, &bytes).unwrap(), values);
        assert_eq!(values_of(&types, &bytes[..20]), None);
    }

    #[test]
    fn keys_take_the_form_of_their_set() {
        let port = |port| vec![Datum::Port(port)];
        let (single, range) = (Key::Single(port(80)), Key::Range(port(80), port(80)));
        let wide = Key::Range(port(80), port(90));
        let plain = SetType::from(KeyType::Port);
        let intervals = SetType {
            intervals: true,
            ..plain.clone()
        };
        for (types, given, held) in [
            (&plain, &single, &single),
            (&plain, &range, &single),
            (&plain, &wide, &wide),
            (&intervals, &single, &range),
            (&intervals, &range, &range),
            (&intervals, &wide, &wide),
        ] {
            assert_eq!(
                &given.clone().in_set_of(types),
                held,
                "{given} in {types:?}"
            );
        }
    }

    #[test]
    fn networks_are_ranges() {
        let key = |text: &str| Key::from(text.parse::<IpNetwork>().unwrap());
        let address = |text: &str| vec![Datum::Address(text.parse().unwrap())];
        assert_eq!(
            key("10.1.2.3/8"),
            Key::Range(address("10.0.0.0"), address("10.255.255.255"))
        );
        assert_eq!(
            key("2001:db8::/126"),
            Key::Range(address("2001:db8::"), address("2001:db8::3"))
        );
        assert_eq!(
            key("10.1.2.3/32"),
            Key::Range(address("10.1.2.3"), address("10.1.2.3"))
        );
        assert_eq!(
            Key::Single(address("10.1.2.3")).address(),
            "10.1.2.3".parse().ok()
        );
    }
}
