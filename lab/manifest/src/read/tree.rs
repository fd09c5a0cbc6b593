//! A document as it stands in its file: values with their places.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{DefaultMessageFormatter, Location, MessageFormatter, Spanned};

use crate::path::{Path, Step};

/// Levels of lists and maps; those of a pod are some ten. A thread's stack of 2 MiB has room for some 60.
const MOST_LEVELS: usize = 32;
/// Values that aliases (`*name`) may make in addition: more than a manifest needs, less than fills a memory.
const MOST_REPEATED: usize = 100_000;

/// Line and column, in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Place {
    /// Where a file begins.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self {
            line: location.line(),
            column: location.column(),
        }
    }
}

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// As YAML 1.2 has it, with the booleans and octal numbers of 1.1, as Kubernetes reads it.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Whole(i64),
    Large(u64),
    Decimal(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) node: Node,
}

/// The documents of a file, without the empty ones.
///
/// # Errors
/// The text is no YAML, or too deep or too large: where, and why.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, (Place, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MOST_LEVELS },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPEATED },
        // What is twice is told with its path, by `typed`.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        // What one means is the business of who made it up, and would be ignored here.
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let place = error.location().map_or(Place::START, Place::from);
        let message = DefaultMessageFormatter.format_message(error.without_snippet());
        (
            place,
            format!(
                "this cannot be read as YAML: {}",
                message.replace(char::is_control, " ")
            ),
        )
    })
}

/// Where a field or an element is, or the nearest that is there on the way to it.
pub(super) fn place(root: &Node, path: &Path) -> Place {
    let (mut node, mut place) = (root, root.place);
    for step in path.steps() {
        let next = match (step, &node.value) {
            (Step::Field(name), Value::Map(_)) => {
                node.entry(name).map(|entry| (&entry.node, entry.place))
            }
            (Step::Element(index), Value::List(elements)) => {
                elements.get(*index).map(|element| (element, element.place))
            }
            _ => None,
        };
        let Some(next) = next else { break };
        (node, place) = next;
    }
    place
}

impl Node {
    /// The value of a key.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.node)
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == name),
            _ => None,
        }
    }

    /// The value of a key, and nothing else of the map.
    pub(super) fn into_field(self, name: &str) -> Option<Self> {
        match self.value {
            Value::Map(entries) => {
                let found = entries.into_iter().find(|entry| entry.key == name);
                found.map(|entry| entry.node)
            }
            _ => None,
        }
    }

    /// The elements of a list; none of anything else.
    pub(super) fn into_elements(self) -> Vec<Self> {
        match self.value {
            Value::List(elements) => elements,
            _ => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            place: spanned.referenced.into(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Large(value), Value::Whole))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Decimal(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Value::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            entries.push(Entry {
                place: key.referenced.into(),
                key: key.value,
                node: map.next_value()?,
            });
        }
        Ok(Value::Map(entries))
    }
}
