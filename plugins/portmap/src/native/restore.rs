//! What somebody flushed comes back: the elements of all attachments that live, before the ways into
//! the table do, so that whoever is killed in between leaves the same to the next.

use attach::{
    Identity,
    record::{self, Record},
};
use kernel::nft::{Nft, ruleset};

use super::{
    census::Census,
    items::{Item, items},
    siblings,
    table::{Scaffold, TABLE},
};
use crate::{
    error::Result,
    record::PortMappings,
    settings::{Backend, Settings},
};

/// Puts the elements of all others back that live, and returns those others.
pub(crate) fn put_back_others(
    nft: &mut Nft,
    owner: &Identity<'_>,
) -> Result<Vec<Record<Settings>>> {
    let mut others = record::other_living::<PortMappings>(owner);
    others.retain(|record| record.wanted.backend != Some(Backend::Iptables));
    for other in &others {
        put_back(nft, other)?;
    }
    Ok(others)
}

fn put_back(nft: &mut Nft, record: &Record<Settings>) -> Result<()> {
    let (settings, targets) = (&record.wanted, &record.addresses);
    let scaffold = match Scaffold::without_entries(settings, targets) {
        Ok(scaffold) => scaffold,
        Err(error) => {
            tracing::warn!(%error, "port mappings cannot be made again");
            return Ok(());
        }
    };
    let owner = record.identity();
    let comment = owner.comment();
    let items = siblings::due(nft, &owner, &items(settings, targets))?;
    // Two that restore at once must not both add a rule: GC could not remove it twice.
    let outcome = ruleset::change(nft, |nft, transaction| {
        let transaction = scaffold.complete(transaction, &nft.table_rules(TABLE)?);
        let transaction = items.iter().fold(transaction, |transaction, item| {
            item.put_back(transaction, &comment)
        });
        count(nft, &items)?.write(nft, transaction, None)
    });
    match outcome.map(drop) {
        // Another has the port by now.
        Err(error) if error.is_exists() || error.is_busy() => {
            tracing::warn!(%error, "port mappings of {comment} cannot be made again");
            Ok(())
        }
        outcome => Ok(outcome?),
    }
}

/// Of what is there already nothing comes.
fn count(nft: &mut Nft, items: &[Item]) -> kernel::Result<Census> {
    let mut census = Census::default();
    for Item { place, key, .. } in items {
        if nft
            .element(TABLE, &place.set, &place.types, key.clone())?
            .is_none()
        {
            census.comes(place, key);
        }
    }
    Ok(census)
}

/// See [`record::settle`].
pub(crate) fn settle(record: &Record<Settings>) {
    if let Err(error) = record::settle::<PortMappings>(record) {
        tracing::warn!(%error, "port mappings of a pod that is gone are left");
    }
}
