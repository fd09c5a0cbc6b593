//! The serde deserializer over a [`Node`] that gives types their values by the rules of
//! Go's `encoding/json`.

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{JsonError, Node};

pub(super) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, JsonError> {
    T::deserialize(Reader(node)).map_err(|failure| JsonError(failure.to_string()))
}

/// Why a value could not be read, and where; becomes a [`JsonError`] at the edge.
#[derive(Debug)]
struct Failure {
    /// `ipam.ranges[0][1].subnet`; grows from the right while the error travels up.
    key: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// JSON of one type where another is wanted.
    Type { found: String, wanted: String },
    /// A key that a type cannot do without.
    Missing(&'static str),
    /// A type's own text, which stands alone.
    Own(String),
}

impl Failure {
    fn new(why: Why) -> Self {
        Self {
            key: String::new(),
            why,
        }
    }

    fn under_key(mut self, key: &str) -> Self {
        let dot = if self.key.is_empty() || self.key.starts_with('[') {
            ""
        } else {
            "."
        };
        self.key = format!("{key}{dot}{}", self.key);
        self
    }

    fn under_index(mut self, index: usize) -> Self {
        let dot = if self.key.is_empty() || self.key.starts_with('[') {
            ""
        } else {
            "."
        };
        self.key = format!("[{index}]{dot}{}", self.key);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            Why::Own(text) => f.write_str(text),
            Why::Type { found, wanted } if self.key.is_empty() => {
                write!(f, "json: cannot unmarshal {found} into {wanted}")
            }
            Why::Type { found, wanted } => {
                write!(
                    f,
                    "json: cannot unmarshal {found} into key \"{}\" of type {wanted}",
                    self.key
                )
            }
            Why::Missing(field) if self.key.is_empty() => {
                write!(f, "json: key \"{field}\" is missing")
            }
            Why::Missing(field) => write!(f, "json: key \"{}.{field}\" is missing", self.key),
        }
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self::new(Why::Own(text.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(Why::Type {
            found: found_text(found),
            wanted: wanted_text(&wanted.to_string()),
        })
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Why::Missing(field))
    }
}

fn found_text(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(_) => "bool".to_owned(),
        Unexpected::Unsigned(n) => format!("number {n}"),
        Unexpected::Signed(n) => format!("number {n}"),
        Unexpected::Float(n) => format!("number {n:?}"),
        Unexpected::Str(_) | Unexpected::Char(_) => "string".to_owned(),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "array".to_owned(),
        Unexpected::Map => "object".to_owned(),
        other => other.to_string(),
    }
}

/// Serde's word for a Rust type in the words of someone who writes JSON.
fn wanted_text(wanted: &str) -> String {
    let text = match wanted {
        "a boolean" => "bool",
        "a string" => "string",
        "a sequence" => "array",
        "a map" => "object",
        "u8" => "integer (0 to 255)",
        "u16" => "integer (0 to 65535)",
        "u32" => "integer (0 to 4294967295)",
        "u64" | "usize" => "integer (0 or more)",
        "i8" | "i16" | "i32" | "i64" | "isize" => "integer",
        "f32" | "f64" => "number",
        _ if wanted.starts_with("struct ") => "object",
        other => other,
    };
    text.to_owned()
}

#[derive(Clone, Copy)]
struct Reader<'n>(&'n Node);

impl<'n> Reader<'n> {
    fn refuse<T>(self, wanted: &dyn Expected) -> Result<T, Failure> {
        let found = match self.0 {
            Node::Null => Unexpected::Unit,
            Node::Bool(value) => Unexpected::Bool(*value),
            Node::String(text) => Unexpected::Str(text),
            Node::Array(_) => Unexpected::Seq,
            Node::Object(_) => Unexpected::Map,
            Node::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => Unexpected::Unsigned(n),
                (None, Some(n)) => Unexpected::Signed(n),
                (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
        };
        Err(Failure::invalid_type(found, wanted))
    }

    /// An integer; `1500.0` is none.
    fn integer<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_u64(0),
            Node::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => visitor.visit_u64(n),
                (None, Some(n)) => visitor.visit_i64(n),
                (None, None) => self.refuse(&visitor),
            },
            _ => self.refuse(&visitor),
        }
    }

    fn float<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_f64(0.0),
            Node::Number(number) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            _ => self.refuse(&visitor),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
            self.integer(visitor)
        }
    )*};
}

