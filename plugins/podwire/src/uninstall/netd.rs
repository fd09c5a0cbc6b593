//! What netd leaves when it ends, so that the nodes stay joined until it starts again.

use std::{os::unix::net::UnixStream, path::Path};

use kernel::{Family, LinkKind, Netlink, Route, iptables, route::RouteFilter};

use super::{Part, directory, host};
use crate::node::NodeError;

/// Where netd answers.
const SOCKET: &str = "/run/podwire/netd.sock";
pub(super) const SOCKET_NAME: &str = "netd.sock";
/// Chains, each with its table.
const CHAINS: [(&str, &str); 2] = [("filter", "FLANNEL-FWD"), ("nat", "FLANNEL-POSTRTG")];
/// Tables of nftables, where netd keeps its rules with `EnableNFTables`.
const TABLES: [&str; 2] = ["flannel-ipv4", "flannel-ipv6"];

/// Whether netd runs on this node.
pub(super) fn runs() -> bool {
    UnixStream::connect(SOCKET).is_ok()
}

/// What is there.
///
/// # Errors
/// netd runs: it would make all of it again.
pub(super) fn parts() -> Result<Vec<Part<'static>>, NodeError> {
    if runs() {
        let stop = "stop it first: it would make again what is removed";
        return Err(NodeError::new("remove what netd left while netd runs")(
            stop,
        ));
    }
    let mut parts = routes()?;
    parts.extend(devices()?);
    parts.extend(chains()?);
    parts.extend(host::tables_that(|name| TABLES.contains(&name))?);
    parts.extend(directory(Path::new("/run/flannel")));
    Ok(parts)
}

/// Routes by netd's protocol number.
fn routes() -> Result<Vec<Part<'static>>, NodeError> {
    let netlink = Netlink::open().map_err(NodeError::new("read routes"))?;
    let routes = netlink.routes(&RouteFilter::default());
    let routes = routes.map_err(NodeError::new("read routes"))?;
    let ours = routes
        .into_iter()
        .filter(|route| route.protocol == Route::PROTOCOL_PODWIRE);
    let part = |route: Route| {
        Part::new(
            format!("route {}", route.dst),
            move || match Netlink::open()?.delete_route(&route) {
                Err(error) if error.is_gone() => Ok(()),
                outcome => Ok(outcome?),
            },
        )
    };
    Ok(ours.map(part).collect())
}

fn devices() -> Result<Vec<Part<'static>>, NodeError> {
    let links = Netlink::open().and_then(|netlink| netlink.links());
    let links = links.map_err(NodeError::new("read the host's links"))?;
    let ours = links.into_iter().filter(|link| {
        matches!(link.kind, LinkKind::Vxlan(_)) && cluster::is_vxlan_device(link.name.as_str())
    });
    let part = |link: kernel::Link| {
        Part::new(
            format!("link {}", link.name),
            move || match Netlink::open()?.delete_link(link.index) {
                Err(error) if error.is_gone() => Ok(()),
                outcome => Ok(outcome?),
            },
        )
    };
    Ok(ours.map(part).collect())
}

/// Without the program there are no chains: netd makes them with it.
fn chains() -> Result<Vec<Part<'static>>, NodeError> {
    let mut parts = Vec::new();
    for (family, program) in [(Family::V4, "iptables"), (Family::V6, "ip6tables")] {
        let Ok(iptables) = iptables::Iptables::new(family) else {
            continue;
        };
        for (table, chain) in CHAINS {
            let what = format!("list the {table} table of {program}");
            let lines = iptables.list(table).map_err(NodeError::new(what))?;
            if lines.iter().any(|line| line.declares(chain)) {
                let what = format!("chain {chain} in the {table} table of {program}");
                let remove = move || Ok(iptables::remove_chain(family, table, chain).map(drop)?);
                parts.push(Part::new(what, remove));
            }
        }
    }
    Ok(parts)
}
