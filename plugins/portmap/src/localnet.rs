//! `route_localnet`: what comes from 127.0.0.1 may leave by the interface that leads to the pod.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::{Netlink, Undo, sysctl};

use crate::{
    error::{Deviation, Error, Result},
    settings::Settings,
};

fn key(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/route_localnet")
}

/// The interface that leads to the pod; none where it has no IPv4 address or no route, or where no
/// mapping wants its connections from 127.0.0.1.
fn interface(settings: &Settings, targets: &[IpNetwork]) -> Result<Option<String>> {
    let target = settings.mapped(targets).find(|target| target.is_ipv4());
    match target.filter(|_| settings.snat) {
        Some(target) => Ok(by_route(target.ip())?),
        None => Ok(None),
    }
}

fn by_route(address: IpAddr) -> kernel::Result<Option<String>> {
    let netlink = Netlink::open()?;
    let Some(index) = netlink.route_to(address)?.and_then(|route| route.link) else {
        return Ok(None);
    };
    let link = netlink.link_by_index(index)?;
    Ok(link.map(|link| link.name.to_string()))
}

/// Switches it on; it is never switched off again, because other pods may be behind the interface.
///
/// # Errors
/// The sysctl cannot be written.
pub(crate) fn allow(settings: &Settings, targets: &[IpNetwork], undo: &mut Undo<'_>) -> Result<()> {
    let Some(interface) = interface(settings, targets)? else {
        return Ok(());
    };
    let refused = |source| Error::Localnet {
        interface: interface.clone(),
        source,
    };
    if sysctl::set(&key(&interface), "1").map_err(refused)? {
        let key = key(&interface);
        undo.push("route_localnet", move || {
            Ok(sysctl::set(&key, "0").map(drop)?)
        })?;
    }
    Ok(())
}

/// Whether it is on.
///
/// # Errors
/// [`Deviation::Localnet`]; the sysctl cannot be read.
pub(crate) fn check(settings: &Settings, targets: &[IpNetwork]) -> Result<()> {
    match interface(settings, targets)? {
        Some(interface) if sysctl::get(&key(&interface))? != "1" => {
            Err(Deviation::Localnet(interface).into())
        }
        _ => Ok(()),
    }
}
