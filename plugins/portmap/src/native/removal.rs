//! DEL and GC in our table.

use attach::{Identity, owner::Garbage, record::Remembered};
use ipnetwork::IpNetwork;
use kernel::{
    Result,
    nft::{Action, Data, Datum, Element, Key, Match, Nft, Rule, Set, Transaction, Verdict},
};

use super::{
    census::{self, Census},
    class::{Class, Place},
    items::{Item, Items, items},
    siblings,
    source::{self, Treatment},
    table::{HOSTPORTS, TABLE, is_of_pods},
};
use crate::{mapping::Mapping, owner, settings::Settings};

/// A garbage collection goes in steps that fit into the socket's send buffer.
const GARBAGE_AT_ONCE: usize = 500;

/// An element: where, and its key.
pub(crate) type Located = (Place, Key);

/// What is known of an attachment that goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known<'a> {
    /// Mappings, each with the pod's addresses.
    made: Vec<(&'a Settings, &'a [IpNetwork])>,
    /// All addresses of the pod; empty where nothing has them.
    targets: Vec<IpNetwork>,
    /// Whether it is remembered what ADD made, so that nothing else can be there.
    is_all: bool,
}

impl<'a> Known<'a> {
    /// What DEL is told: perhaps not all that ADD was.
    pub(crate) fn told(settings: &'a Settings, targets: &'a [IpNetwork]) -> Self {
        Self::default().and(settings, targets)
    }

    /// And what is remembered.
    pub(crate) fn remembered(self, remembered: &Remembered<'a, Settings>) -> Self {
        let records = remembered.records.iter();
        let known = records.fold(self, |known, record| {
            known.and(&record.wanted, &record.addresses)
        });
        Self {
            is_all: remembered.is_all,
            ..known
        }
    }

    fn and(mut self, settings: &'a Settings, targets: &'a [IpNetwork]) -> Self {
        self.made.push((settings, targets));
        let new = targets
            .iter()
            .filter(|target| !self.targets.contains(target));
        let new: Vec<_> = new.copied().collect();
        self.targets.extend(new);
        self
    }

    /// All addresses of the pod; empty where nothing has them.
    pub(crate) fn targets(&self) -> &[IpNetwork] {
        &self.targets
    }

    /// All mappings that there may be.
    pub(crate) fn mappings(&self) -> impl Iterator<Item = &'a Mapping> {
        let made = self.made.iter();
        made.flat_map(|(settings, _)| &settings.mappings)
    }

    fn items(&self) -> Vec<Item> {
        let mut all = Items::default();
        let made = self.made.iter();
        for item in made.flat_map(|(settings, targets)| items(settings, targets)) {
            // Where it leads decides nothing here.
            let _ = all.push(item);
        }
        for target in &self.targets {
            let _ = all.push(siblings::mark(target.ip()));
        }
        all.into_all()
    }
}

/// Deletes the owner's elements: by key where what is known leads to all of them, by comment otherwise.
pub(crate) fn removal(
    nft: &mut Nft,
    transaction: Transaction,
    owner: &Identity<'_>,
    known: &Known<'_>,
) -> Result<Transaction> {
    let found = match by_key(nft, owner, known)? {
        Some(found) => found,
        None => elements_of(nft, |element, key| {
            is_owned(element, owner) || is_renamed(element, key, owner, &known.targets)
        })?,
    };
    let mut census = Census::default();
    found.iter().for_each(|one| census.leaves(one));
    let transaction = census.write(nft, transaction, None)?;
    Ok(delete(transaction, found))
}

fn delete(transaction: Transaction, elements: Vec<Located>) -> Transaction {
    elements
        .into_iter()
        .fold(transaction, |transaction, (place, key)| {
            transaction.delete_element(TABLE, &place.set, &place.types, key)
        })
}

