//! A JSON object read as flannel reads it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// A JSON object whose keys match without regard to ASCII case; the last of duplicates wins.
///
/// Unlike `cni::json`, a `null` is kept and handed to the caller: for flannel's address types it is
/// an error, for its other types it leaves the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(BTreeMap<String, Value>);

/// A value that is not what its place in a document asks for.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text ends inside the document (flannel's wording).
    #[error("unexpected end of JSON input")]
    End,
    /// The text is not JSON, or something follows the document.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// A key holds a value of another type or range.
    #[error("{key} must be {wanted}, not {found}")]
    Type {
        /// The key's name, or what the whole document is called.
        key: &'static str,
        /// What would be right.
        wanted: &'static str,
        /// What stands there.
        found: String,
    },
}

impl Object {
    /// Reads one document called `name` in errors. `null` reads as an object without keys.
    ///
    /// # Errors
    /// The text is not JSON, or neither an object nor `null`.
    pub fn parse(name: &'static str, text: &[u8]) -> Result<Self, JsonError> {
        match serde_json::from_slice::<Document>(text) {
            Ok(Document::Object(object)) => Ok(object),
            Ok(Document::Null) => Ok(Self::default()),
            Ok(Document::Other(kind)) => Err(JsonError::Type {
                key: name,
                wanted: "an object",
                found: kind.to_owned(),
            }),
            Err(error) if error.is_eof() => Err(JsonError::End),
            Err(error) => Err(JsonError::Syntax(error.to_string())),
        }
    }

    /// The value of `key`, also when it is `null`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(&key.to_ascii_lowercase())
    }

    /// A boolean; `None` when absent or `null`.
    ///
    /// # Errors
    /// The value is of another type.
    pub fn bool(&self, key: &'static str) -> Result<Option<bool>, JsonError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A string; `None` when absent or `null`.
    ///
    /// # Errors
    /// The value is of another type.
    pub fn str(&self, key: &'static str) -> Result<Option<&str>, JsonError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A whole number of at least 0; `None` when absent or `null`.
    ///
    /// # Errors
    /// The value is of another type, negative, or has a fraction.
    pub fn unsigned(&self, key: &'static str) -> Result<Option<u64>, JsonError> {
        self.typed(key, "a whole number of at least 0", Value::as_u64)
    }

    /// A whole number; `None` when absent or `null`.
    ///
    /// # Errors
    /// The value is of another type or has a fraction.
    pub fn integer(&self, key: &'static str) -> Result<Option<i64>, JsonError> {
        self.typed(key, "a whole number", Value::as_i64)
    }

    fn typed<'a, T>(
        &'a self,
        key: &'static str,
        wanted: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, JsonError> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => convert(value).map(Some).ok_or_else(|| JsonError::Type {
                key,
                wanted,
                found: value.to_string(),
            }),
        }
    }
}

/// What a text holds at its outermost level.
enum Document {
    Object(Object),
    Null,
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((mut key, value)) = map.next_entry::<String, Value>()? {
            key.make_ascii_lowercase();
            entries.insert(key, value);
        }
        Ok(Document::Object(Object(entries)))
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Document, A::Error> {
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Document::Other("an array"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Document, E> {
        Ok(Document::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Document, E> {
        Ok(Document::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Document, E> {
        Ok(Document::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Document, E> {
        Ok(Document::Other("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Document, E> {
        Ok(Document::Other("a string"))
    }
}

impl TryFrom<&Value> for Object {
    type Error = ();

    /// An object found inside another document; anything else gives the unit error.
    fn try_from(value: &Value) -> Result<Self, ()> {
        let map = value.as_object().ok_or(())?;
        Ok(Self(
            map.iter()
                .map(|(key, v)| (key.to_ascii_lowercase(), v.clone()))
                .collect(),
        ))
    }
}
