//! firewalld over D-Bus: a pod's addresses are sources of a zone. firewalld keeps them until it is
//! reloaded or ends.
//!
//! Interface: firewalld.dbus(5).

mod bus;

use std::net::IpAddr;

use ipnetwork::IpNetwork;

pub(crate) use bus::Error;
use bus::{Bus, Reason};

use crate::error::{Error as PluginError, Mismatch};

/// firewalld's words for "there already".
const ALREADY: [&str; 2] = ["ZONE_ALREADY_SET", "ALREADY_ENABLED"];
/// And for "not there"; ZONE_CONFLICT is in another zone.
const ABSENT: [&str; 4] = [
    "NOT_ENABLED",
    "UNKNOWN_SOURCE",
    "INVALID_ZONE",
    "ZONE_CONFLICT",
];

/// Whether firewalld runs, without starting it. A host without a system bus has none.
pub(crate) fn runs() -> Result<bool, Error> {
    match Bus::connect() {
        Err(Error::NoBus(_)) => Ok(false),
        bus => bus?.has_firewalld(),
    }
}

/// Adds the addresses to the zone.
///
/// # Errors
/// There is no system bus; what firewalld says.
pub(crate) fn add(zone: &str, addresses: &[IpNetwork]) -> Result<(), Error> {
    let bus = Bus::connect()?;
    for address in addresses.iter().map(IpNetwork::ip) {
        let outcome = bus.change("addSource", zone, &source(address));
        if !is_said(&outcome, &ALREADY) {
            outcome.map_err(|reason| Error::Add {
                address,
                zone: zone.to_owned(),
                reason,
            })?;
        }
    }
    Ok(())
}

/// Removes the addresses from the zone if firewalld runs; what is not there need not be removed. A firewalld that
/// does not answer in time does not do it later for one that is gone: a runtime comes again.
///
/// # Errors
/// What firewalld says.
pub(crate) fn remove(zone: &str, addresses: &[IpNetwork]) -> Result<(), Error> {
    let bus = match Bus::connect() {
        Err(Error::NoBus(_)) => return Ok(()),
        bus => bus?,
    };
    if !bus.has_firewalld()? {
        return Ok(());
    }
    let mut first = Ok(());
    for address in addresses.iter().map(IpNetwork::ip) {
        let outcome = bus.change("removeSource", zone, &source(address));
        if !is_said(&outcome, &ABSENT) {
            first = first.and(outcome.map_err(|reason| Error::Remove {
                address,
                zone: zone.to_owned(),
                reason,
            }));
        }
    }
    first
}

/// CHECK: the zone has each address.
///
/// # Errors
/// It has not; it cannot be asked.
pub(crate) fn check(zone: &str, addresses: &[IpNetwork]) -> Result<(), PluginError> {
    let bus = Bus::connect()?;
    for address in addresses.iter().map(IpNetwork::ip) {
        if !bus.has_source(zone, &source(address))? {
            let zone = zone.to_owned();
            return Err(Mismatch::Zone { address, zone }.into());
        }
    }
    Ok(())
}

/// Whether [`add`] would work: firewalld answers, which starts it where the bus can, and has the zone.
///
/// # Errors
/// Why it would not.
pub(crate) fn usable(zone: &str) -> Result<(), Error> {
    let any = source(IpAddr::from([127, 0, 0, 1]));
    Bus::connect()?.has_source(zone, &any).map(drop)
}

/// A single address as the reference plugin writes it.
fn source(address: IpAddr) -> String {
    IpNetwork::from(address).to_string()
}

fn is_said(outcome: &Result<(), Reason>, words: &[&str]) -> bool {
    let Err(Reason::Refused(zbus::Error::MethodError(_, Some(text), _))) = outcome else {
        return false;
    };
    words.iter().any(|word| text.contains(word))
}
