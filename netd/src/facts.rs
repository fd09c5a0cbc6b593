//! What is read from the kernel once, at start.

use std::net::IpAddr;

use kernel::route::RouteFilter;
use kernel::{IfName, Netlink};

use crate::interface::Facts;

/// The main routing table.
pub(crate) const TABLE_MAIN: u32 = 254;

/// Everything that the choice of the external interface needs.
///
/// # Errors
/// The kernel does not answer.
pub fn gather(netlink: &Netlink, reach: Option<IpAddr>) -> kernel::Result<Facts> {
    let mut links = netlink.links()?;
    links.sort_by_key(|link| link.index);
    let mut default_routes = Vec::new();
    for ipv6 in [false, true] {
        let filter = RouteFilter {
            ipv6: Some(ipv6),
            table: Some(TABLE_MAIN),
            ..RouteFilter::default()
        };
        let routes = netlink.routes(&filter)?;
        default_routes.extend(routes.into_iter().filter(|route| route.dst.prefix() == 0));
    }
    let reach = match reach {
        Some(to) => lookup(netlink, to),
        None => None,
    };
    Ok(Facts {
        links,
        addresses: netlink.addresses(None)?,
        default_routes,
        reach,
    })
}

/// A lookup that fails ("network is unreachable") is an answer, too.
fn lookup(netlink: &Netlink, to: IpAddr) -> Option<kernel::Route> {
    match netlink.route_to(to) {
        Ok(route) => route,
        Err(error) => {
            tracing::debug!(%to, error = %crate::chain(&error), "route lookup failed");
            None
        }
    }
}

/// Pods need a node that forwards; what switches that on (their plugin) must not cost the node its
/// default route. Not fatal where `/proc/sys` is read-only: then somebody else keeps the node.
pub fn keep_router_advertisements() {
    if let Err(error) = kernel::forwarding::keep_router_advertisements() {
        tracing::warn!(
            error = %crate::chain(&error),
            "a default route that came by router advertisement may be lost when IPv6 forwarding \
             is switched on; set accept_ra=2 on its interface"
        );
    }
}

/// Whether the link takes router advertisements also while the node forwards.
pub fn hears_routers(link: &IfName) -> bool {
    kernel::forwarding::takes_router_advertisements(link).unwrap_or_else(|error| {
        tracing::debug!(%link, error = %crate::chain(&error), "accept_ra is not known");
        false
    })
}

/// Lets a link that takes the place of one that [hears routers](hears_routers) do the same: made while
/// the node forwards, it would take neither address nor default route from them.
pub fn hear_routers(link: &IfName) {
    match kernel::forwarding::take_router_advertisements(link) {
        Ok(false) => {}
        Ok(true) => {
            tracing::info!(%link, "accept_ra raised from 1 to 2, as its predecessor had it")
        }
        Err(error) => tracing::warn!(
            %link,
            error = %crate::chain(&error),
            "the external interface may get no address and no default route by router advertisement; set \
             accept_ra=2 on it"
        ),
    }
}

/// Without br_netfilter, packets between pods of one bridge pass by iptables. Services inside
/// the node may need that; netd itself does not.
pub fn warn_without_bridge_netfilter() {
    if kernel::sysctl::get("net/bridge/bridge-nf-call-iptables").is_err() {
        tracing::warn!(
            "the kernel module br_netfilter is not loaded: iptables does not see packets \
             between pods of one node (modprobe br_netfilter)"
        );
    }
}
