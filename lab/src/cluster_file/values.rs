//! Values that are written in a way of their own.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::NodeEntry;
use crate::size::parse_lease_ttl;
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

/// How long a lease lives, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("examples" = ["30s", "10m", "24h"]))]
pub struct LeaseTtl(pub u64);

impl TryFrom<String> for LeaseTtl {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        // Whole seconds, as stores count.
        Ok(Self(parse_lease_ttl(&text)?.as_secs()))
    }
}
