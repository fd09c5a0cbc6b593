//! Results that runtimes cached.

use std::fs;

use attach::owner::Owner;
use cni::runtime::{CachedAttachment, NetworkConfig, cached_attachments};

use super::{Node, NodeError, Places};

/// Puts them in.
pub(super) fn collect(node: &mut Node, places: &Places) -> Result<(), NodeError> {
    for dir in &places.cache_dirs {
        let results = format!("read results in {}", dir.display());
        let cached = cached_attachments(dir).map_err(NodeError::new(results))?;
        for attachment in cached {
            put_in(node, attachment);
        }
    }
    Ok(())
}

fn put_in(node: &mut Node, cached: CachedAttachment) {
    let added = cached.added().unwrap_or_default();
    let network = NetworkConfig::parse(&cached.config).ok();
    let known = |name: &str| node.networks.iter().any(|network| network.name == name);
    if let Some(network) = network.filter(|network| !known(&network.name)) {
        node.networks.push(network);
    }
    let attachment = node.at(Owner {
        network: cached.network.clone(),
        container_id: cached.container_id.clone(),
        ifname: cached.ifname.clone(),
    });
    let netns = Some(cached.netns.clone()).filter(|netns| !netns.is_empty());
    attachment.netns.extend(netns);
    let addresses = added.ips.iter().map(|ip| ip.address.ip());
    attachment.addresses.extend(addresses);
    // What is in the host and no bridge's: those stay when the pod goes.
    let host_links = added.interfaces.iter().filter(|interface| {
        interface.sandbox.as_deref().unwrap_or_default().is_empty()
            && interface.name.starts_with("veth")
    });
    attachment
        .host_links
        .extend(host_links.map(|interface| interface.name.clone()));
    let written = fs::metadata(&cached.path).and_then(|file| file.modified());
    attachment.seen_since(written.ok());
    attachment.cached.push(cached);
}
