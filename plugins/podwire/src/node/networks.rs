//! Configurations of networks.

use std::path::PathBuf;

use cni::{error::one_line, runtime::NetworkConfig};
use serde_json::Value;

use super::{Node, NodeError, Places};

/// Puts in those of today; they go before those that were cached.
pub(super) fn collect(node: &mut Node, places: &Places) -> Result<(), NodeError> {
    let dir = places.conf_dir.display();
    let found = NetworkConfig::all(&places.conf_dir);
    let (networks, errors) = found.map_err(NodeError::new(format!("read networks in {dir}")))?;
    node.unreadable
        .extend(errors.iter().map(|error| one_line(error)));
    node.networks
        .retain(|cached| networks.iter().all(|network| network.name != cached.name));
    node.networks.extend(networks);
    node.networks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// Where the plugins of these networks keep reservations, if not at the default place.
pub(super) fn data_dirs(networks: &[NetworkConfig]) -> Vec<PathBuf> {
    let plugins = networks.iter().flat_map(|network| &network.plugins);
    let data_dir = |plugin: Value| {
        let ipam = plugin
            .get("ipam")
            .or_else(|| plugin.get("delegate")?.get("ipam"));
        let dir = ipam?.get("dataDir")?.as_str()?;
        (!dir.is_empty()).then(|| PathBuf::from(dir))
    };
    plugins
        .filter_map(|plugin| data_dir(plugin.to_value()))
        .collect()
}
