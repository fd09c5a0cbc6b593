//! Masquerading that somebody flushed is made again.

use serde::{Deserialize, Serialize};

use super::{Backend, Error, add_one, check, iptables, native, remove_rules};
use crate::{
    Identity,
    owner::Owner,
    record::{self, Record, Remembered, Rules},
};

/// The rules of `ipMasq`.
#[derive(Clone, Copy, Debug)]
pub struct Masquerade;

/// What is remembered of a masqueraded pod besides its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// `ipMasqBackend`
    pub backend: Option<Backend>,
}

impl Rules for Masquerade {
    type Wanted = Wanted;

    const KIND: &'static str = "masquerade";

    fn are_there(record: &Record<Wanted>) -> Result<bool, cni::Error> {
        match check(record.wanted.backend, &record.identity(), &record.addresses) {
            Ok(()) => Ok(true),
            Err(Error::Missing { .. } | Error::Inactive(_)) => Ok(false),
            Err(error) => Err(cni::Error::internal(error)),
        }
    }

    fn make(record: &Record<Wanted>) -> Result<(), cni::Error> {
        add_one(record.wanted.backend, &record.identity(), &record.addresses)
            .map(drop)
            .map_err(cni::Error::internal)
    }

    fn remove(
        identity: Identity<'_>,
        remembered: &Remembered<'_, Wanted>,
    ) -> Result<(), cni::Error> {
        let addresses = record::with_remembered(&[], remembered.records);
        remove_rules(&identity, &addresses).map_err(cni::Error::internal)
    }

    fn owners() -> Result<Vec<Owner>, cni::Error> {
        Owner::all(native::comments).map_err(cni::Error::internal)
    }
}

/// The attachments that live and are masqueraded by nftables, but for `owner`.
pub(super) fn by_nftables(owner: &Identity<'_>) -> Vec<Record<Wanted>> {
    let mut others = record::other_living::<Masquerade>(owner);
    others.retain(|record| record.wanted.backend != Some(Backend::Iptables));
    others
}

/// Whether any one attachment, other than `owner`, has lost what iptables made for it.
pub(super) fn sample_is_missing(owner: &Identity<'_>) -> Result<bool, Error> {
    match record::another::<Masquerade>(*owner) {
        Some(other) if other.wanted.backend == Some(Backend::Iptables) => Ok(
            !iptables::may_have_chains(&other.identity(), &other.addresses)?,
        ),
        _ => Ok(false),
    }
}

/// See [`record::settle`].
pub(super) fn settle(record: &Record<Wanted>) {
    if let Err(error) = record::settle::<Masquerade>(record) {
        tracing::warn!(%error, "masquerading of a pod that is gone is left");
    }
}
