//! Routes that later plugins of the chain moved from the main table: `sbr` to a table of the
//! address, `vrf` to that of the device.

use std::collections::BTreeSet;

use cni::AddResult;
use kernel::{Link, LinkKind, Netlink, Route};

use super::own_addresses;
use crate::route::TABLE_MAIN;

/// The tables that serve the interface besides the main one: those that rules lead packets from its
/// recorded addresses to, and that of the VRF that it is in.
///
/// # Errors
/// The kernel's answer cannot be had.
pub(super) fn tables(
    container: &Netlink,
    link: &Link,
    added: &AddResult,
) -> Result<BTreeSet<u32>, kernel::Error> {
    let own = |source| own_addresses(link.name.as_str(), added).any(|ip| ip.address.ip() == source);
    let rules = container.rules()?.into_iter();
    let sourced = rules.filter(|rule| rule.from.prefix() > 0 && own(rule.from.ip()));
    let mut tables: BTreeSet<u32> = sourced.map(|rule| rule.table).collect();
    if let Some(master) = link.master
        && let Some(master) = container.link_by_index(master)?
        && let LinkKind::Vrf { table } = master.kind
    {
        tables.insert(table);
    }
    Ok(tables)
}

/// What is in those tables counts as if it were in the main one as well.
pub(super) fn count_as_main(routes: &mut Vec<Route>, tables: &BTreeSet<u32>) {
    let moved = routes.iter().filter(|route| tables.contains(&route.table));
    let as_main = |route: &Route| Route {
        table: TABLE_MAIN,
        ..route.clone()
    };
    let moved: Vec<Route> = moved.map(as_main).collect();
    routes.extend(moved);
}