/// The owner's elements, if what is known leads to all of them. What is remembered does; otherwise none
/// may be there, not even one that says what becomes of sources.
fn by_key(nft: &mut Nft, owner: &Identity<'_>, known: &Known<'_>) -> Result<Option<Vec<Located>>> {
    let mut found = Vec::new();
    for item in known.items() {
        found.extend(own_element(nft, owner, &item)?);
    }
    if known.is_all {
        return Ok(Some(found));
    }
    if !found.is_empty() || known.targets.is_empty() {
        return Ok(None);
    }
    for target in &known.targets {
        if has_source(nft, owner, target)? {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

fn own_element(nft: &mut Nft, owner: &Identity<'_>, item: &Item) -> Result<Option<Located>> {
    let Place { set, types } = &item.place;
    let element = nft.element(TABLE, set, types, item.key.clone())?;
    let targets = [IpNetwork::from(item.target)];
    let is_own = |element: &Element| {
        is_owned(element, owner) || is_renamed(element, &item.key, owner, &targets)
    };
    Ok(element
        .filter(is_own)
        .map(|element| (item.place.clone(), element.key)))
}

/// Whether the owner has a mapping to the target, of whatever port.
fn has_source(nft: &mut Nft, owner: &Identity<'_>, target: &IpNetwork) -> Result<bool> {
    for treatment in Treatment::ALL {
        let Place { set, types } = treatment.place(target);
        for key in treatment.keys(target) {
            let element = nft.element(TABLE, &set, &types, key.clone())?;
            let is_own = |element: Element| {
                is_owned(&element, owner) || is_renamed(&element, &key, owner, &[*target])
            };
            if element.is_some_and(is_own) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn is_owned(element: &Element, owner: &Identity<'_>) -> bool {
    let is_own = |comment: &String| comment.starts_with(&owner.hash_pair());
    element.comment.as_ref().is_some_and(is_own)
}

/// Whether it is the container's under another name of the network, and leads to one of the targets, which
/// IPAM gives to one pod only.
fn is_renamed(element: &Element, key: &Key, owner: &Identity<'_>, targets: &[IpNetwork]) -> bool {
    let comment = element.comment.as_deref().unwrap_or_default();
    let ifname = owner::of_comment(comment).and_then(|whose| whose.ifname);
    let is_containers = owner::names_container(comment, owner.container_id)
        && ifname.as_deref() == Some(owner.ifname);
    let leads_to = |target: &IpNetwork| {
        let address = Datum::Address(target.ip());
        match (&element.data, key) {
            (Some(Data::Values(values)), _) => values.first() == Some(&address),
            (_, Key::Single(values)) => values.last() == Some(&address),
            _ => false,
        }
    };
    is_containers && targets.iter().any(leads_to)
}

/// The owner's elements in all sets.
pub(crate) fn owned_elements(nft: &mut Nft, owner: &Identity<'_>) -> Result<Vec<Located>> {
    elements_of(nft, |element, _| is_owned(element, owner))
}

fn elements_of(nft: &mut Nft, is_wanted: impl Fn(&Element, &Key) -> bool) -> Result<Vec<Located>> {
    let mut wanted = Vec::new();
    for (place, elements) in all_elements(nft)? {
        let found = elements
            .into_iter()
            .filter(|element| is_wanted(element, &element.key));
        wanted.extend(found.map(|element| (place.clone(), element.key)));
    }
    Ok(wanted)
}

/// The comments of all elements of pods.
pub(crate) fn comments(nft: &mut Nft) -> Result<Vec<String>> {
    let elements = all_elements(nft)?
        .into_iter()
        .flat_map(|(_, elements)| elements);
    Ok(elements.filter_map(|element| element.comment).collect())
}

/// The sets of pods' elements, each with what it holds.
pub(super) fn all_elements(nft: &mut Nft) -> Result<Vec<(Place, Vec<Element>)>> {
    let mut all = Vec::new();
    for Set { name, kind, .. } in nft.sets(TABLE)? {
        // What somebody else has put here holds none of our elements.
        let Some(types) = kind.filter(|_| is_of_pods(&name)) else {
            continue;
        };
        let elements = nft.elements(TABLE, &name, &types)?;
        all.push((Place { set: name, types }, elements));
    }
    Ok(all)
}

/// Deletes elements that no valid attachment owns, then sets and chains of networks and subnets that
/// are left empty, with their rules. At most a step's worth.
pub(crate) fn garbage(
    nft: &mut Nft,
    mut transaction: Transaction,
    garbage: &Garbage,
) -> Result<Transaction> {
    let all = all_elements(nft)?;
    let mut leaving: Vec<Located> = Vec::new();
    for (place, elements) in &all {
        let unwanted = elements
            .iter()
            .filter(|element| garbage.has(element.comment.as_deref()));
        leaving.extend(unwanted.map(|element| (place.clone(), element.key.clone())));
    }
    leaving.truncate(GARBAGE_AT_ONCE);
    let is_left =
        |place: &Place, element: &Element| !leaving.contains(&(place.clone(), element.key.clone()));
    let empty: Vec<String> = all
        .iter()
        .filter(|(place, elements)| !elements.iter().any(|element| is_left(place, element)))
        .map(|(place, _)| place.set.clone())
        .collect();
    let (numbers, room) = (census::numbers(&all), GARBAGE_AT_ONCE - leaving.len());
    transaction = census::garbage(nft, transaction, &numbers, room)?;
    let mut census = Census::default();
    leaving.iter().for_each(|one| census.leaves(one));
    transaction = census.write(nft, transaction, Some(numbers))?;
    transaction = delete(transaction, leaving);
    remove_empty(nft, transaction, &empty)
}

/// Removes what is not there without pods.
fn remove_empty(
    nft: &mut Nft,
    mut transaction: Transaction,
    empty: &[String],
) -> Result<Transaction> {
    let rules = nft.table_rules(TABLE)?;
    for set in empty.iter().filter(|set| source::is_of_subnet(set)) {
        for rule in rules.iter().filter(|rule| looks_into(rule, set)) {
            transaction = transaction.delete_rule(TABLE, &rule.chain, rule.handle);
        }
        transaction = transaction.delete_set(TABLE, set);
    }
    let is_empty = |place: Place| empty.contains(&place.set);
    for jump in rules.iter().filter(|rule| rule.chain == HOSTPORTS) {
        let Some(class) = class_of(jump) else {
            continue;
        };
        if is_empty(class.ports()) && is_empty(class.addresses()) {
            transaction = remove_class(transaction, jump, &class);
        }
    }
    Ok(transaction)
}

fn looks_into(rule: &Rule, set: &str) -> bool {
    rule.matches
        .iter()
        .any(|condition| matches!(condition, Match::In(_, name) if name == set))
}

fn class_of(rule: &Rule) -> Option<Class> {
    match &rule.action {
        Some(Action::Verdict(Verdict::Jump(chain))) => Class::of_chain(chain),
        _ => None,
    }
}

fn remove_class(transaction: Transaction, jump: &Rule, class: &Class) -> Transaction {
    let Some(chain) = class.chain() else {
        return transaction;
    };
    let transaction = transaction
        .delete_rule(TABLE, HOSTPORTS, jump.handle)
        .delete_chain(TABLE, &chain)
        .delete_set(TABLE, &class.ports().set)
        .delete_set(TABLE, &class.addresses().set);
    let sets = jump.matches.iter().filter_map(|condition| match condition {
        Match::In(_, set) | Match::NotIn(_, set) => Some(set),
        _ => None,
    });
    sets.fold(transaction, |transaction, set| {
        transaction.delete_set(TABLE, set)
    })
}
