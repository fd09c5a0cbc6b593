//! Routes that somebody deletes behind netd's back.

use anyhow::{Result, bail};
use ipnetwork::IpNetwork;
use kernel::route::RouteFilter;
use kernel::{NetNs, Netlink, Route};

use crate::node::Node;

/// Deletes the routes that the node's netd made, or that to `prefix` alone. Returns their destinations.
///
/// # Errors
/// There is none, or none to `prefix`.
pub(super) fn delete(node: &Node, prefix: Option<IpNetwork>) -> Result<Vec<IpNetwork>> {
    let namespace = NetNs::open(format!("/proc/{}/ns/net", node.holder.pid))?;
    let netlink = Netlink::open_in(&namespace)?;
    let filter = RouteFilter {
        protocol: Some(Route::PROTOCOL_PODWIRE),
        ..RouteFilter::default()
    };
    let routes = netlink.routes(&filter)?;
    let (chosen, others): (Vec<_>, Vec<_>) = routes
        .into_iter()
        .partition(|route| prefix.is_none_or(|prefix| route.dst == prefix));
    if chosen.is_empty() {
        let others: Vec<String> = others.iter().map(|route| route.dst.to_string()).collect();
        match prefix {
            Some(prefix) if !others.is_empty() => bail!(
                "netd on node {} has no route to {prefix}: it has {}",
                node.name,
                others.join(", ")
            ),
            _ => bail!("netd on node {} has made no route", node.name),
        }
    }
    for route in &chosen {
        netlink.delete_route(route)?;
    }
    Ok(chosen.iter().map(|route| route.dst).collect())
}
