//! Routes: `ip route`.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use nix::libc;

use crate::{LinkIndex, Netlink, Result};

mod message;

use message::{MAIN_TABLE, filter_message, lookup_message};
pub(crate) use message::{delete_message, new_message};

/// What happens to packets that a route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// They go to the next hop, or to the link itself.
    Unicast,
    /// They vanish.
    Blackhole,
    /// They go to one of several next hops, which only
    /// [`routes_by_next_hop`](Netlink::routes_by_next_hop) shows. Read only: such a route cannot
    /// be added here, and equals none that can.
    Multipath,
    /// Another type (`RTN_…` in linux/rtnetlink.h), such as 2 for the machine's own addresses.
    Other(u8),
}

/// A route. A default route's destination is `0.0.0.0/0` or `::/0`; host bits must be 0.
///
/// A route that this crate added reads back equal to its [`normalised`](Self::normalised) form, so
/// that wanted and observed routes can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// Destination; its family is the route's.
    pub dst: IpNetwork,
    /// Next hop; else the destinations are on the link. IPv4 takes an IPv6 next hop (RFC 5549).
    pub gateway: Option<IpAddr>,
    /// Link it leaves by; else the kernel finds it by the next hop.
    pub link: Option<LinkIndex>,
    /// Table; 254 is main.
    pub table: u32,
    /// Who made it (`RTPROT_…`): 3 boot, 4 static, [`PROTOCOL_PODWIRE`](Self::PROTOCOL_PODWIRE).
    pub protocol: u8,
    /// 0 universe, 253 link, 254 host. IPv6 knows universe only.
    pub scope: u8,
    /// Metric: lower wins. IPv4 defaults to 0, IPv6 to 1024.
    pub priority: Option<u32>,
    /// The next hop counts as reachable on the link although no subnet there has it.
    pub onlink: bool,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Path MTU in bytes.
    pub mtu: Option<u32>,
    /// MSS to advertise in TCP, in bytes.
    pub advmss: Option<u32>,
    /// What happens to packets.
    pub kind: RouteKind,
}

/// Which routes a dump returns; the kernel filters.
#[derive(Clone, Debug, Default)]
pub struct RouteFilter {
    /// Only IPv6, or only IPv4.
    pub ipv6: Option<bool>,
    /// Only of this table; else of all.
    pub table: Option<u32>,
    /// Only those that leave by this link.
    pub link: Option<LinkIndex>,
    /// Only those made by this protocol.
    pub protocol: Option<u8>,
}

impl Route {
    /// The protocol of the kernel's own routes.
    pub const PROTOCOL_KERNEL: u8 = 2;

    /// The protocol of routes that were made by hand or by a plugin: `boot`.
    pub const PROTOCOL_BOOT: u8 = 3;

    /// The protocol of routes that netd made. Not registered: below the numbers of routing
    /// daemons that iproute2 lists, above those that the kernel reserves.
    pub const PROTOCOL_PODWIRE: u8 = 112;

    /// A route to `dst` with the defaults: no next hop, no link, main table, protocol boot, scope
    /// universe, unicast.
    pub fn to(dst: IpNetwork) -> Self {
        Self {
            dst,
            gateway: None,
            link: None,
            table: MAIN_TABLE,
            protocol: Self::PROTOCOL_BOOT,
            scope: 0,
            priority: None,
            onlink: false,
            source: None,
            mtu: None,
            advmss: None,
            kind: RouteKind::Unicast,
        }
    }

    /// The form in which the kernel keeps a route, with what it means by default left out: table 0
    /// is main, a metric or size of 0 is none, an IPv4 metric of 0 and an IPv6 metric of 1024 are
    /// the defaults, IPv6 has no scope, and what leads nowhere has no link.
    pub fn normalised(mut self) -> Self {
        let default_metric = if self.dst.is_ipv6() { 1024 } else { 0 };
        self.priority = self
            .priority
            .filter(|metric| ![0, default_metric].contains(metric));
        self.mtu = self.mtu.filter(|mtu| *mtu != 0);
        self.advmss = self.advmss.filter(|advmss| *advmss != 0);
        if self.table == 0 {
            self.table = MAIN_TABLE;
        }
        if self.dst.is_ipv6() {
            self.scope = 0;
        }
        if self.kind == RouteKind::Blackhole {
            self.link = None;
        }
        self
    }
}

/// As `ip route` prints it, with what is not the default.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast => {}
            RouteKind::Blackhole => f.write_str("blackhole ")?,
            RouteKind::Multipath => f.write_str("multipath ")?,
            RouteKind::Other(kind) => write!(f, "type {kind} ")?,
        }
        write!(f, "{}", self.dst)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(link) = self.link {
            write!(f, " dev {link}")?;
        }
        if self.table != MAIN_TABLE {
            write!(f, " table {}", self.table)?;
        }
        if self.scope != 0 {
            write!(f, " scope {}", self.scope)?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if let Some(priority) = self.priority {
            write!(f, " metric {priority}")?;
        }
        Ok(())
    }
}

