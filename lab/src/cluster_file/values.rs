//! Values that are written in a way of their own.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::NodeEntry;
use crate::size::{parse_delay, parse_lease_ttl, parse_loss, parse_probe_interval, parse_rate};
use crate::topology::MOST_NODES;

/// How many nodes, or which.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum Nodes {
    /// So many, named n1, n2 and so on.
    Number(#[schemars(range(min = 1, max = 64))] u8),
    /// These.
    List(#[schemars(length(min = 1, max = 64))] Vec<NodeEntry>),
}

struct NodesVisitor;

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodesVisitor)
    }
}

impl<'de> Visitor<'de> for NodesVisitor {
    type Value = Nodes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a number of nodes from 1 to {MOST_NODES}, or a list of them"
        )
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Nodes, E> {
        match u8::try_from(number) {
            Ok(number) if (1..=MOST_NODES).contains(&number) => Ok(Nodes::Number(number)),
            _ => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Nodes, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Nodes::List)
    }
}

/// A text, or a number, which is read as the same text: what is wrong with it says who knows what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written(String);

struct WrittenVisitor;

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

impl Visitor<'_> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
        Ok(Written(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Written, E> {
        Ok(Written(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Written, E> {
        Ok(Written(number.to_string()))
    }
}

/// How long a lease lives, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "String", extend("examples" = ["30s", "10m", "24h"]))]
pub struct LeaseTtl(pub u64);

impl TryFrom<Written> for LeaseTtl {
    type Error = anyhow::Error;

    fn try_from(Written(text): Written) -> anyhow::Result<Self> {
        // Whole seconds, as stores count.
        Ok(Self(parse_lease_ttl(&text)?.as_secs()))
    }
}

/// From probe to probe of netd's, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "String", extend("examples" = ["500ms", "1s", "5s"]))]
pub struct ProbeInterval(pub u64);

impl From<Duration> for ProbeInterval {
    fn from(interval: Duration) -> Self {
        Self(interval.as_millis().try_into().unwrap_or(u64::MAX))
    }
}

impl TryFrom<Written> for ProbeInterval {
    type Error = anyhow::Error;

    fn try_from(Written(text): Written) -> anyhow::Result<Self> {
        parse_probe_interval(&text).map(Self::from)
    }
}

/// How long packets wait, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "TextOrNumber", extend("examples" = ["20ms"]))]
pub struct Delay(pub u32);

/// How many of a hundred packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "TextOrNumber", extend("examples" = ["0.1%", 5]))]
pub struct Loss(pub f64);

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "TextOrNumber", extend("examples" = ["500K", "10M", "1G"]))]
pub struct Rate(pub u64);

/// As the schema has it.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "for the schema")]
enum TextOrNumber {
    Text(String),
    Number(f64),
}

impl TryFrom<Written> for Delay {
    type Error = anyhow::Error;

    fn try_from(Written(text): Written) -> anyhow::Result<Self> {
        parse_delay(&text).map(Self)
    }
}

impl TryFrom<Written> for Loss {
    type Error = anyhow::Error;

    fn try_from(Written(text): Written) -> anyhow::Result<Self> {
        parse_loss(&text).map(Self)
    }
}

impl TryFrom<Written> for Rate {
    type Error = anyhow::Error;

    fn try_from(Written(text): Written) -> anyhow::Result<Self> {
        parse_rate(&text).map(Self)
    }
}