/// `null` is the zero value of what is wanted, as in Go; a struct's fields never see it.
impl<'n> Deserializer<'n> for Reader<'n> {
    type Error = Failure;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    forward_to_deserialize_any! { <V: Visitor<'n>> i128 u128 bytes byte_buf unit unit_struct }

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(number) if number.is_f64() => self.float(visitor),
            Node::Number(_) => self.integer(visitor),
            Node::String(text) => visitor.visit_borrowed_str(text),
            Node::Array(items) => visitor.visit_seq(Items::of(items)),
            Node::Object(entries) => visitor.visit_map(Entries::of(entries)),
        }
    }

    fn deserialize_bool<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_bool(false),
            Node::Bool(value) => visitor.visit_bool(*value),
            _ => self.refuse(&visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.float(visitor)
    }

    fn deserialize_char<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_borrowed_str(""),
            Node::String(text) => visitor.visit_borrowed_str(text),
            _ => self.refuse(&visitor),
        }
    }

    fn deserialize_string<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_seq(Items::of(&[])),
            Node::Array(items) => visitor.visit_seq(Items::of(items)),
            _ => self.refuse(&visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'n>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'n>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_map(Entries::of(&[])),
            Node::Object(entries) => visitor.visit_map(Entries::of(entries)),
            _ => self.refuse(&visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Null => visitor.visit_map(Fields::of(fields, &[])),
            Node::Object(entries) => visitor.visit_map(Fields::of(fields, entries)),
            _ => self.refuse(&visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            Node::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.refuse(&visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}

/// The items of an array.
struct Items<'n> {
    items: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
}

impl<'n> Items<'n> {
    fn of(items: &'n [Node]) -> Self {
        Self {
            items: items.iter().enumerate(),
        }
    }
}

impl<'n> SeqAccess<'n> for Items<'n> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'n>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(Reader(node))
            .map(Some)
            .map_err(|failure| failure.under_index(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of an object that is read into a map: keys as they are, later ones win because
/// maps replace.
struct Entries<'n> {
    entries: std::slice::Iter<'n, (String, Node)>,
    current: Option<&'n (String, Node)>,
}

impl<'n> Entries<'n> {
    fn of(entries: &'n [(String, Node)]) -> Self {
        Self {
            entries: entries.iter(),
            current: None,
        }
    }
}

impl<'n> MapAccess<'n> for Entries<'n> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'n>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        self.current = self.entries.next();
        let Some((key, _)) = self.current else {
            return Ok(None);
        };
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, node)) = self.current else {
            return Err(Failure::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader(node))
            .map_err(|failure| failure.under_key(key))
    }
}

/// The entries of an object that is read into a struct: for each field the last key that matches
/// it and is not `null`.
struct Fields<'n> {
    found: std::vec::IntoIter<(&'static str, Option<&'n Node>)>,
    current: Option<(&'static str, &'n Node)>,
}

impl<'n> Fields<'n> {
    fn of(fields: &'static [&'static str], entries: &'n [(String, Node)]) -> Self {
        let mut found: Vec<(&'static str, Option<&'n Node>)> =
            fields.iter().map(|field| (*field, None)).collect();
        for (key, node) in entries.iter().filter(|(_, node)| *node != Node::Null) {
            let place = fields.iter().position(|field| field == key).or_else(|| {
                fields
                    .iter()
                    .position(|field| field.eq_ignore_ascii_case(key))
            });
            if let Some((_, slot)) = place.and_then(|place| found.get_mut(place)) {
                *slot = Some(node);
            }
        }
        Self {
            found: found.into_iter(),
            current: None,
        }
    }
}

impl<'n> MapAccess<'n> for Fields<'n> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'n>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        self.current = self.found.find_map(|(field, node)| Some((field, node?)));
        let Some((field, _)) = self.current else {
            return Ok(None);
        };
        seed.deserialize(field.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((field, node)) = self.current else {
            return Err(Failure::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader(node))
            .map_err(|failure| failure.under_key(field))
    }
}

#[cfg(test)]
mod tests;
