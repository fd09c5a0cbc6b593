//! Facts about the network that carries the pods' traffic, as backends need them.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use kernel::{IfName, LinkIndex, Route, RouteKind};

use crate::Family;

/// The external interface, and what lies behind it without a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// Index of the external interface.
    pub link: LinkIndex,
    /// Its name.
    pub name: IfName,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// Its IPv4 address.
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6_address: Option<Ipv6Addr>,
    /// The IPv4 address that other nodes use.
    pub public_ip: Option<Ipv4Addr>,
    /// The IPv6 address that other nodes use.
    pub public_ipv6: Option<Ipv6Addr>,
    /// The node's routes, other than those to pods.
    pub routes: NextHops,
}

impl Underlay {
    /// The interface's own address of a family.
    pub fn local(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.address.map(IpAddr::V4),
            Family::V6 => self.v6_address.map(IpAddr::V6),
        }
    }

    /// The advertised address of a family.
    pub fn public(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.public_ip.map(IpAddr::V4),
            Family::V6 => self.public_ipv6.map(IpAddr::V6),
        }
    }
}

/// Where a packet leaves: the link, and whether a router comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The link.
    pub link: LinkIndex,
    /// Through a router.
    pub routed: bool,
}

/// A routing table that answers longest-prefix lookups without asking the kernel for each
/// of thousands of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextHops {
    /// Next hop per destination and metric order: the lowest metric comes first.
    by_dst: HashMap<IpNetwork, Vec<(u32, NextHop)>>,
    /// Prefix lengths that occur, per family.
    lengths: BTreeSet<(Family, u8)>,
    /// Routers, and what else was named: never behind a peer.
    needed: BTreeSet<IpAddr>,
}

impl NextHops {
    /// From routes of the main table; those of other kinds, and those whose link is not
    /// known (several next hops), are left out.
    pub fn new<'a>(routes: impl IntoIterator<Item = &'a Route>) -> Self {
        let mut table = Self::default();
        for route in routes {
            let (RouteKind::Unicast, Some(link)) = (route.kind, route.link) else {
                continue;
            };
            let family = Family::of(route.dst.ip());
            let metric = route.priority.unwrap_or(family.default_metric());
            let routed = route.gateway.is_some();
            table.needed.extend(route.gateway);
            let hops = table.by_dst.entry(route.dst).or_default();
            hops.push((metric, NextHop { link, routed }));
            table.lengths.insert((family, route.dst.prefix()));
        }
        for hops in table.by_dst.values_mut() {
            hops.sort_by_key(|&(metric, hop)| (metric, hop.link));
        }
        table
    }

    /// Names addresses that must be reached outside the pod network.
    pub fn need(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.needed.extend(addresses);
    }

    /// Addresses that must be reached outside the pod network: the routers, and what was named.
    pub fn needed(&self) -> impl Iterator<Item = &IpAddr> {
        self.needed.iter()
    }

    /// The next hop towards `to`, as the kernel would choose it.
    pub fn towards(&self, to: IpAddr) -> Option<NextHop> {
        self.matches(to)
            .next()
            .and_then(|hops| hops.first())
            .map(|&(_, hop)| hop)
    }

    /// The link on which `to` is reached without a router: with `DirectRouting` packets to its pods
    /// go there as they are.
    pub fn direct(&self, to: IpAddr) -> Option<LinkIndex> {
        let hop = self.towards(to).filter(|hop| !hop.routed)?;
        Some(hop.link)
    }

    /// Whether `to` is reached through `link` without a router: what the kernel demands of
    /// a gateway.
    pub fn on_link(&self, to: IpAddr, link: LinkIndex) -> bool {
        self.matches(to)
            .find_map(|hops| hops.iter().find(|(_, hop)| hop.link == link))
            .is_some_and(|(_, hop)| !hop.routed)
    }

    /// Destinations that contain `to`, longest prefix first.
    fn matches(&self, to: IpAddr) -> impl Iterator<Item = &Vec<(u32, NextHop)>> {
        let family = Family::of(to);
        self.lengths
            .range((family, 0)..=(family, family.bits()))
            .rev()
            .filter_map(move |&(_, length)| {
                let covering = IpNetwork::new(to, length).ok()?;
                let dst = IpNetwork::new(covering.network(), length).ok()?;
                self.by_dst.get(&dst)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(dst: &str, gateway: Option<&str>, link: u32, priority: Option<u32>) -> Route {
        Route {
            gateway: gateway.map(|address| address.parse().expect("gateway")),
            link: Some(LinkIndex(link)),
            priority,
            ..Route::to(dst.parse().expect("dst"))
        }
    }

    fn table() -> NextHops {
        NextHops::new(&[
            route("0.0.0.0/0", Some("192.168.50.254"), 2, None),
            route("192.168.50.0/24", None, 2, None),
            route("192.168.50.128/25", Some("192.168.50.9"), 2, None),
            route("198.51.100.0/24", None, 3, Some(100)),
            route("198.51.100.0/24", Some("192.168.50.7"), 2, Some(50)),
            route("fd00:50::/64", None, 2, Some(256)),
            route("::/0", Some("fd00:50::fe"), 2, Some(1024)),
        ])
    }

    #[test]
    fn the_longest_prefix_and_the_lowest_metric_win() {
        let table = table();
        for (to, link, routed) in [
            ("192.168.50.7", 2, false),
            ("192.168.50.200", 2, true),
            ("203.0.113.1", 2, true),
            ("198.51.100.7", 2, true),
            ("fd00:50::7", 2, false),
            ("fd00:51::7", 2, true),
        ] {
            let hop = table.towards(to.parse().expect("address"));
            assert_eq!(
                hop,
                Some(NextHop {
                    link: LinkIndex(link),
                    routed
                }),
                "{to}"
            );
            let direct = table.direct(to.parse().expect("address"));
            assert_eq!(direct, (!routed).then_some(LinkIndex(link)), "{to}");
        }
        assert_eq!(
            NextHops::default().towards("192.0.2.1".parse().expect("address")),
            None
        );
    }

    #[test]
    fn on_link_asks_only_the_given_link() {
        let table = table();
        for (to, link, on_link) in [
            ("192.168.50.7", 2, true),
            ("192.168.50.7", 3, false),
            ("192.168.50.200", 2, false),
            ("198.51.100.7", 3, true),
            ("198.51.100.7", 2, false),
            ("203.0.113.1", 2, false),
        ] {
            let found = table.on_link(to.parse().expect("address"), LinkIndex(link));
            assert_eq!(found, on_link, "{to} on link {link}");
        }
    }
}
