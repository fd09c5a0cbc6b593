//! From values with their places to types: all that does not fit, each with its path.
//!
//! Serde ends at the first error. Here fields that a type does not have are noted and passed over, and a value
//! that does not fit is left out in another round, until what is left fits.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};

use super::elsewhere;
use super::left_out::LeftOut;
use super::tree::{Entry, Node, Value};
use crate::path::Path;
use crate::problem::Complaint;

/// So many rounds at most: who has more errors sees the others later.
const ROUNDS: usize = 50;

/// A value as a `T`, as far as it fits.
pub(super) struct Reading<T> {
    /// Without what does not fit; nothing where too much would be missing.
    pub(super) value: Option<T>,
    /// What does not fit, in no particular order.
    pub(super) complaints: Vec<Complaint>,
    /// What the value is without.
    pub(super) left_out: LeftOut,
}

impl<T> Reading<T> {
    /// # Errors
    /// What does not fit.
    pub(super) fn whole(self) -> Result<T, Vec<Complaint>> {
        match self.value {
            Some(value) if self.complaints.is_empty() => Ok(value),
            _ => Err(self.complaints),
        }
    }
}

pub(super) fn typed<T: DeserializeOwned>(root: &Node) -> Reading<T> {
    let reader = Reader::default();
    let mut value = None;
    for _ in 0..ROUNDS {
        match T::deserialize(reader.at(root, Path::default())) {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(misfit) => {
                if !reader.leave_out(misfit) {
                    break;
                }
            }
        }
    }
    Reading {
        value,
        complaints: reader.complaints.into_inner(),
        left_out: reader.left_out.into_inner(),
    }
}

/// What was found so far.
#[derive(Default)]
struct Reader {
    complaints: RefCell<Vec<Complaint>>,
    /// Their fields.
    complained_of: RefCell<BTreeSet<Path>>,
    left_out: RefCell<LeftOut>,
}

impl Reader {
    fn at<'a>(&'a self, node: &'a Node, path: Path) -> Typed<'a> {
        Typed {
            reader: self,
            node,
            path,
        }
    }

    /// Notes a complaint, unless it only follows from another one.
    fn complain(&self, field: Path, message: String) {
        let mut known = self.complained_of.borrow_mut();
        // What a path leads on to stands right behind it.
        let next = known.range(&field..).next();
        if !next.is_some_and(|known| field.contains(known)) {
            known.insert(field.clone());
            let mut complaints = self.complaints.borrow_mut();
            complaints.push(Complaint { field, message });
        }
    }

    /// Notes a misfit, and that the next round is to go without it. False when that is nothing new.
    fn leave_out(&self, misfit: Misfit) -> bool {
        let culprit = misfit.culprit.unwrap_or_default();
        let field = match misfit.missing {
            Some(name) => culprit.field(name),
            None => culprit.clone(),
        };
        self.complain(field, misfit.message);
        !culprit.steps().is_empty() && self.left_out.borrow_mut().insert(culprit)
    }

    fn is_left_out(&self, path: &Path) -> bool {
        self.left_out.borrow().contains(path)
    }
}

/// A value that does not fit.
#[derive(Debug)]
struct Misfit {
    /// The value; absent until somebody knows it.
    culprit: Option<Path>,
    /// The field that it lacks.
    missing: Option<&'static str>,
    message: String,
}

impl Misfit {
    fn because(message: impl Into<String>) -> Self {
        Self {
            culprit: None,
            missing: None,
            message: message.into(),
        }
    }

    /// In the value at this path, unless it is known more precisely.
    fn at(mut self, path: &Path) -> Self {
        self.culprit.get_or_insert_with(|| path.clone());
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::because(message.to_string())
    }

    fn invalid_type(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let quotes = match is {
            Unexpected::Bool(_)
            | Unexpected::Unsigned(_)
            | Unexpected::Signed(_)
            | Unexpected::Float(_)
                if expected == "a string" =>
            {
                "; put it in quotes"
            }
            _ => "",
        };
        Self::because(format!(
            "{} instead of {}{quotes}",
            said(is),
            words(&expected)
        ))
    }

