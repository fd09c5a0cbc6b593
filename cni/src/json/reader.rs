//! The serde deserializer over a [`Node`] that gives types their values by the rules of
//! Go's `encoding/json`.

mod access;
mod failure;

use serde::de::{
    DeserializeOwned, Deserializer, Error as _, Expected, IntoDeserializer, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use self::access::{Entries, Fields, Items};
use self::failure::Failure;
use super::{JsonError, Node};

pub(super) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, JsonError> {
    T::deserialize(Reader(node)).map_err(|failure| JsonError(failure.to_string()))
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

#[cfg(test)]
mod tests;
