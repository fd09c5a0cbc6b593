//! On how many addresses a port is mapped. Whoever wants one on all addresses need not look through them
//! where it is on none; whoever gives up the last removes the port's element. Its comment has the number, so
//! that neither has to look at what other pods have.

use std::collections::BTreeMap;

use kernel::{
    Family, Result,
    nft::{Datum, Element, Existing, Key, NewElement, Nft, Transaction},
};

use super::{
    class::Place,
    removal::{Located, all_elements},
    table::{TABLE, claimed},
};

/// What stands before the number.
const WORD: &str = "addresses: ";

/// Protocol and port.
type Port = (Family, Key);

/// How many mappings on one address each port has.
pub(crate) type Numbers = BTreeMap<Port, usize>;

/// The mappings on one address that come and go with a transaction.
#[derive(Debug, Default)]
pub(crate) struct Census {
    coming: Numbers,
    leaving: Numbers,
}

impl Census {
    /// Takes an element into account that is added.
    pub(crate) fn comes(&mut self, place: &Place, key: &Key) {
        count(&mut self.coming, place, key);
    }

    /// Takes an element into account that is deleted.
    pub(crate) fn leaves(&mut self, (place, key): &Located) {
        count(&mut self.leaving, place, key);
    }

    /// Writes the new numbers. Those of now are `known`, or are read.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn write(
        self,
        nft: &mut Nft,
        mut transaction: Transaction,
        mut known: Option<Numbers>,
    ) -> Result<Transaction> {
        let mut ports: Vec<Port> = self
            .coming
            .keys()
            .chain(self.leaving.keys())
            .cloned()
            .collect();
        ports.sort_unstable();
        ports.dedup();
        for port in ports {
            let number_in = |numbers: &Numbers| numbers.get(&port).copied().unwrap_or_default();
            let leaving = number_in(&self.leaving);
            let element = element(nft, &port)?;
            let before = match (&known, &element) {
                (None, None) if leaving == 0 => 0,
                (None, Some(element)) if number(element).is_some_and(|seen| seen >= leaving) => {
                    number(element).unwrap_or_default()
                }
                // A release before this one wrote no numbers, or somebody changed the set.
                _ => {
                    let all = match known.take() {
                        Some(all) => all,
                        None => numbers(&all_elements(nft)?),
                    };
                    number_in(known.insert(all))
                }
            };
            let after = (before + number_in(&self.coming)).saturating_sub(leaving);
            transaction = rewrite(transaction, &port, element.as_ref(), after);
        }
        Ok(transaction)
    }
}

fn element(nft: &mut Nft, (family, key): &Port) -> Result<Option<Element>> {
    let Place { set, types } = claimed(*family);
    nft.element(TABLE, &set, &types, key.clone())
}

fn number(element: &Element) -> Option<usize> {
    element.comment.as_deref()?.strip_prefix(WORD)?.parse().ok()
}

fn rewrite(
    mut transaction: Transaction,
    (family, key): &Port,
    before: Option<&Element>,
    after: usize,
) -> Transaction {
    let Place { set, types } = claimed(*family);
    if before.is_some_and(|before| after > 0 && number(before) == Some(after)) {
        return transaction;
    }
    if before.is_some() {
        transaction = transaction.delete_element(TABLE, &set, &types, key.clone());
    }
    let comment = format!("{WORD}{after}");
    let port = NewElement {
        comment: Some(&comment),
        ..NewElement::from(key.clone())
    };
    match after {
        0 => transaction,
        _ => transaction.add_element(TABLE, &set, &types, port, Existing::Refuse),
    }
}

/// How many mappings on one address each port has among these elements.
pub(crate) fn numbers(all: &[(Place, Vec<Element>)]) -> Numbers {
    let mut numbers = Numbers::new();
    for (place, elements) in all {
        for element in elements {
            count(&mut numbers, place, &element.key);
        }
    }
    numbers
}

/// Deletes at most `limit` ports that are on no address any more, by these numbers.
///
/// # Errors
/// The ports cannot be read.
pub(crate) fn garbage(
    nft: &mut Nft,
    mut transaction: Transaction,
    numbers: &Numbers,
    limit: usize,
) -> Result<Transaction> {
    let mut stale = Vec::new();
    for family in Family::ALL {
        let Place { set, types } = claimed(family);
        let elements = nft.elements(TABLE, &set, &types)?.into_iter();
        stale.extend(elements.map(|element| (family, element.key)));
    }
    stale.retain(|port| !numbers.contains_key(port));
    for (family, key) in stale.into_iter().take(limit) {
        let Place { set, types } = claimed(family);
        transaction = transaction.delete_element(TABLE, &set, &types, key);
    }
    Ok(transaction)
}

fn count(numbers: &mut Numbers, place: &Place, key: &Key) {
    if let Some(port) = port_on_one(place, key) {
        *numbers.entry(port).or_default() += 1;
    }
}

/// Protocol and port of an element for one address.
fn port_on_one(place: &Place, key: &Key) -> Option<Port> {
    use Datum::{Address, Port, Protocol};
    let Key::Single(values) = key else {
        return None;
    };
    match &values[..] {
        [Address(address), protocol @ Protocol(_), port @ Port(_)]
            if place.types.data.is_some() =>
        {
            Some((
                (*address).into(),
                Key::Single(vec![protocol.clone(), port.clone()]),
            ))
        }
        _ => None,
    }
}
