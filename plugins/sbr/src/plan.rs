//! What ADD changes, as a function of what there is. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use attach::{
    holdings::in_order,
    route::{Gateways, SCOPE_LINK, TABLE_MAIN, network},
};
use ipnetwork::IpNetwork;
use kernel::{Family, LinkIndex, Route, Rule};

/// Where the search for a table begins.
const FIRST_TABLE: u32 = 100;
/// `default`, `main` and `local` (linux/rtnetlink.h).
const KERNELS_TABLES: [u32; 3] = [253, TABLE_MAIN, 255];

/// An address of the pod, and the table of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub address: IpNetwork,
    pub gateway: Option<IpAddr>,
    pub table: u32,
}

/// Tables that nobody uses.
pub(crate) fn free_tables(used: &BTreeSet<u32>) -> impl Iterator<Item = u32> {
    (FIRST_TABLE..).filter(|table| !used.contains(table) && !KERNELS_TABLES.contains(table))
}

/// `from ADDRESS lookup TABLE`, without anything else.
pub(crate) fn rule(address: IpAddr, table: u32) -> Rule {
    Rule::from(address.into(), table)
}

/// Whether the rule is for a source alone, as ADD makes it; which is in the rule.
pub(crate) fn source_of(rule: &Rule) -> Option<IpAddr> {
    let plain = Rule {
        priority: rule.priority,
        ..Rule::from(rule.from, rule.table)
    };
    let is_single = rule.from.prefix() == Family::from(&rule.from).bits();
    (*rule == plain && is_single).then(|| rule.from.ip())
}

/// The routes of a source's table, in an order in which the kernel takes them: those of the interface
/// in the main table that have to do with the address or with none, and the default route, by the
/// configured gateway, by that of the main table, or by the address's.
pub(crate) fn table_of(
    source: &Source,
    link: LinkIndex,
    main: &[Route],
    gateways: &Gateways,
) -> Vec<Route> {
    let dst = &source.address;
    let copy = |route: &Route| Route {
        table: source.table,
        ..route.clone()
    };
    let mut routes = in_order(
        main.iter()
            .filter(|route| concerns(route, source))
            .map(copy),
    );
    let is_default =
        |route: &Route| route.dst.prefix() == 0 && route.dst.is_ipv4() == dst.is_ipv4();
    let configured = gateways.towards(dst);
    if configured.is_some() {
        routes.retain(|route| !is_default(route));
    }
    let gateway = configured.or(source.gateway);
    if let Some(gateway) = gateway
        && !routes.iter().any(is_default)
    {
        routes.push(default_route(gateway, source.table, link));
    }
    routes
}

/// Source or next hop is of the address's subnet, or there is neither.
fn concerns(route: &Route, source: &Source) -> bool {
    let (from, by) = (route.source, route.gateway);
    let is_near = |ip: IpAddr| source.address.contains(ip) || source.gateway == Some(ip);
    (from.is_none() && by.is_none()) || from.is_some_and(is_near) || by.is_some_and(is_near)
}

fn default_route(gateway: IpAddr, table: u32, link: LinkIndex) -> Route {
    let mut route = Route::to(Family::from(gateway).any());
    route.gateway = Some(gateway);
    route.link = Some(link);
    route.table = table;
    route
}

/// The way to an address's subnet in the main table, with the address as source.
pub(crate) fn hint(address: IpNetwork, link: LinkIndex) -> Route {
    let mut route = Route::to(network(address));
    route.link = Some(link);
    route.source = Some(address.ip());
    route.scope = if address.is_ipv4() { SCOPE_LINK } else { 0 };
    route
}

/// The routes that leave the main table: with hints those to neighbours stay, as far as IPv4 tells them from others,
/// and the hints that are there already.
pub(crate) fn leaving(main: &[Route], hints: &[Route]) -> Vec<Route> {
    let is_to_neighbours =
        |route: &Route| !hints.is_empty() && route.dst.is_ipv4() && route.scope == SCOPE_LINK;
    let is_hint = |route: &Route| {
        let mut hints = hints.iter();
        route.gateway.is_none()
            && hints.any(|hint| (hint.dst, hint.source) == (route.dst, route.source))
    };
    let leaves = |route: &&Route| !is_to_neighbours(route) && !is_hint(route);
    main.iter().filter(leaves).cloned().collect()
}

#[cfg(test)]
mod tests;
