//! A JSON document in memory that keeps the order of its keys, and duplicate ones.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::{JsonError, surrogates};

/// One value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Parses exactly one document. Bytes that are not UTF-8, and halves of surrogate pairs, are read as
    /// U+FFFD, as the reference reads them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Node, JsonError> {
        let text = surrogates::without_lone(String::from_utf8_lossy(bytes));
        let mut documents = serde_json::Deserializer::from_str(&text).into_iter::<Node>();
        let node = match documents.next() {
            None => return Err(unexpected_end()),
            Some(Err(error)) if error.is_eof() => return Err(unexpected_end()),
            Some(Err(error)) => return Err(invalid(&error)),
            Some(Ok(node)) => node,
        };
        let rest = text.get(documents.byte_offset()..).unwrap_or_default();
        match rest
            .chars()
            .find(|c| !matches!(c, ' ' | '\t' | '\n' | '\r'))
        {
            None => Ok(node),
            Some(c) => Err(JsonError(format!(
                "invalid character {c:?} after top-level value"
            ))),
        }
    }

    /// The value of the last key that equals `key` without regard to case; `null` counts as
    /// absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let Node::Object(entries) = self else {
            return None;
        };
        entries
            .iter()
            .rev()
            .find(|(k, value)| k.eq_ignore_ascii_case(key) && *value != Node::Null)
            .map(|(_, value)| value)
    }

    /// The value of the last key that equals `key` exactly; `null` counts as absent.
    pub(crate) fn exact(&self, key: &str) -> Option<&Node> {
        let Node::Object(entries) = self else {
            return None;
        };
        let found = entries.iter().rev().find(|(k, _)| k == key);
        found
            .map(|(_, value)| value)
            .filter(|value| **value != Node::Null)
    }

    /// Whether there is a key that equals `key` without regard to case, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        matches!(self, Node::Object(entries) if entries.iter().any(|(k, _)| k.eq_ignore_ascii_case(key)))
    }

    /// What JSON calls the value's type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "bool",
            Node::Number(_) => "number",
            Node::String(_) => "string",
            Node::Array(_) => "array",
            Node::Object(_) => "object",
        }
    }

    /// Orders the keys of every object by their bytes and drops all but the last of duplicates.
    pub(crate) fn sort_keys(&mut self) {
        match self {
            Node::Object(entries) => {
                entries.reverse();
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                entries.dedup_by(|(a, _), (b, _)| a == b);
                entries.iter_mut().for_each(|(_, value)| value.sort_keys());
            }
            Node::Array(items) => items.iter_mut().for_each(Node::sort_keys),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => {}
        }
    }

    /// Puts `value` under `key`, in place of what stood there.
    pub(crate) fn set(&mut self, key: &str, value: Node) {
        if let Node::Object(entries) = self {
            entries.retain(|(k, _)| k != key);
            entries.push((key.to_owned(), value));
        }
    }
}

/// The value under `key` as libcni reads its flags: a boolean, or the word for one in any letter
/// case.
pub(crate) fn flag(value: Option<&Node>, key: &str) -> Result<bool, String> {
    match value {
        None => Ok(false),
        Some(Node::Bool(value)) => Ok(*value),
        Some(Node::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Node::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(Node::String(text)) => Err(format!("{key} must be true or false, not \"{text}\"")),
        Some(other) => Err(format!("{key} must be true or false, not {}", other.kind())),
    }
}

/// What the library calls a limit of its own says what is wrong.
fn invalid(error: &serde_json::Error) -> JsonError {
    let text = error.to_string();
    let text = text.replace("recursion limit exceeded", "nested deeper than 127 levels");
    JsonError(format!("invalid JSON: {text}"))
}

fn unexpected_end() -> JsonError {
    JsonError("unexpected end of JSON input".to_owned())
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Node::Null,
            Value::Bool(b) => Node::Bool(b),
            Value::Number(n) => Node::Number(n),
            Value::String(s) => Node::String(s),
            Value::Array(items) => Node::Array(items.into_iter().map(Node::from).collect()),
            Value::Object(map) => {
                Node::Object(map.into_iter().map(|(k, v)| (k, Node::from(v))).collect())
            }
        }
    }
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        match node {
            Node::Null => Value::Null,
            Node::Bool(b) => Value::Bool(b),
            Node::Number(n) => Value::Number(n),
            Node::String(s) => Value::String(s),
            Node::Array(items) => Value::Array(items.into_iter().map(Value::from).collect()),
            Node::Object(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(k, v)| (k, Value::from(v)))
                    .collect(),
            ),
        }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Node::String(text.to_owned())
    }
}

impl From<u32> for Node {
    fn from(number: u32) -> Self {
        Node::Number(number.into())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Cow<'de, str>, Node>()? {
            entries.push((key.into_owned(), value));
        }
        Ok(Node::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_order_and_duplicates() {
        let node = Node::parse(br#"{"b":1,"a":null,"B":2}"#).unwrap();
        let Node::Object(entries) = &node else {
            panic!("{node:?}")
        };
        let keys: Vec<&str> = entries.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(keys, ["b", "a", "B"]);
        assert_eq!(node.get("b"), Some(&Node::from(2)));
        assert_eq!(node.get("a"), None);
    }

    #[test]
    fn half_a_surrogate_pair_is_no_error() {
        let node = Node::parse(br#"{"x":"\ud800","name":"n"}"#).unwrap();
        assert_eq!(node.get("x"), Some(&Node::from("\u{fffd}")));
        assert_eq!(node.get("name"), Some(&Node::from("n")));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("  \n", "unexpected end of JSON input"),
            (
                r#"{"cniVersion":"1.0.0","name":"#,
                "unexpected end of JSON input",
            ),
            ("{} x", "invalid character 'x' after top-level value"),
            ("{}{}", "invalid character '{' after top-level value"),
            (
                "{bad",
                "invalid JSON: key must be a string at line 1 column 2",
            ),
            ("[1,]", "invalid JSON: trailing comma at line 1 column 4"),
            (
                "[1e999]",
                "invalid JSON: number out of range at line 1 column 6",
            ),
            (
                &"[".repeat(200),
                "invalid JSON: nested deeper than 127 levels at line 1 column 128",
            ),
        ] {
            assert_eq!(
                Node::parse(text.as_bytes()),
                Err(JsonError(message.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn sorting_keeps_the_last_duplicate() {
        let mut node = Node::parse(br#"{"b":1,"a":{"y":1,"x":2},"b":3}"#).unwrap();
        node.sort_keys();
        assert_eq!(node, Node::parse(br#"{"a":{"x":2,"y":1},"b":3}"#).unwrap());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Node::parse(&bytes);
        }

        #[test]
        fn never_panics_on_json_like_text(text in r#"[\[\]{}:,"a-c0-9.eE+\\u \n-]{0,60}"#) {
            let ours = Node::parse(text.as_bytes()).map(Value::from);
            let theirs: Result<Value, _> = serde_json::from_str(&text);
            prop_assert_eq!(ours.ok(), theirs.ok());
        }
    }
}
