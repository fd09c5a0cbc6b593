//! The elements of one attachment: one for each mapping and family, and what becomes of sources.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::{
    Family,
    nft::{Data, Existing, Key, NewElement, Transaction},
};

use super::{
    class::{self, Class, Place},
    source::Treatment,
    table::{TABLE, claimed},
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
        let transaction = transaction.add_element(TABLE, set, types, element, existing);
        match self
            .mapping
            .filter(|mapping| mapping.on.address().is_some())
        {
            Some(mapping) => {
                let Place { set, types } = claimed(self.family());
                let port = NewElement::from(class::port_of(&mapping));
                transaction.add_element(TABLE, &set, &types, port, Existing::Keep)
            }
            None => transaction,
        }
    }
}

/// The elements of an attachment. Of two mappings with one key the first counts, as for the reference
/// plugin.
pub(crate) fn items(settings: &Settings, targets: &[IpNetwork]) -> Vec<Item> {
    let treatment = Treatment::of(settings);
    let mut items: Vec<Item> = Vec::new();
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
            match items
                .iter()
                .find(|other| other.key == item.key && other.place == item.place)
            {
                None => items.push(item),
                Some(other) if other.data == item.data => {}
                Some(_) => tracing::warn!(
                    "host port {mapping} is mapped twice; it leads to the first of the container's ports"
                ),
            }
        }
        items.extend(treatment.keys(target).into_iter().map(|key| Item {
            place: treatment.place(target),
            key,
            data: None,
            mapping: None,
            target: target.ip(),
        }));
    }
    items
}
