//! The elements of one attachment: one for each mapping and family, and what becomes of sources.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use ipnetwork::IpNetwork;
use kernel::{
    Family,
    nft::{Data, Existing, Key, NewElement, Transaction},
};

use super::{
    class::{self, Class, Place},
    source::Treatment,
    table::TABLE,
};
use crate::{mapping::Mapping, settings::Settings};

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub place: Place,
    pub key: Key,
    pub data: Option<Data>,
    /// Which mapping it is; none for what becomes of sources.
    pub mapping: Option<Mapping>,
    pub target: IpAddr,
}

impl Item {
    pub(crate) fn family(&self) -> Family {
        self.target.into()
    }

    /// Adds it for the owner that the comment names; refused when it is there.
    pub(crate) fn add(&self, transaction: Transaction, comment: &str) -> Transaction {
        self.write(transaction, comment, Existing::Refuse)
    }

    /// The same where it may be there.
    pub(crate) fn put_back(&self, transaction: Transaction, comment: &str) -> Transaction {
        self.write(transaction, comment, Existing::Keep)
    }

    fn write(&self, transaction: Transaction, comment: &str, existing: Existing) -> Transaction {
        let element = NewElement {
            key: self.key.clone(),
            data: self.data.clone(),
            comment: Some(comment),
        };
        let Place { set, types } = &self.place;
        transaction.add_element(TABLE, set, types, element, existing)
    }
}

/// The elements of an attachment. Of two mappings with one key the first counts, as for the reference
/// plugin.
pub(crate) fn items(settings: &Settings, targets: &[IpNetwork]) -> Vec<Item> {
    let treatment = Treatment::of(settings);
    let mut items = Items::default();
    for target in settings.mapped(targets) {
        let family = Family::from(target);
        let class = Class::new(family, settings.conditions(family));
        for mapping in settings.mappings_of(target) {
            let (place, key) = class.slot(mapping);
            let item = Item {
                place,
                key,
                data: Some(class::target(target.ip(), mapping)),
                mapping: Some(*mapping),
                target: target.ip(),
            };
            // ADD says so.
            let _ = items.push(item);
        }
        for key in treatment.keys(target) {
            // One that is there is the same.
            let _ = items.push(Item {
                place: treatment.place(target),
                key,
                data: None,
                mapping: None,
                target: target.ip(),
            });
        }
    }
    items.into_all()
}

/// Elements, each at a place of its own.
#[derive(Debug, Default)]
pub(crate) struct Items {
    all: Vec<Item>,
    /// Where each is, by set and key.
    known: BTreeMap<(String, Key), usize>,
}

impl Items {
    /// Adds one unless one is there.
    ///
    /// # Errors
    /// The mapping, where the one that is there leads elsewhere.
    pub(crate) fn push(&mut self, item: Item) -> Result<(), Mapping> {
        let place = (item.place.set.clone(), item.key.clone());
        match self.known.entry(place) {
            Entry::Vacant(free) => {
                free.insert(self.all.len());
                self.all.push(item);
                Ok(())
            }
            Entry::Occupied(other) if self.all[*other.get()].data == item.data => Ok(()),
            Entry::Occupied(_) => item.mapping.map_or(Ok(()), Err),
        }
    }

    /// All of them, in the order in which they came.
    pub(crate) fn into_all(self) -> Vec<Item> {
        self.all
    }
}
