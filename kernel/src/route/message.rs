//! Routes as netlink messages, both ways. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteType, RouteVia,
};

use super::{Route, RouteFilter, RouteKind};
use crate::LinkIndex;
use crate::address::family;

/// `RT_TABLE_MAIN`
pub(super) const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

pub(crate) fn new_message(route: &Route) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewRoute(message(route))
}

pub(crate) fn delete_message(route: &Route) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelRoute(message(route))
}

/// A dump of one family's routes.
pub(super) fn filter_message(filter: &RouteFilter, ipv6: bool) -> RouteNetlinkMessage {
    let any: IpAddr = if ipv6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let mut message = RouteMessage::default();
    message.header.address_family = family(any);
    if let Some(table) = filter.table {
        set_table(&mut message, table);
    }
    if let Some(link) = filter.link {
        message.attributes.push(RouteAttribute::Oif(link.0));
    }
    if let Some(protocol) = filter.protocol {
        message.header.protocol = protocol.into();
    }
    RouteNetlinkMessage::GetRoute(message)
}

/// A question for the route to one address.
pub(super) fn lookup_message(to: IpAddr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(to);
    set_destination(&mut message, to.into());
    RouteNetlinkMessage::GetRoute(message)
}

fn message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(route.dst.ip());
    message.header.protocol = route.protocol.into();
    message.header.scope = route.scope.into();
    message.header.kind = route_type(route.kind);
    set_table(&mut message, route.table);
    set_destination(&mut message, route.dst);
    if route.onlink {
        message.header.flags |= RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    attributes.extend(
        route
            .gateway
            .map(|gateway| gateway_attribute(route.dst, gateway)),
    );
    attributes.extend(route.link.map(|link| RouteAttribute::Oif(link.0)));
    attributes.extend(
        route
            .source
            .map(|source| RouteAttribute::PrefSource(source.into())),
    );
    attributes.extend(route.priority.map(RouteAttribute::Priority));
    let mtu = route.mtu.map(RouteMetric::Mtu);
    let metrics: Vec<_> = mtu
        .into_iter()
        .chain(route.advmss.map(RouteMetric::Advmss))
        .collect();
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

/// The header has one byte for the table, so larger numbers go into an attribute.
fn set_table(message: &mut RouteMessage, table: u32) {
    match u8::try_from(table) {
        Ok(table) => message.header.table = table,
        Err(_) => message.attributes.push(RouteAttribute::Table(table)),
    }
}

fn set_destination(message: &mut RouteMessage, dst: IpNetwork) {
    message.header.destination_prefix_length = dst.prefix();
    if dst.prefix() > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(dst.ip().into()));
    }
}

fn gateway_attribute(dst: IpNetwork, gateway: IpAddr) -> RouteAttribute {
    match gateway {
        IpAddr::V6(gateway) if dst.is_ipv4() => RouteAttribute::Via(RouteVia::Inet6(gateway)),
        gateway => RouteAttribute::Gateway(gateway.into()),
    }
}

fn route_type(kind: RouteKind) -> RouteType {
    match kind {
        RouteKind::Unicast | RouteKind::Multipath => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Other(kind) => kind.into(),
    }
}

impl Route {
    /// The route in an answer; `None` for any other object, other families, and what the kernel
    /// only remembers of a lookup.
    pub(crate) fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        match answer {
            RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message)
                if !message.header.flags.contains(RouteFlags::Cloned) =>
            {
                Self::from_message(message)
            }
            _ => None,
        }
    }

    /// The same, with a multipath route once for each of its next hops.
    pub(super) fn by_next_hop(mut answer: RouteNetlinkMessage) -> Option<Vec<Self>> {
        let hops = match &mut answer {
            RouteNetlinkMessage::NewRoute(message) => take_next_hops(message),
            _ => Vec::new(),
        };
        let multipath = !hops.is_empty();
        let route = Self::from_answer(answer)?;
        if !multipath {
            return Some(vec![route]);
        }
        hops.into_iter().map(|hop| route.through(hop)).collect()
    }

    /// This route by one of its next hops.
    fn through(&self, hop: RouteNextHop) -> Option<Self> {
        let mut route = Self {
            link: Some(LinkIndex(hop.interface_index)),
            kind: RouteKind::Multipath,
            ..self.clone()
        };
        for attribute in hop.attributes {
            route.take(attribute, self.dst.prefix())?;
        }
        Some(route)
    }

    /// The answer to a lookup is such a memory.
    pub(super) fn from_lookup(answer: RouteNetlinkMessage) -> Option<Self> {
        match answer {
            RouteNetlinkMessage::NewRoute(message) => Self::from_message(message),
            _ => None,
        }
    }

    fn from_message(message: RouteMessage) -> Option<Self> {
        let header = message.header;
        let any: IpAddr = match header.address_family {
            netlink_packet_route::AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
            netlink_packet_route::AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        let mut route = Self::to(IpNetwork::new(any, 0).ok()?);
        route.table = header.table.into();
        route.protocol = header.protocol.into();
        route.scope = header.scope.into();
        route.onlink = header.flags.contains(RouteFlags::Onlink);
        route.kind = match header.kind {
            RouteType::Unicast => RouteKind::Unicast,
            RouteType::BlackHole => RouteKind::Blackhole,
            kind => RouteKind::Other(kind.into()),
        };
        for attribute in message.attributes {
            route.take(attribute, header.destination_prefix_length)?;
        }
        Some(route.normalised())
    }

    /// `None` when the attribute makes no sense in a route of IPv4 or IPv6.
    fn take(&mut self, attribute: RouteAttribute, prefix: u8) -> Option<()> {
        match attribute {
            RouteAttribute::Destination(dst) => self.dst = IpNetwork::new(ip(dst)?, prefix).ok()?,
            RouteAttribute::Gateway(gateway) => self.gateway = Some(ip(gateway)?),
            RouteAttribute::Via(RouteVia::Inet(gateway)) => self.gateway = Some(gateway.into()),
            RouteAttribute::Via(RouteVia::Inet6(gateway)) => self.gateway = Some(gateway.into()),
            RouteAttribute::Oif(index) => self.link = Some(LinkIndex(index)),
            RouteAttribute::Table(table) => self.table = table,
            RouteAttribute::PrefSource(source) => self.source = Some(ip(source)?),
            RouteAttribute::Priority(priority) => self.priority = Some(priority),
            RouteAttribute::MultiPath(_) => self.kind = RouteKind::Multipath,
            RouteAttribute::Metrics(metrics) => {
                metrics
                    .into_iter()
                    .for_each(|metric| self.take_metric(metric));
            }
            _ => {}
        }
        Some(())
    }

    fn take_metric(&mut self, metric: RouteMetric) {
        match metric {
            RouteMetric::Mtu(mtu) => self.mtu = Some(mtu),
            RouteMetric::Advmss(advmss) => self.advmss = Some(advmss),
            _ => {}
        }
    }
}

/// The next hops of a multipath route; none of another.
fn take_next_hops(message: &mut RouteMessage) -> Vec<RouteNextHop> {
    let mut hops = message
        .attributes
        .iter_mut()
        .filter_map(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(std::mem::take(hops)),
            _ => None,
        });
    hops.next().unwrap_or_default()
}

fn ip(address: RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(address.into()),
        RouteAddress::Inet6(address) => Some(address.into()),
        _ => None,
    }
}
