//! Networks that pods can ask for.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use cni::runtime::NetworkConfig;
use manifest::Path as Field;

use super::super::NetworkEntry;
use super::{Check, family, field};
use crate::network::{self, Driver, Network};

impl Check<'_> {
    /// As `lab network create` and `add` want them.
    pub(super) fn networks(&mut self) {
        let mut taken: BTreeSet<String> = network::READY_MADE.map(str::to_owned).into();
        taken.extend(self.own_network());
        for (number, entry) in self.file.networks.iter().enumerate() {
            let place = field("networks").element(number);
            let (place, name) = match &entry.conflist {
                Some(list) => (
                    place.field("conflist"),
                    self.brought_network(&place, entry, list),
                ),
                None => (place.field("name"), self.made_network(&place, entry)),
            };
            let Some(name) = name else { continue };
            if !taken.insert(name.clone()) {
                let message = format!("network {name} is there already: choose another name");
                self.add(place, message);
            }
        }
    }

    /// The lab's own; returns its name. What is wrong with its list is told where it is taken.
    fn own_network(&mut self) -> Option<String> {
        let Some(list) = &self.file.conflist else {
            return Some(Network::default().name);
        };
        let list = network::read_list(list).ok()?;
        self.note_brought(&field("conflist"), &list);
        Some(list.name)
    }

    fn note_brought(&mut self, place: &Field, list: &NetworkConfig) {
        let subnets = network::subnets_in(list).into_iter();
        self.brought
            .extend(subnets.map(|subnet| (place.clone(), subnet)));
    }

    /// One by a driver; returns its name.
    fn made_network(&mut self, place: &Field, entry: &NetworkEntry) -> Option<String> {
        let driver = entry.driver.unwrap_or(Driver::Bridge);
        for subnet in entry.subnets() {
            let family = family(subnet);
            self.require(place.field(family), network::check_subnet(subnet));
        }
        if entry.subnets().is_empty() && driver != Driver::Bridge {
            let message = format!(
                "a network of driver {} needs a subnet of its own: give ipv4, ipv6 or both",
                driver.as_str()
            );
            self.add(place.field("driver"), message);
        }
        let Some(name) = &entry.name else {
            self.add(place.clone(), "give its name, or a conflist");
            return None;
        };
        let field = place.field("name");
        self.require(field.clone(), driver.check_name(name));
        self.require(field, network::pod_network(name))
    }

    /// One by a list, in which all else stands; returns its name.
    fn brought_network(
        &mut self,
        place: &Field,
        entry: &NetworkEntry,
        list: &Path,
    ) -> Option<String> {
        for (field, is_given) in [
            ("name", entry.name.is_some()),
            ("driver", entry.driver.is_some()),
            ("ipv4", entry.ipv4.is_some()),
            ("ipv6", entry.ipv6.is_some()),
        ] {
            if is_given {
                self.add(
                    place.field(field),
                    "it stands in the conflist: leave it out",
                );
            }
        }
        let place = place.field("conflist");
        let read = network::read_list(list).with_context(|| list.display().to_string());
        let list = self.require(place.clone(), read)?;
        self.note_brought(&place, &list);
        Some(list.name)
    }
}
