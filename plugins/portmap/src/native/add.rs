//! ADD in our table: one look at its rules, one at what could be in the way, one transaction.

use std::collections::BTreeSet;

use attach::{Identity, record::Record};
use ipnetwork::IpNetwork;
use kernel::nft::{Key, Nft, Rule, Transaction, ruleset::ATTEMPTS};

use super::{
    census::Census,
    claims,
    class::Place,
    items::{Item, items},
    removal::owned_elements,
    restore, siblings,
    table::{BASE_CHAINS, Scaffold, TABLE, is_active},
};
use crate::{
    error::{Error, Result},
    settings::Settings,
};

/// What is to be added.
struct Addition<'a> {
    owner: &'a Identity<'a>,
    settings: &'a Settings,
    targets: &'a [IpNetwork],
    scaffold: Scaffold,
    items: Vec<Item>,
}

/// How closely an attempt looks before it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// The kernel will say what is in the way.
    Trusting,
    /// Something may be there: what an earlier ADD of the attachment made, a chain without its hook.
    Thorough,
}

/// Maps the ports. Says whether rules were missing that every node has: somebody flushed them, or this
/// is the first mapping. Then those of all other attachments that live have come back too.
///
/// # Errors
/// Another has a port; what the kernel refuses. Nothing of this attachment is changed then.
pub(crate) fn add(
    nft: &mut Nft,
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
    care: Care,
) -> Result<bool> {
    let addition = Addition {
        owner,
        settings,
        targets,
        scaffold: Scaffold::of(settings, targets)?,
        items: items(settings, targets),
    };
    if addition.items.is_empty() {
        return Ok(false);
    }
    let mut others = None;
    let added = addition.add(nft, care, &mut others);
    others.iter().flatten().for_each(restore::settle);
    added.map(|()| others.is_some())
}

/// Those who live and whose elements have been put back; none where nothing was flushed.
type Others = Option<Vec<Record<Settings>>>;

impl Addition<'_> {
    fn add(&self, nft: &mut Nft, mut care: Care, others: &mut Others) -> Result<()> {
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            outcome = self.attempt(nft, care, others);
            match &outcome {
                Err(Error::SetUpNftables { source }) if Nft::is_outdated(source) => {}
                Err(Error::SetUpNftables { .. }) if care == Care::Trusting => {
                    care = Care::Thorough;
                }
                _ => break,
            }
        }
        outcome
    }

    fn attempt(&self, nft: &mut Nft, care: Care, others: &mut Others) -> Result<()> {
        let mut transaction = Transaction::at(nft.generation().map_err(refused)?);
        let mut rules = nft.table_rules(TABLE).map_err(refused)?;
        if others.is_none() && !Scaffold::common().is_complete(&rules) {
            *others = Some(restore::put_back_others(nft, self.owner)?);
            transaction = Transaction::at(nft.generation().map_err(refused)?);
            rules = nft.table_rules(TABLE).map_err(refused)?;
        }
        claims::refuse_taken(nft, self.owner, self.settings, self.targets, &rules)?;
        let mut census = Census::default();
        let due;
        let mut items = &self.items;
        if care == Care::Thorough {
            due = siblings::due(nft, self.owner, items)?;
            items = &due;
            transaction = clear_chains(nft, transaction, &mut rules)?;
            transaction = self.clear_elements(nft, transaction, items, &mut census)?;
        }
        // Told what it has, the kernel would have a description of each chain to free.
        let is_whole = self.scaffold.is_complete(&rules) && is_active(nft).map_err(refused)?;
        let transaction = match care {
            Care::Trusting if is_whole => transaction,
            _ => self.scaffold.complete(transaction, &rules),
        };
        let comment = self.owner.comment();
        let add = |transaction, item: &Item| item.add(transaction, &comment);
        let transaction = items.iter().fold(transaction, add);
        for Item { place, key, .. } in items {
            census.comes(place, key);
        }
        let transaction = census.write(nft, transaction, None)?;
        nft.commit(transaction).map_err(refused)
    }

    /// What the owner has, and what others have left that leads to the owner's address.
    fn clear_elements(
        &self,
        nft: &mut Nft,
        mut transaction: Transaction,
        items: &[Item],
        census: &mut Census,
    ) -> Result<Transaction> {
        let mut obsolete = owned_elements(nft, self.owner)?;
        let slot = |place: &Place, key: &Key| (place.set.clone(), key.clone());
        let own: BTreeSet<_> = obsolete
            .iter()
            .map(|(place, key)| slot(place, key))
            .collect();
        for item in items {
            let place = &item.place;
            let found = nft.element(TABLE, &place.set, &place.types, item.key.clone())?;
            let Some(element) = found else { continue };
            let is_owners = claims::is_owners(&element, self.owner, item.target);
            if let (Some(mapping), false) = (item.mapping, is_owners) {
                return Err(claims::taken(mapping, item.family(), &element));
            }
            if !own.contains(&slot(place, &element.key)) {
                obsolete.push((place.clone(), element.key));
            }
        }
        obsolete.iter().for_each(|one| census.leaves(one));
        for (place, key) in obsolete {
            transaction = transaction.delete_element(TABLE, &place.set, &place.types, key);
        }
        Ok(transaction)
    }
}

/// A base chain that has another hook or none is made anew, and its rules with it.
fn clear_chains(
    nft: &mut Nft,
    mut transaction: Transaction,
    rules: &mut Vec<Rule>,
) -> Result<Transaction> {
    for (name, hook) in BASE_CHAINS {
        let chain = nft.chain(TABLE, name)?;
        if chain.is_some_and(|chain| chain.hook != Some(hook)) {
            transaction = transaction.delete_chain(TABLE, name);
            rules.retain(|rule| rule.chain != name);
        }
    }
    Ok(transaction)
}

fn refused(source: kernel::Error) -> Error {
    Error::SetUpNftables { source }
}
