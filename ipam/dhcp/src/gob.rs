//! The part of Go's gob encoding that the daemon's protocol needs (pkg.go.dev/encoding/gob,
//! section "Encoding Details"): structs of numbers, texts, bytes, lists and structs. The stream
//! describes its own types, so that both sides may know different fields.

mod read;
mod types;
mod write;

use std::collections::BTreeMap;

pub(crate) use read::Reader;
pub(crate) use types::{Fields, Kind};
pub(crate) use write::Writer;

/// No message of the protocol is longer; a configuration is a few thousand bytes.
pub(crate) const LONGEST_MESSAGE: usize = 4 << 20;

/// A decoded value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Booleans and unsigned integers.
    Uint(u64),
    /// Signed integers.
    Int(i64),
    /// Texts and byte slices.
    Bytes(Vec<u8>),
    /// Arrays and slices.
    List(Vec<Value>),
    /// Fields that are not zero, by name.
    Struct(BTreeMap<String, Value>),
    /// What nobody here reads: floats, complex numbers, maps.
    Other,
}

/// A stream that is no gob, or uses what this reader does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GobError {
    /// A message ends early.
    #[error("gob: a message ends in the middle of a value")]
    Short,
    /// A number that the encoding does not have.
    #[error("gob: a number is out of range")]
    Number,
    /// A type that was not described.
    #[error("gob: type {0} was not described")]
    UnknownType(i64),
    /// An interface value or a self-encoded one.
    #[error("gob: values of type {0} are not understood")]
    Unsupported(i64),
    /// Values in values without end.
    #[error("gob: values are nested too deeply")]
    TooDeep,
    /// A message longer than [`LONGEST_MESSAGE`].
    #[error("gob: a message of {0} bytes is too long")]
    TooLong(u64),
    /// A field that the struct's type does not have.
    #[error("gob: a field number is out of range")]
    Field,
}

impl Value {
    /// A field of a struct; `None` for one that is zero or unknown.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Struct(fields) => fields.get(name),
            _ => None,
        }
    }

    /// A text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    /// Bytes; empty where there are none.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        match self.field(name) {
            Some(Self::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// A number; 0 where there is none.
    pub(crate) fn number(&self, name: &str) -> i128 {
        match self.field(name) {
            Some(Self::Uint(number)) => i128::from(*number),
            Some(Self::Int(number)) => i128::from(*number),
            _ => 0,
        }
    }

    /// The elements of a list; empty where there is none.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        match self.field(name) {
            Some(Self::List(values)) => values,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests;
