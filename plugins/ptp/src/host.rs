//! The host's side: it has each gateway's address, and a route to each address of the pod.

use attach::{Error::NoGateway, apply::IPV6_MIN_MTU};
use cni::IpConfig;
use ipnetwork::IpNetwork;
use kernel::{Change, Link, Netlink, Route};

use crate::error::Error;

/// `RT_SCOPE_HOST`, as the reference plugin has it.
const SCOPE_HOST: u8 = 254;

/// The gateways' addresses, each alone in its subnet.
///
/// # Errors
/// An address without a gateway, or with `0.0.0.0`: the pod would have no way out.
pub(crate) fn gateways(ips: &[IpConfig]) -> Result<Vec<IpNetwork>, Error> {
    let gateway = |ip: &IpConfig| match ip.gateway.filter(|gateway| !gateway.is_unspecified()) {
        Some(gateway) => Ok(gateway.into()),
        None => Err(NoGateway {
            address: ip.address,
        }
        .into()),
    };
    ips.iter().map(gateway).collect()
}

/// The routes to the pod's addresses.
pub(crate) fn routes(ips: &[IpConfig], host_end: &Link) -> Vec<Route> {
    let route = |ip: &IpConfig| {
        let mut route = Route::to(ip.address.ip().into());
        route.link = Some(host_end.index);
        if ip.address.is_ipv4() {
            route.scope = SCOPE_HOST;
        }
        route
    };
    ips.iter().map(route).collect()
}

/// Gives the host's end its addresses and routes, in one send; they go with the pair. Nobody looks
/// for duplicates of the addresses: the pod is the only neighbour.
///
/// # Errors
/// An address without a gateway; the kernel refuses.
pub(crate) fn configure(host: &Netlink, end: &Link, ips: &[IpConfig]) -> Result<(), Error> {
    let gateways = gateways(ips)?;
    let routes = routes(ips, end);
    let address = |address: &IpNetwork| Change::AddAddressNoDad(end.index, *address);
    let mut changes: Vec<Change> = gateways.iter().map(address).collect();
    changes.extend(routes.iter().cloned().map(Change::AddRoute));
    let refused = |change: &Change, source: kernel::Error| {
        let (host, source) = (end.name.to_string(), source.into());
        match change {
            Change::AddRoute(Route { dst: address, .. }) => Error::HostRoute {
                address: *address,
                host,
                source,
            },
            Change::AddAddressNoDad(_, address) if address.is_ipv6() && end.mtu < IPV6_MIN_MTU => {
                let (interface, mtu) = (host, end.mtu);
                attach::Error::MtuTooSmallForIpv6 { interface, mtu }.into()
            }
            Change::AddAddressNoDad(_, address) => Error::HostAddress {
                address: *address,
                host,
                source,
            },
            _ => Error::Kernel(*source.0),
        }
    };
    for (change, outcome) in changes.iter().zip(host.apply(&changes)?) {
        match outcome {
            // Two addresses may have one gateway.
            Err(source) if !source.is_exists() => return Err(refused(change, source)),
            _ => {}
        }
    }
    Ok(())
}
