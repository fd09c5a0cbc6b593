//! What the kernel has.

use backend::NextHops;
use backend::{Device, Family};
use kernel::route::RouteFilter;
use kernel::{Netlink, Route};

use super::plan::Observed;

/// The main routing table.
const TABLE_MAIN: u32 = 254;

/// Reads everything that a plan compares.
pub fn observe(
    netlink: &Netlink,
    families: &[Family],
    devices: &[Device],
) -> kernel::Result<Observed> {
    let mut observed = Observed::default();
    for family in families {
        let filter = RouteFilter {
            ipv6: Some(*family == Family::V6),
            table: Some(TABLE_MAIN),
            ..RouteFilter::default()
        };
        let routes = netlink.routes(&filter)?;
        match observed.routes.is_empty() {
            true => observed.routes = routes,
            false => observed.routes.extend(routes),
        }
    }
    for device in devices {
        let addresses = netlink.addresses(Some(device.link))?;
        observed.addresses.extend(
            addresses
                .into_iter()
                .map(|found| (found.link, found.address)),
        );
        observed.neighbours.extend(netlink.neighbours(device.link)?);
        observed.fdb.extend(netlink.fdb(device.link)?);
    }
    Ok(observed)
}

/// The node's own routes, without those that lead to pods: a peer's address is never behind
/// a pod.
pub fn next_hops(observed: &Observed) -> NextHops {
    let leads_to_pods = |route: &&Route| {
        route.protocol == Route::PROTOCOL_PODWIRE || (route.onlink && route.gateway.is_some())
    };
    NextHops::new(observed.routes.iter().filter(|route| !leads_to_pods(route)))
}
