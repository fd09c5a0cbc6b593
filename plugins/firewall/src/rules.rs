//! The rules of one attachment, whatever the backend: made, confirmed, removed, remembered.

use std::collections::BTreeSet;

use attach::{
    Identity,
    owner::Owner,
    record::{self, Life, Record, RecordError, Remembered, Rules},
};
use ipnetwork::IpNetwork;
use kernel::nft::ruleset::change_what_is_there;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Backend, Isolation},
    error::Error,
    firewalld, iptables,
    native::{self, bridges},
};

/// The rules of the plugin `firewall`.
#[derive(Clone, Copy, Debug)]
pub struct Firewall;

/// What must be known to make an attachment's rules, besides its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// What lets packets through.
    pub backend: Backend,
    /// The administrator's chain.
    pub admin_chain: String,
    /// The zone of firewalld.
    pub zone: String,
    /// Who is kept out.
    pub isolation: Option<Isolation>,
}

impl Rules for Firewall {
    type Wanted = Wanted;

    const KIND: &'static str = "firewall";

    fn are_there(record: &Record<Wanted>) -> Result<bool, cni::Error> {
        match check_one(&record.identity(), &record.addresses, &record.wanted) {
            Ok(()) => Ok(true),
            Err(Error::Mismatch(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn make(record: &Record<Wanted>) -> Result<(), cni::Error> {
        Ok(make(&record.identity(), &record.addresses, &record.wanted).map(drop)?)
    }

    fn remove(
        identity: Identity<'_>,
        remembered: &Remembered<'_, Wanted>,
    ) -> Result<(), cni::Error> {
        Ok(remove_rules(&identity, &[], || Ok(None), remembered)?)
    }

    /// Those of elements: rules of iptables and sources of firewalld say nothing.
    fn owners() -> Result<Vec<Owner>, cni::Error> {
        Ok(Owner::all(native::comments).map_err(Error::from)?)
    }
}

/// Makes what is missing of an attachment's rules; says whether rules of others seem to be missing too.
///
/// # Errors
/// What the backend refuses. Nothing of this call is left then for nftables; [`remove`] clears the rest.
pub(crate) fn make(
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
    wanted: &Wanted,
) -> Result<bool, Error> {
    let isolation = wanted.isolation.as_ref();
    if addresses.is_empty() {
        return Ok(false);
    }
    match wanted.backend {
        Backend::Nftables => {
            return native::add(owner, addresses, &wanted.admin_chain, isolation);
        }
        Backend::Iptables => iptables::add(addresses, Some(&wanted.admin_chain), isolation)?,
        Backend::Firewalld => {
            keep_apart(addresses, isolation)?;
            native::honour(addresses, &wanted.admin_chain)?;
            firewalld::add(&wanted.zone, addresses)?;
        }
    }
    Ok(another_lacks(owner))
}

/// The policy where firewalld lets packets through.
fn keep_apart(addresses: &[IpNetwork], isolation: Option<&Isolation>) -> Result<(), Error> {
    match isolation {
        None => Ok(()),
        Some(isolation) if native::is_supported()? => native::isolate(isolation),
        Some(_) => iptables::add(addresses, None, isolation),
    }
}

/// Whether any one other attachment has lost its rules: somebody flushed them, or reloaded firewalld.
fn another_lacks(owner: &Identity<'_>) -> bool {
    let Some(other) = record::another::<Firewall>(*owner) else {
        return false;
    };
    // What cannot be looked at, as by a firewalld that ended, is no reason to refuse this pod.
    Firewall::are_there(&other).is_ok_and(|are_there| !are_there)
}

/// Whether the rules are there and at work, made by `wanted.backend` or by another: the reference plugin
/// made some pods, and others were made before the backend was another.
///
/// # Errors
/// What the wanted backend lacks.
pub(crate) fn check(
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
    wanted: &Wanted,
) -> Result<(), Error> {
    let outcome = check_one(owner, addresses, wanted);
    let Err(Error::Mismatch(_)) = outcome else {
        return outcome;
    };
    for backend in [Backend::Nftables, Backend::Iptables] {
        let other = Wanted {
            backend,
            ..wanted.clone()
        };
        if backend != wanted.backend && check_one(owner, addresses, &other).is_ok() {
            return Ok(());
        }
    }
    outcome
}

fn check_one(owner: &Identity<'_>, addresses: &[IpNetwork], wanted: &Wanted) -> Result<(), Error> {
    if addresses.is_empty() {
        return Ok(());
    }
    match wanted.backend {
        Backend::Nftables => native::check(owner, addresses, &wanted.admin_chain)?,
        Backend::Iptables => iptables::check(addresses, Some(&wanted.admin_chain), None)?,
        Backend::Firewalld => firewalld::check(&wanted.zone, addresses)?,
    }
    let Some(isolation) = &wanted.isolation else {
        return Ok(());
    };
    let by_iptables = || iptables::check(addresses, None, Some(isolation));
    if wanted.backend == Backend::Iptables || !native::is_supported()? {
        return by_iptables();
    }
    match bridges::check(isolation) {
        Err(Error::Mismatch(mismatch)) => by_iptables().map_err(|_| mismatch.into()),
        outcome => outcome,
    }
}

/// Removes all that lets the attachment's packets through, ours and the reference plugin's, with any
/// backend: the rules of `addresses`, and of those that are remembered unless another pod has them by now.
/// firewalld is asked about the zones that are remembered, and about `zone` where that may not be all. What
/// pods share stays, as it does with the reference plugin. Nothing there is success.
///
/// # Errors
/// All backends are tried before the first failure is returned; what is remembered stays so then.
pub(crate) fn remove(
    owner: &Identity<'_>,
    addresses: &[IpNetwork],
    zone: impl FnOnce() -> Result<Option<String>, Error>,
) -> Result<(), Error> {
    record::forget::<Firewall, _>(*owner, |remembered| {
        remove_rules(owner, addresses, zone, remembered)
    })
}

fn remove_rules(
    owner: &Identity<'_>,
    given: &[IpNetwork],
    zone: impl FnOnce() -> Result<Option<String>, Error>,
    remembered: &Remembered<'_, Wanted>,
) -> Result<(), Error> {
    let known = with_remembered(owner, given, remembered.records);
    // Of the others nobody knows whose they are by now.
    let addresses = known.as_deref().unwrap_or(given);
    let by_netlink = change_what_is_there(|nft, transaction| {
        let transaction = native::removal(nft, transaction, owner, addresses)?;
        iptables::removal(nft, transaction, addresses)
    });
    let legacy = iptables::remove_legacy(addresses);
    let from_zones = remove_from_zones(addresses, zone, remembered);
    by_netlink?;
    legacy?;
    from_zones?;
    Ok(known.map(drop)?)
}

/// The given addresses, and those that are remembered and no other pod has by now.
fn with_remembered(
    owner: &Identity<'_>,
    given: &[IpNetwork],
    remembered: &[Record<Wanted>],
) -> Result<Vec<IpNetwork>, RecordError> {
    let mut all = record::with_remembered(given, remembered);
    let nameless = remembered.iter().any(is_nameless);
    if nameless && all.len() > given.len() {
        let others = record::all::<Firewall>()?;
        let others = others.iter().map(|kept| &kept.record);
        let others: Vec<_> = others
            .filter(|record| record.identity() != *owner)
            .collect();
        all.retain(|address| {
            given.contains(address) || !others.iter().any(|record| may_have(record, address))
        });
    }
    Ok(all)
}

/// Rules of iptables and sources of firewalld do not say whose they are.
fn is_nameless(record: &Record<Wanted>) -> bool {
    record.wanted.backend != Backend::Nftables
}

/// One that cannot be seen from here may live.
fn may_have(record: &Record<Wanted>, address: &IpNetwork) -> bool {
    let mut addresses = record.addresses.iter();
    addresses.any(|one| one.ip() == address.ip())
        && !matches!(record::life_of(record), Ok(Life::Gone))
}

fn remove_from_zones(
    addresses: &[IpNetwork],
    zone: impl FnOnce() -> Result<Option<String>, Error>,
    remembered: &Remembered<'_, Wanted>,
) -> Result<(), Error> {
    let told = match remembered.is_all {
        true => Ok(None),
        false => zone(),
    };
    let told_zone = told.as_ref().ok().and_then(Option::as_deref);
    let zones = zones(remembered.records, told_zone);
    if addresses.is_empty() {
        return told.map(drop);
    }
    let removed: Vec<_> = zones
        .into_iter()
        .map(|zone| firewalld::remove(zone, addresses))
        .collect();
    removed.into_iter().collect::<Result<(), _>>()?;
    told.map(drop)
}

/// Each zone that may have a pod's addresses.
fn zones<'a>(remembered: &'a [Record<Wanted>], told: Option<&'a str>) -> BTreeSet<&'a str> {
    let of_firewalld = remembered
        .iter()
        .filter(|record| record.wanted.backend == Backend::Firewalld);
    of_firewalld
        .map(|record| record.wanted.zone.as_str())
        .chain(told)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(backend: &str, zone: &str) -> Record<Wanted> {
        let namespace = r#"{"device": 4, "inode": 5}"#;
        let text = format!(
            r#"{{"network": "net", "containerID": "one", "ifname": "eth0", "netns": "/n",
            "namespace": {namespace}, "host": {namespace}, "addresses": [],
            "wanted": {{"backend": "{backend}", "adminChain": "", "zone": "{zone}"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn each_zone_is_asked_once() {
        let records = [
            record("firewalld", "home"),
            record("nftables", "trusted"),
            record("firewalld", "work"),
            record("firewalld", "home"),
        ];
        let of = |told| Vec::from_iter(zones(&records, told));
        assert_eq!(of(None), ["home", "work"]);
        assert_eq!(of(Some("home")), ["home", "work"]);
        assert_eq!(of(Some("public")), ["home", "public", "work"]);
        assert!(zones(&[], None).is_empty());
    }
}