/// Create, without NLM_F_EXCL or NLM_F_REPLACE.
pub(crate) const ADD_FLAGS: u16 = NLM_F_CREATE;

/// Beyond request and acknowledge.
pub(crate) const REPLACE_FLAGS: u16 = NLM_F_CREATE | NLM_F_REPLACE;

impl Netlink {
    /// The routes that `filter` lets through: `ip route show table all …`, IPv4 first. A table
    /// that was never used has none.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when the filter's link does not exist.
    pub fn routes(&self, filter: &RouteFilter) -> Result<Vec<Route>> {
        self.dump_routes(filter, Route::from_answer)
    }

    /// The same, with a multipath route once for each of its next hops: kind
    /// [`Multipath`](RouteKind::Multipath), next hop and link those of the hop.
    ///
    /// # Errors
    /// As [`routes`](Self::routes).
    pub fn routes_by_next_hop(&self, filter: &RouteFilter) -> Result<Vec<Route>> {
        let found = self.dump_routes(filter, Route::by_next_hop)?;
        Ok(found.into_iter().flatten().collect())
    }

    fn dump_routes<T>(
        &self,
        filter: &RouteFilter,
        select: fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>> {
        let mut routes = Vec::new();
        for ipv6 in [false, true] {
            if filter.ipv6.is_some_and(|wanted| wanted != ipv6) {
                continue;
            }
            let object = if ipv6 { "IPv6 routes" } else { "IPv4 routes" };
            let message = filter_message(filter, ipv6);
            match self.dump("list", object, message, select) {
                Ok(found) => routes.extend(found),
                Err(error) if error.errno() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(routes)
    }

    /// Adds a route as the reference plugins do: `ip route prepend`. To the same destination via
    /// another next hop, IPv4 gets a second route before the first, IPv6 one multipath route.
    ///
    /// # Errors
    /// [`is_exists`](crate::Error::is_exists) when an identical one is there.
    pub fn add_route(&self, route: &Route) -> Result<()> {
        self.request("add route", route, new_message(route), ADD_FLAGS)
            .map(drop)
    }

    /// Adds a route in place of one with the same destination, table and metric: `ip route
    /// replace`.
    ///
    /// # Errors
    /// The kernel refuses it: a next hop that is not reachable, a link that is down.
    pub fn replace_route(&self, route: &Route) -> Result<()> {
        self.request("replace route", route, new_message(route), REPLACE_FLAGS)
            .map(drop)
    }

    /// Removes the route that equals this one in all that is given: `ip route delete`.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is none.
    pub fn delete_route(&self, route: &Route) -> Result<()> {
        self.request("delete route", route, delete_message(route), 0)
            .map(drop)
    }

    /// How a packet to `to` would go, with link, next hop and preferred source: `ip route get`.
    /// `None` when there is no route.
    ///
    /// # Errors
    /// The kernel's answer cannot be had.
    pub fn route_to(&self, to: IpAddr) -> Result<Option<Route>> {
        match self.request("get route", to, lookup_message(to), 0) {
            Ok(answer) => Ok(answer.and_then(Route::from_lookup)),
            Err(error) if matches!(error.errno(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(dst: &str) -> Route {
        Route::to(dst.parse().unwrap())
    }

    #[test]
    fn prints_as_ip_does() {
        let plain = Route {
            gateway: "10.0.0.1".parse().ok(),
            ..route("10.1.0.0/24")
        };
        assert_eq!(plain.to_string(), "10.1.0.0/24 via 10.0.0.1");
        let full = Route {
            link: Some(LinkIndex(5)),
            table: 100,
            scope: 253,
            source: "10.0.0.9".parse().ok(),
            priority: Some(7),
            ..plain
        };
        let text = "10.1.0.0/24 via 10.0.0.1 dev 5 table 100 scope 253 src 10.0.0.9 metric 7";
        assert_eq!(full.to_string(), text);
        let hole = Route {
            kind: RouteKind::Blackhole,
            ..route("::/0")
        };
        assert_eq!(hole.to_string(), "blackhole ::/0");
    }

    #[test]
    fn normalised_leaves_out_defaults() {
        let zeros = |dst, priority| Route {
            table: 0,
            priority,
            mtu: Some(0),
            advmss: Some(0),
            ..route(dst)
        };
        assert_eq!(
            zeros("10.1.0.0/24", Some(0)).normalised(),
            route("10.1.0.0/24")
        );
        let v4 = Route {
            priority: Some(1024),
            ..route("10.1.0.0/24")
        };
        assert_eq!(v4.clone().normalised(), v4);
        for metric in [Some(0), Some(1024), None] {
            let v6 = Route {
                scope: 253,
                ..zeros("fd01::/64", metric)
            };
            assert_eq!(v6.normalised(), route("fd01::/64"));
        }
    }
}
