//! What the plugins share in the host's network, and leave there when the last pod goes.

use std::collections::BTreeSet;

use kernel::{
    Family, Link, LinkKind, Netlink, if_there,
    nft::{Nft, Table, TableFamily, Transaction},
};
use leftovers::Leftover;
use serde_json::Value;

use super::Part;
use crate::node::{Node, NodeError};

/// What the names of podwire's nftables tables start with.
const TABLE_PREFIX: &str = "podwire_";
/// The bridge of a configuration that names none.
const USUAL_BRIDGE: &str = "cni0";
const FAMILIES: [TableFamily; 4] = [
    TableFamily::Inet,
    TableFamily::Ip,
    TableFamily::Ip6,
    TableFamily::Bridge,
];

/// The plugins' tables. A kernel without nftables has none.
pub(super) fn tables() -> Result<Vec<Part<'static>>, NodeError> {
    let mut parts = Vec::new();
    for family in FAMILIES {
        let names = match Nft::open().and_then(|mut nft| nft.tables(family)) {
            Err(error) if Nft::is_unsupported(&error) => continue,
            names => names.map_err(NodeError::new("list nftables tables"))?,
        };
        let ours = names
            .into_iter()
            .filter(|name| name.starts_with(TABLE_PREFIX));
        parts.extend(ours.map(|name| table(family, name)));
    }
    Ok(parts)
}

fn table(family: TableFamily, name: String) -> Part<'static> {
    let what = Table {
        family,
        name: &name,
    };
    Part::new(format!("nftables table {what}"), move || {
        let table = Table {
            family,
            name: &name,
        };
        if_there(Nft::open()?.commit(Transaction::new().delete_table(table)))?;
        Ok(())
    })
}

/// What lets pods' packets through, in iptables-nft's tables, which are not podwire's.
pub(super) fn passages() -> Result<Vec<Part<'static>>, NodeError> {
    let mut parts = Vec::new();
    for family in Family::ALL {
        let table = match family {
            Family::V4 => "ip filter",
            Family::V6 => "ip6 filter",
        };
        let what = format!("look at nftables table {table}");
        if firewall::has_passage(family).map_err(NodeError::new(what))? {
            let what = format!(
                "nftables chain {table} CNI-PODWIRE, set podwire-pods and what was made for them"
            );
            let remove = move || Ok(firewall::remove_passage(family)?);
            parts.push(Part::new(what, remove));
        }
    }
    Ok(parts)
}

/// iptables' tables in nftables that podwire made and nobody uses but podwire; `netd`: and what netd left,
/// which goes as well.
pub(super) fn made_tables(netd: bool) -> Result<Vec<Part<'static>>, NodeError> {
    let goes =
        |name: &str| firewall::is_of_passage(name) || netd && leftovers::is_flannels_chain(name);
    let left = leftovers::made_tables(&goes);
    let left = left.map_err(NodeError::new("look at iptables' tables in nftables"))?;
    let part = |left: Leftover| Part::new(left.what.clone(), move || Ok(left.remove()?));
    Ok(left.into_iter().map(part).collect())
}

/// The bridges of the networks that have no ports but those of their VLANs' gateways, and these, which nobody else
/// removes.
pub(super) fn bridges(node: &Node) -> Result<Vec<Part<'static>>, NodeError> {
    let links = Netlink::open().and_then(|netlink| netlink.links());
    let links = links.map_err(NodeError::new("read the host's links"))?;
    let names = named(node);
    let of_networks = links.iter().filter(|link| {
        matches!(link.kind, LinkKind::Bridge { .. }) && names.contains(link.name.as_str())
    });
    let mut parts = Vec::new();
    for bridge in of_networks {
        let ports = links
            .iter()
            .filter(|port| port.master == Some(bridge.index));
        let gateways = ports.map(|port| vlan_gateway(&links, bridge, port));
        let Some(gateways) = gateways.collect::<Option<Vec<_>>>() else {
            continue;
        };
        parts.extend(gateways.into_iter().map(|link| part("VLAN gateway", link)));
        parts.push(part("bridge", bridge));
    }
    Ok(parts)
}

/// The gateway whose port of the bridge this is: `BRIDGE.VLAN`, the other end of a pair.
fn vlan_gateway<'l>(links: &'l [Link], bridge: &Link, port: &Link) -> Option<&'l Link> {
    let peer = port
        .peer
        .filter(|_| port.kind == LinkKind::Veth && !port.peer_elsewhere)?;
    let gateway = links.iter().find(|link| link.index == peer)?;
    let rest = gateway.name.as_str().strip_prefix(bridge.name.as_str())?;
    let vlan: Option<u16> = rest.strip_prefix('.')?.parse().ok();
    vlan.map(|_| gateway)
}

fn part(what: &str, link: &Link) -> Part<'static> {
    let index = link.index;
    Part::new(format!("{what} {}", link.name), move || {
        if_there(Netlink::open()?.delete_link(index))?;
        Ok(())
    })
}

/// Names of bridges in the networks' configurations.
fn named(node: &Node) -> BTreeSet<String> {
    let plugins = node.networks.iter().flat_map(|network| &network.plugins);
    plugins
        .filter_map(|plugin| bridge(&plugin.to_value()))
        .collect()
}

/// The bridge of a plugin that has one: by itself, or by the plugin that it delegates to.
fn bridge(plugin: &Value) -> Option<String> {
    let holder = match plugin["type"].as_str()? {
        "bridge" => plugin,
        "flannel" | "host-gw" | "vxlan" => match plugin["delegate"]["type"].as_str() {
            None | Some("" | "bridge") => &plugin["delegate"],
            Some(_) => return None,
        },
        _ => return None,
    };
    let name = holder["bridge"].as_str().filter(|name| !name.is_empty());
    Some(name.unwrap_or(USUAL_BRIDGE).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bridges_of_plugins() {
        for (plugin, name) in [
            (json!({"type": "bridge"}), Some("cni0")),
            (json!({"type": "bridge", "bridge": ""}), Some("cni0")),
            (json!({"type": "bridge", "bridge": "br1"}), Some("br1")),
            (json!({"type": "vxlan"}), Some("cni0")),
            (
                json!({"type": "flannel", "delegate": {"bridge": "br1"}}),
                Some("br1"),
            ),
            (
                json!({"type": "flannel", "delegate": {"type": "ptp"}}),
                None,
            ),
            (json!({"type": "ptp"}), None),
            (json!({}), None),
        ] {
            assert_eq!(bridge(&plugin).as_deref(), name, "{plugin}");
        }
    }
}
