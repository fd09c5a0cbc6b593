//! What is remembered of attachments, and how their mappings come back when somebody flushed them.

use attach::{
    Identity,
    owner::Owner,
    record::{self, Life, Record, RecordError, Remembered, Rules},
};
use kernel::nft::Nft;

use crate::{
    add, check, del,
    error::{Claimant, Error},
    native::{self, Care, Known},
    settings::Settings,
};

/// The rules of mapped ports.
#[derive(Clone, Copy, Debug)]
pub struct PortMappings;

impl Rules for PortMappings {
    type Wanted = Settings;

    const KIND: &'static str = "portmap";

    fn are_there(record: &Record<Settings>) -> Result<bool, cni::Error> {
        let rules = check::rules(&record.identity(), &record.wanted, &record.addresses);
        match rules {
            Ok(()) => Ok(true),
            Err(Error::Deviation(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn make(record: &Record<Settings>) -> Result<(), cni::Error> {
        add::map(
            &record.identity(),
            &record.wanted,
            &record.addresses,
            Care::Thorough,
        )?;
        Ok(())
    }

    fn remove(
        identity: Identity<'_>,
        remembered: &Remembered<'_, Settings>,
    ) -> Result<(), cni::Error> {
        let known = Known::default().remembered(remembered);
        Ok(del::unmap_and_cut(&identity, &known)?)
    }

    fn owners() -> Result<Vec<Owner>, cni::Error> {
        Owner::all(native::comments).map_err(cni::Error::internal)
    }
}

/// What is remembered of a claimant whose pod is gone, also when its DEL has failed.
///
/// # Errors
/// The records cannot be read.
pub(crate) fn gone(claimant: &Claimant) -> Result<Option<Record<Settings>>, RecordError> {
    let is_claimants = |record: &Record<Settings>| {
        claimant.network.as_deref() == Some(record.network.as_str())
            && is_container(&claimant.container_id, &record.container_id)
            && claimant
                .ifname
                .as_ref()
                .is_none_or(|ifname| *ifname == record.ifname)
    };
    let kept = record::all::<PortMappings>()?.into_iter();
    let left = record::left::<PortMappings>()?;
    let mut claimants = kept
        .chain(left)
        .map(|kept| kept.record)
        .filter(is_claimants);
    Ok(claimants.find(has_ended))
}

/// Whether it is remembered that an attachment had mappings, and its pod is gone.
///
/// # Errors
/// The records cannot be read.
pub(crate) fn is_gone(attachment: Identity<'_>) -> Result<bool, RecordError> {
    Ok(record::of::<PortMappings>(attachment)?
        .iter()
        .any(has_ended))
}

fn has_ended(record: &Record<Settings>) -> bool {
    matches!(record::life_of(record), Ok(Life::Gone | Life::Detached))
}

/// The kernel cuts comments: of a long name its beginning is enough.
fn is_container(named: &str, container_id: &str) -> bool {
    const ENOUGH: usize = 32;
    named == container_id || named.len() >= ENOUGH && container_id.starts_with(named)
}

/// Whether this kernel has nftables.
pub(crate) fn has_nftables() -> kernel::Result<bool> {
    match Nft::open().and_then(|mut nft| nft.generation()) {
        Err(error) if Nft::is_unsupported(&error) => Ok(false),
        generation => generation.map(|_| true),
    }
}
