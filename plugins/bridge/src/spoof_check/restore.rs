//! A spoof check that somebody flushed is made again.

use attach::{
    Identity,
    record::{self, Pod, Record, Remembered, Rules},
};
use kernel::{MacAddr, Undo, nft::Nft};
use serde::{Deserialize, Serialize};

use super::{Error, PREROUTING, TABLE, add, check, gc, remove};

/// The rules of `macspoofchk`.
#[derive(Clone, Copy, Debug)]
pub struct SpoofCheck;

/// What is remembered of a pod with a spoof check. It needs no addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The host end of the veth pair.
    pub host_if: String,
    /// The container's MAC address.
    pub mac: String,
}

impl Rules for SpoofCheck {
    type Wanted = Wanted;

    const KIND: &'static str = "macspoofchk";

    fn are_there(record: &Record<Wanted>) -> Result<bool, cni::Error> {
        match check(&record.wanted.host_if, mac_of(record)?, record.identity()) {
            Ok(()) => Ok(true),
            Err(Error::Missing { .. }) => Ok(false),
            Err(error) => Err(cni::Error::internal(error)),
        }
    }

    fn make(record: &Record<Wanted>) -> Result<(), cni::Error> {
        add(&record.wanted.host_if, mac_of(record)?, record.identity())
            .map_err(cni::Error::internal)
    }

    fn remove(
        identity: Identity<'_>,
        _remembered: &Remembered<'_, Wanted>,
    ) -> Result<(), cni::Error> {
        remove(identity).map_err(cni::Error::internal)
    }
}

fn mac_of(record: &Record<Wanted>) -> Result<MacAddr, cni::Error> {
    record.wanted.mac.parse().map_err(cni::Error::internal)
}

/// Sets the check up for a pod that is being made, and remembers that; the inverse goes onto `undo` before,
/// because a failure may leave a part. Where somebody flushed the table, the checks of all pods come back.
///
/// # Errors
/// As [`add`].
pub(crate) fn set_up<'a>(
    pod: Pod<'a>,
    host_if: &str,
    mac: MacAddr,
    undo: &mut Undo<'a>,
) -> crate::error::Result<()> {
    let wanted = Wanted {
        host_if: host_if.to_owned(),
        mac: mac.to_string(),
    };
    let earlier = record::keep::<SpoofCheck>(pod, &[], wanted);
    let identity = pod.identity;
    undo.push("spoof check", move || {
        let removed = remove(identity);
        let back = earlier.come_back();
        removed?;
        Ok(back?)
    })?;
    // What all pods share: a look at one object, whatever number of them there is.
    let was_there = Nft::open()?.chain(TABLE, PREROUTING)?.is_some();
    add(host_if, mac, identity)?;
    if !was_there {
        record::restore_and_log::<SpoofCheck>();
    }
    Ok(())
}

/// DEL: removes what `wanted` says the attachment has, or what is remembered of it.
///
/// # Errors
/// As [`remove`].
pub(crate) fn forget(identity: Identity<'_>, wanted: bool) -> Result<(), Error> {
    if !wanted && !record::is_kept::<SpoofCheck>(identity) {
        return Ok(());
    }
    record::forget::<SpoofCheck, _>(identity, |_| remove(identity))
}

/// GC: removes the checks of host links that are gone, and forgets what is not in `valid` (container ID, interface)
/// of the network.
///
/// # Errors
/// As [`gc`].
pub(crate) fn collect(
    network: &str,
    valid: &[(&str, &str)],
    link_exists: &dyn Fn(&str) -> bool,
) -> Result<(), Error> {
    record::forget_others::<SpoofCheck, _>(network, valid, |_| gc(link_exists))
}
