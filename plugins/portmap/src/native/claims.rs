//! Who has a host port already: in our maps, in the reference plugin's rules, in iptables.
//!
//! A port on one address and the same port on all addresses are in each other's way, two addresses are
//! not. Networks with different conditions are not either, because nobody can tell whether their
//! connections are the same ones; a network without conditions takes all.

use std::net::IpAddr;

use attach::{Identity, record::RecordError};
use ipnetwork::IpNetwork;
use kernel::{
    Family,
    nft::{Data, Datum, Element, Key, Nft, Rule},
};

use super::{
    class::{self, Class, Place},
    foreign::{self, Share},
    items::Item,
    siblings,
    table::{TABLE, claimed},
};
use crate::{
    error::{Claimant, Error, Result},
    mapping::Mapping,
    owner,
    settings::Settings,
};

/// A mapping somewhere that is not to be had twice.
struct Wish<'a> {
    mapping: &'a Mapping,
    family: Family,
    class: Class,
    target: IpAddr,
}

/// Looks for others who have what the settings ask for, but not under the very key that an element of
/// ours would have: that the kernel refuses. `rules` are those of our table.
///
/// # Errors
/// [`Error::Taken`]; what the kernel refuses.
pub(crate) fn refuse_taken(
    nft: &mut Nft,
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
    rules: &[Rule],
) -> Result<()> {
    for target in settings.mapped(targets) {
        let family = Family::from(target);
        let foreign = foreign::claims(nft, family)?;
        for mapping in settings.mappings_of(target) {
            let wish = Wish {
                mapping,
                family,
                class: Class::new(family, settings.conditions(family)),
                target: target.ip(),
            };
            let taken = wish.taken(nft, owner, rules)?;
            let taken = match taken {
                Some(claimant) => Some(claimant),
                None => foreign::who_has(nft, &foreign, family, mapping, owner, Share::Any)?,
            };
            if let Some(claimant) = taken {
                return Err(wish.refused(claimant));
            }
        }
    }
    Ok(())
}

/// The same under the keys that elements of ours would have, for rules that are not ours.
///
/// # Errors
/// As [`refuse_taken`].
pub(crate) fn refuse_occupied(nft: &mut Nft, owner: &Identity<'_>, items: &[Item]) -> Result<()> {
    for item in items {
        let Place { set, types } = &item.place;
        let element = nft.element(TABLE, set, types, item.key.clone())?;
        if let (Some(mapping), Some(element)) = (item.mapping, element)
            && !is_free(&element, owner, item.target)?
        {
            return Err(taken(mapping, item.family(), &element));
        }
    }
    Ok(())
}

/// The error for a mapping in whose place another's element is.
pub(crate) fn taken(mapping: Mapping, family: Family, element: &Element) -> Error {
    Error::Taken {
        mapping,
        family,
        claimant: claimant(element),
    }
}

/// Whether it is the owner's own, or leads to the owner's address, which IPAM gives to one pod only.
pub(crate) fn is_owners(element: &Element, owner: &Identity<'_>, target: IpAddr) -> bool {
    let is_own = |comment: &String| comment.starts_with(&owner.hash_pair());
    let leads_here = match &element.data {
        Some(Data::Values(values)) => values.first() == Some(&Datum::Address(target)),
        _ => true,
    };
    leads_here || element.comment.as_ref().is_some_and(is_own)
}

/// Whether no other pod has it.
pub(crate) fn is_free(
    element: &Element,
    owner: &Identity<'_>,
    target: IpAddr,
) -> Result<bool, RecordError> {
    Ok(is_owners(element, owner, target) || siblings::have(element, owner)?)
}

/// Whose an element is.
pub(crate) fn claimant(element: &Element) -> Claimant {
    let comment = element.comment.as_deref().unwrap_or_default();
    owner::of_comment(comment).unwrap_or_else(|| Claimant {
        network: None,
        container_id: comment.to_owned(),
        ifname: None,
    })
}

impl Wish<'_> {
    fn refused(&self, claimant: Claimant) -> Error {
        Error::Taken {
            mapping: *self.mapping,
            family: self.family,
            claimant,
        }
    }

    fn taken(
        &self,
        nft: &mut Nft,
        owner: &Identity<'_>,
        rules: &[Rule],
    ) -> Result<Option<Claimant>> {
        let classes = self.rivals(rules);
        for (place, key) in self.rival_slots(&classes) {
            let element = nft.element(TABLE, &place.set, &place.types, key)?;
            if let Some(element) = element
                && !is_free(&element, owner, self.target)?
            {
                return Ok(Some(claimant(&element)));
            }
        }
        if self.mapping.on.address().is_some() || !self.is_claimed(nft)? {
            return Ok(None);
        }
        self.taken_on_one(nft, owner, &classes)
    }

    /// Classes whose connections may be the same ones: that without conditions, the own one; to that
    /// without conditions, every other.
    fn rivals(&self, rules: &[Rule]) -> Vec<Class> {
        let mut classes = vec![self.class.clone()];
        if !self.class.is_plain() {
            classes.push(Class::plain(self.family));
            return classes;
        }
        let others = rules.iter().filter_map(|rule| Class::of_chain(&rule.chain));
        for class in others.filter(|class| class.family == self.family) {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }

    /// Where another's mapping would be in the way by its key, but for the own place.
    fn rival_slots(&self, classes: &[Class]) -> Vec<(Place, Key)> {
        let own = self.class.slot(self.mapping);
        let port = class::port_of(self.mapping);
        classes
            .iter()
            .flat_map(|class| [class.slot(self.mapping), (class.ports(), port.clone())])
            .filter(|slot| *slot != own)
            .collect()
    }

    /// Whether the port is, or was, mapped on one address.
    fn is_claimed(&self, nft: &mut Nft) -> Result<bool> {
        let Place { set, types } = claimed(self.family);
        let port = class::port_of(self.mapping);
        Ok(nft.element(TABLE, &set, &types, port)?.is_some())
    }

    fn taken_on_one(
        &self,
        nft: &mut Nft,
        owner: &Identity<'_>,
        classes: &[Class],
    ) -> Result<Option<Claimant>> {
        for class in classes {
            let Place { set, types } = class.addresses();
            for element in nft.elements(TABLE, &set, &types)? {
                if is_of_port(&element.key, self.mapping) && !is_free(&element, owner, self.target)?
                {
                    return Ok(Some(claimant(&element)));
                }
            }
        }
        Ok(None)
    }
}

/// Whether a key of address, protocol and port has the mapping's protocol and port.
pub(crate) fn is_of_port(key: &Key, mapping: &Mapping) -> bool {
    matches!(
        (key, class::port_of(mapping)),
        (Key::Single(found), Key::Single(wanted)) if found.ends_with(&wanted)
    )
}
