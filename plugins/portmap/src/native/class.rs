//! Which maps the mappings of a network are in. All networks without conditions share those of the
//! node; those with conditions share theirs with networks that have the same.

use attach::identity;
use kernel::{
    Family,
    nft::{Data, DataType, Datum, Field, Key, KeyType, SetType},
};

use crate::mapping::{Mapping, On};

/// Hex digits of the conditions' hash.
const DIGITS: usize = 16;
const CHAIN_PREFIX: &str = "conditions-";

/// The mappings of one family under the same conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub family: Family,
    /// `v4`, or `v4-` and a hash of conditions.
    name: String,
}

impl Class {
    /// Under these conditions.
    pub(crate) fn new(family: Family, words: &[String]) -> Self {
        let plain = plain_name(family);
        let name = match words {
            [] => plain.to_owned(),
            words => identity::hash(&format!("{plain}-"), &words.join(" "), DIGITS + 3),
        };
        Self { family, name }
    }

    /// Under none.
    pub(crate) fn plain(family: Family) -> Self {
        Self::new(family, &[])
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.name == plain_name(self.family)
    }

    /// The chain that looks into its maps, of a class with conditions.
    pub(crate) fn chain(&self) -> Option<String> {
        (!self.is_plain()).then(|| format!("{CHAIN_PREFIX}{}", self.name))
    }

    /// The class of a chain.
    pub(crate) fn of_chain(chain: &str) -> Option<Self> {
        let name = chain.strip_prefix(CHAIN_PREFIX)?;
        let of = |family: &Family| name.starts_with(plain_name(*family));
        Some(Self {
            family: Family::ALL.into_iter().find(of)?,
            name: name.to_owned(),
        })
    }

    /// The set of a condition's values.
    pub(crate) fn condition_set(&self, number: usize) -> String {
        format!("{CHAIN_PREFIX}{}-{number}", self.name)
    }

    /// The map of ports that are mapped on all addresses.
    pub(crate) fn ports(&self) -> Place {
        Place {
            set: format!("ports-{}", self.name),
            types: translating(port_key(), self.family),
        }
    }

    /// The map of ports that are mapped on one address.
    pub(crate) fn addresses(&self) -> Place {
        let mut key = vec![KeyType::Address(self.family)];
        key.extend(port_key());
        Place {
            set: format!("addresses-{}", self.name),
            types: translating(key, self.family),
        }
    }

    /// Where a mapping is, and by which key.
    pub(crate) fn slot(&self, mapping: &Mapping) -> (Place, Key) {
        match mapping.on {
            On::One(address) => {
                let mut key = vec![Datum::Address(address)];
                key.extend(port_datum(mapping));
                (self.addresses(), Key::Single(key))
            }
            On::All | On::V4 | On::V6 => (self.ports(), port_of(mapping)),
        }
    }

    /// What the rule that looks into [`ports`](Self::ports) looks up.
    pub(crate) fn port_fields() -> Vec<Field> {
        vec![Field::Protocol, Field::DestinationPort]
    }

    /// What the rule that looks into [`addresses`](Self::addresses) looks up.
    pub(crate) fn address_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::Destination(self.family)];
        fields.extend(Self::port_fields());
        fields
    }
}

/// `v4` or `v6`
pub(crate) fn plain_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

/// A set or map of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub set: String,
    pub types: SetType,
}

impl Place {
    /// Of one address as key.
    pub(crate) fn of_addresses(set: String, family: Family) -> Self {
        Self {
            set,
            types: KeyType::Address(family).into(),
        }
    }
}

fn port_key() -> Vec<KeyType> {
    vec![KeyType::Protocol, KeyType::Port]
}

fn port_datum(mapping: &Mapping) -> [Datum; 2] {
    [
        Datum::Protocol(mapping.protocol.number()),
        Datum::Port(mapping.host_port),
    ]
}

/// Protocol and port of a mapping.
pub(crate) fn port_of(mapping: &Mapping) -> Key {
    Key::Single(port_datum(mapping).to_vec())
}

fn translating(key: Vec<KeyType>, family: Family) -> SetType {
    let target = vec![KeyType::Address(family), KeyType::Port];
    SetType {
        key,
        data: Some(DataType::Values(target)),
        intervals: false,
    }
}

/// A set of protocols and ports.
pub(crate) fn set_of_ports() -> SetType {
    SetType {
        key: port_key(),
        data: None,
        intervals: false,
    }
}

/// Where connections of a mapping go.
pub(crate) fn target(address: std::net::IpAddr, mapping: &Mapping) -> Data {
    Data::Values(vec![
        Datum::Address(address),
        Datum::Port(mapping.container_port),
    ])
}