    fn invalid_value(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::because(format!(
            "{} instead of {}",
            said(is),
            words(&expected.to_string())
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            missing: Some(field),
            ..Self::because("this field is required")
        }
    }
}

/// What a document has, for people.
fn said(is: Unexpected<'_>) -> String {
    match is {
        Unexpected::Bool(value) => format!("{value}"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// What serde calls the types of fields, for people.
fn words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text",
        "a sequence" => "a list",
        other => other,
    }
}

/// A value, to be read as what the type asks for.
struct Typed<'a> {
    reader: &'a Reader,
    node: &'a Node,
    path: Path,
}

impl<'a> Typed<'a> {
    fn unexpected(&self) -> Unexpected<'a> {
        match &self.node.value {
            Value::Null => Unexpected::Unit,
            Value::Boolean(value) => Unexpected::Bool(*value),
            Value::Whole(number) => Unexpected::Signed(*number),
            Value::Large(number) => Unexpected::Unsigned(*number),
            Value::Decimal(number) => Unexpected::Float(*number),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    fn instead_of(&self, expected: &str) -> Misfit {
        Misfit::because(format!("{} instead of {expected}", said(self.unexpected()))).at(&self.path)
    }

    /// Entries without those that were left out; what is there twice is complained of.
    fn entries(&self, entries: &'a [Entry]) -> Vec<&'a Entry> {
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for entry in entries {
            let path = self.path.field(&entry.key);
            if !seen.insert(&entry.key) {
                let message = format!("this key is there twice, also on line {}", entry.place.line);
                self.reader.complain(path, message);
            } else if !self.reader.is_left_out(&path) {
                kept.push(entry);
            }
        }
        kept
    }

    /// Entries that are fields of the type `of`; others are complained of.
    fn fields(&self, of: &str, fields: &[&str], entries: &'a [Entry]) -> Vec<&'a Entry> {
        let mut kept = self.entries(entries);
        kept.retain(|entry| {
            let known = fields.contains(&entry.key.as_str());
            if !known {
                let message = elsewhere::unknown(of, &entry.key, fields);
                self.reader.complain(self.path.field(&entry.key), message);
            }
            // As if it were not there, as Kubernetes has it.
            known && !matches!(entry.node.value, Value::Null)
        });
        kept
    }

    fn visit_entries<'de, V: Visitor<'de>>(
        self,
        entries: Vec<&'a Entry>,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let access = Entries {
            reader: self.reader,
            path: &self.path,
            rest: entries.into_iter(),
            value: None,
        };
        visitor
            .visit_map(access)
            .map_err(|misfit| misfit.at(&self.path))
    }

    fn visit_elements<'de, V: Visitor<'de>>(
        self,
        elements: &'a [Node],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let access = Elements {
            reader: self.reader,
            path: &self.path,
            rest: elements.iter().enumerate(),
        };
        visitor
            .visit_seq(access)
            .map_err(|misfit| misfit.at(&self.path))
    }
}

impl<'de> Deserializer<'de> for Typed<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let path = self.path.clone();
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Whole(number) => visitor.visit_i64(*number),
            Value::Large(number) => visitor.visit_u64(*number),
            Value::Decimal(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(elements) => self.visit_elements(elements, visitor),
            Value::Map(entries) => {
                let entries = self.entries(entries);
                self.visit_entries(entries, visitor)
            }
        }
        .map_err(|misfit| misfit.at(&path))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => {
                let path = self.path.clone();
                visitor.visit_some(self).map_err(|misfit| misfit.at(&path))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.node.value {
            Value::Map(entries) => {
                let entries = self.fields(name, fields, entries);
                self.visit_entries(entries, visitor)
            }
            _ => Err(self.instead_of(&format!("a map of {}", fields.join(", ")))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let possible = match variants {
            [only] => (*only).to_owned(),
            several => format!("one of {}", several.join(", ")),
        };
        match &self.node.value {
            Value::Text(text) if variants.contains(&text.as_str()) => {
                let variant: StrDeserializer<'_, Misfit> = text.as_str().into_deserializer();
                visitor
                    .visit_enum(variant)
                    .map_err(|misfit| misfit.at(&self.path))
            }
            _ => Err(self.instead_of(&possible)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let path = self.path.clone();
        visitor
            .visit_newtype_struct(self)
            .map_err(|misfit| misfit.at(&path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

/// The entries of a map, one after the other.
struct Entries<'r, 'a> {
    reader: &'a Reader,
    path: &'r Path,
    rest: std::vec::IntoIter<&'a Entry>,
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        self.value = self.rest.next();
        let Some(entry) = self.value else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Misfit> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|misfit| misfit.at(&self.path.field(&entry.key)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        match self.value.take() {
            Some(entry) => {
                let path = self.path.field(&entry.key);
                let value = self.reader.at(&entry.node, path.clone());
                seed.deserialize(value).map_err(|misfit| misfit.at(&path))
            }
            None => Err(Misfit::because("a value without a key")),
        }
    }
}

/// The elements of a list, without those that were left out.
struct Elements<'r, 'a> {
    reader: &'a Reader,
    path: &'r Path,
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let (reader, list) = (self.reader, self.path);
        let next = self
            .rest
            .by_ref()
            .map(|(index, node)| (list.element(index), node));
        let mut kept = next.filter(|(path, _)| !reader.is_left_out(path));
        match kept.next() {
            Some((path, node)) => {
                let element = seed.deserialize(reader.at(node, path.clone()));
                element.map(Some).map_err(|misfit| misfit.at(&path))
            }
            None => Ok(None),
        }
    }
}
