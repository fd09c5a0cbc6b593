//! What is inside arrays and objects, for types that are lists, maps and structs.

use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess};

use super::{Failure, Reader};
use crate::json::Node;

/// The items of an array.
pub(super) struct Items<'n> {
    items: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
}

impl<'n> Items<'n> {
    pub(super) fn of(items: &'n [Node]) -> Self {
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
pub(super) struct Entries<'n> {
    entries: std::slice::Iter<'n, (String, Node)>,
    current: Option<&'n (String, Node)>,
}

impl<'n> Entries<'n> {
    pub(super) fn of(entries: &'n [(String, Node)]) -> Self {
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
pub(super) struct Fields<'n> {
    found: std::vec::IntoIter<(&'static str, Option<&'n Node>)>,
    current: Option<(&'static str, &'n Node)>,
}

impl<'n> Fields<'n> {
    pub(super) fn of(fields: &'static [&'static str], entries: &'n [(String, Node)]) -> Self {
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
