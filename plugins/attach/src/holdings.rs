//! What a link has and the kernel takes from it when it moves: to another namespace, or into a VRF.

use std::net::IpAddr;

use kernel::{
    Address, Change, Link, LinkIndex, Netlink, Route, RouteFilter, RouteKind, SavedAddress,
};

/// The protocol of routes that router advertisements made (linux/rtnetlink.h, `RTPROT_RA`): they come
/// again by themselves.
const PROTOCOL_RA: u8 = 9;

/// A link's addresses and routes, but for what the kernel gives every link by itself.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Addresses as somebody set them, in the kernel's order.
    pub addresses: Vec<SavedAddress>,
    /// Routes of all tables, as they were listed.
    pub routes: Vec<Route>,
}

/// What could not be had again, and why.
pub type Refused = (Change, kernel::Error);

impl Holdings {
    /// Of a link.
    ///
    /// # Errors
    /// Addresses or routes cannot be read.
    pub fn read(netlink: &Netlink, link: &Link) -> Result<Self, kernel::Error> {
        let filter = RouteFilter {
            link: Some(link.index),
            ..RouteFilter::default()
        };
        let mut addresses = netlink.save_addresses(link.index)?;
        addresses.retain(|saved| !comes_by_itself(&saved.shown));
        let mut routes = movable(netlink.routes_by_next_hop(&filter)?, link.index);
        routes.retain(|route| ![Route::PROTOCOL_KERNEL, PROTOCOL_RA].contains(&route.protocol));
        Ok(Self { addresses, routes })
    }

    /// Gives a link the addresses that it does not have, as they were and in their order: IPv4 puts each behind
    /// those before it, IPv6 before them.
    pub fn restore_addresses(&self, netlink: &Netlink, link: LinkIndex) -> Vec<Refused> {
        let (mut six, four): (Vec<_>, Vec<_>) =
            (self.addresses.iter()).partition(|saved| saved.shown.address.is_ipv6());
        six.reverse();
        let refused = |saved: &SavedAddress| match netlink.restore_address(link, saved) {
            Err(error) if !error.is_exists() => {
                Some((Change::AddAddress(link, saved.shown.address), error))
            }
            _ => None,
        };
        four.into_iter().chain(six).filter_map(refused).collect()
    }

    /// Gives a link the routes, each in the table that `table` has for its own.
    ///
    /// # Errors
    /// Nothing more could be sent.
    pub fn restore_routes(
        &self,
        netlink: &Netlink,
        link: LinkIndex,
        table: impl Fn(u32) -> u32,
    ) -> Result<Vec<Refused>, kernel::Error> {
        let route = |held: Route| {
            Change::AddRoute(Route {
                link: Some(link),
                table: table(held.table),
                ..held
            })
        };
        let routes = in_order(self.routes.iter().cloned());
        apply(netlink, routes.into_iter().map(route).collect())
    }
}

fn apply(netlink: &Netlink, changes: Vec<Change>) -> Result<Vec<Refused>, kernel::Error> {
    let outcomes = netlink.apply(&changes)?;
    let refused = changes
        .into_iter()
        .zip(outcomes)
        .filter_map(|(change, outcome)| {
            let error = outcome.err().filter(|error| !error.is_exists())?;
            Some((change, error))
        });
    Ok(refused.collect())
}

/// The kernel gives every link such an address by itself, or by router advertisements.
fn comes_by_itself(address: &Address) -> bool {
    match address.address.ip() {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || !address.permanent,
    }
}

/// Those of a link's routes that can be made again one by one. Of several next hops IPv6 makes one
/// route, which `routes` has once for each.
pub fn movable(routes: Vec<Route>, link: LinkIndex) -> Vec<Route> {
    let single = |mut route: Route| {
        let is_one = match route.kind {
            RouteKind::Unicast => true,
            RouteKind::Multipath => route.dst.is_ipv6(),
            _ => false,
        };
        route.kind = RouteKind::Unicast;
        (is_one && route.link == Some(link)).then_some(route)
    };
    routes.into_iter().filter_map(single).collect()
}

/// Routes in an order in which they can be added: next hops are on the link before anything goes by
/// them. Of several routes to one destination IPv4 puts each before the one before it, IPv6 behind.
pub fn in_order(routes: impl Iterator<Item = Route>) -> Vec<Route> {
    let (mut routes, six): (Vec<Route>, Vec<Route>) = routes.partition(|route| route.dst.is_ipv4());
    routes.reverse();
    routes.extend(six);
    routes.sort_by_key(|route| route.gateway.is_some());
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkIndex = LinkIndex(5);

    fn route(dst: &str, gateway: Option<&str>) -> Route {
        let mut route = Route::to(dst.parse().unwrap());
        route.gateway = gateway.map(|text| text.parse().unwrap());
        route.link = Some(LINK);
        route
    }

    #[test]
    fn only_single_routes_of_the_link_move() {
        let with = |change: fn(&mut Route)| {
            let mut route = route("10.9.0.0/16", Some("10.22.0.8"));
            change(&mut route);
            movable(vec![route], LINK).len()
        };
        assert_eq!(with(|_| ()), 1);
        assert_eq!(with(|route| route.link = Some(LinkIndex(6))), 0);
        assert_eq!(with(|route| route.kind = RouteKind::Multipath), 0);
        assert_eq!(with(|route| route.kind = RouteKind::Blackhole), 0);
        let six = Route {
            kind: RouteKind::Multipath,
            ..route("2001:db8:9::/48", Some("2001:db8:22::8"))
        };
        assert_eq!(movable(vec![six], LINK)[0].kind, RouteKind::Unicast);
    }

    #[test]
    fn neighbours_come_before_what_goes_by_them_and_order_is_kept() {
        let routes = [
            route("0.0.0.0/0", Some("10.22.0.1")),
            route("10.9.0.0/16", Some("10.22.0.8")),
            route("10.9.0.0/16", Some("10.22.0.9")),
            route("10.22.0.0/24", None),
            route("2001:db8:5::/48", Some("2001:db8:22::8")),
            route("2001:db8:5::/48", Some("2001:db8:22::9")),
            route("2001:db8:22::/64", None),
        ];
        let sorted = in_order(routes.iter().cloned());
        let places: Vec<usize> = sorted
            .iter()
            .map(|route| routes.iter().position(|given| given == route).unwrap())
            .collect();
        // IPv4 puts each before the one before it, IPv6 behind.
        assert_eq!(places, [3, 6, 2, 1, 0, 4, 5]);
    }
}
