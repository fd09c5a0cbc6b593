//! Elements that somebody flushed, with the table or with the set.

use attach::{
    Identity,
    record::{self, Record},
};
use kernel::nft::{Nft, ruleset};

use super::{families, members, passage};
use crate::{
    config::Backend,
    error::Error,
    rules::{Firewall, Wanted},
};

/// Puts the elements of all attachments that live back, but for the owner's.
pub(super) fn put_back_others(nft: &mut Nft, owner: &Identity<'_>) -> Result<(), Error> {
    let mut others = record::other_living::<Firewall>(owner);
    others.retain(|record| record.wanted.backend == Backend::Nftables);
    for record in &others {
        // It went since: its address may be another pod's by now.
        if !record::is_kept::<Firewall>(record.identity()) {
            continue;
        }
        put_back(nft, record)?;
        // A DEL may have come meanwhile.
        if let Err(error) = record::settle::<Firewall>(record) {
            tracing::warn!(%error, "elements of a pod that is gone are left");
        }
    }
    Ok(())
}

fn put_back(nft: &mut Nft, record: &Record<Wanted>) -> Result<(), Error> {
    ruleset::change(nft, |nft, transaction| {
        let transaction = families(&record.addresses).fold(transaction, passage::add_set);
        let isolation = record.wanted.isolation.as_ref();
        members(
            nft,
            transaction,
            &record.identity(),
            &record.addresses,
            isolation,
        )
    })?;
    Ok(())
}
