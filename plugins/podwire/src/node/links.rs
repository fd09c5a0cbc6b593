//! Links of the host whose alias says whose they are.

use attach::owner::Owner;
use kernel::Netlink;

use super::{Node, NodeError};

/// Puts them in, and says which of the links that results name are not there.
pub(super) fn collect(node: &mut Node) -> Result<(), NodeError> {
    let links = Netlink::open().and_then(|netlink| netlink.links());
    let links = links.map_err(NodeError::new("read the host's links"))?;
    for link in &links {
        let alias = link.alias.as_deref();
        let Some(owner) = alias.and_then(|alias| owner(node, alias)) else {
            continue;
        };
        let attachment = node.at(owner);
        attachment.links.insert(link.name.to_string());
        // A pair is there as long as both of its ends' namespaces are.
        attachment.living |= link.peer_elsewhere;
    }
    for attachment in node.attachments.values_mut() {
        let there = |name: &&String| links.iter().any(|link| link.name.as_str() == name.as_str());
        let found: Vec<String> = attachment
            .host_links
            .iter()
            .filter(there)
            .cloned()
            .collect();
        attachment.host_links.retain(|name| !found.contains(name));
        attachment.links.extend(found);
    }
    Ok(())
}

/// Whose alias it is: one that is known already, or else as it is written.
fn owner(node: &Node, alias: &str) -> Option<Owner> {
    let is_alias_of = |owner: &&Owner| owner.identity().alias() == alias;
    if let Some(known) = node.attachments.keys().find(is_alias_of) {
        return Some(known.clone());
    }
    let mut parts = alias.strip_prefix("podwire:")?.splitn(3, '/');
    Some(Owner {
        network: parts.next()?.to_owned(),
        container_id: parts.next()?.to_owned(),
        ifname: parts.next()?.to_owned(),
    })
}
