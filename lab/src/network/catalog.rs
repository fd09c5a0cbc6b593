//! The networks that a lab has: the configuration lists that every node sees as `/etc/cni/net.d`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use cni::runtime::{ConfigError, NetworkConfig};
use ipnetwork::IpNetwork;
use kernel::overlap;
use serde_json::Value;

use super::choice::OVERLAY;
use super::driver::{self, Driver};
use super::plan::NetworkPlan;
use super::{LOOPBACK, NET_D_INSIDE};
use crate::state::{Lab, LabDir};

/// The ready-made network of a bridge on each node.
pub(super) const BRIDGE: &str = "bridge";
/// The ready-made network on the underlay.
pub(super) const MACVLAN: &str = "macvlan";
/// The networks that a lab has in any case, beside its own.
pub const READY_MADE: [&str; 2] = [BRIDGE, MACVLAN];
/// How the file of a network begins that `lab network` added.
const ADDED: &str = "50-";

/// Where the lists are, as the machine sees them.
pub(super) fn directory(dir: &LabDir) -> PathBuf {
    dir.path(NET_D_INSIDE)
}

/// The file of a network that `lab network` adds.
pub(super) fn file_of_added(dir: &LabDir, name: &str) -> PathBuf {
    directory(dir).join(format!("{ADDED}{name}.conflist"))
}

/// The ready-made networks, or why one cannot be. One of the lab's own name is that.
pub(super) fn ready_made(dir: &LabDir, lab: &Lab) -> Vec<(&'static str, Result<Value>)> {
    let subnets = driver::free_subnets(lab, &spoken_for(lab));
    let bridge = subnets.map(|subnets| driver::bridge_list(lab, BRIDGE, &subnets));
    let macvlan = driver::macvlan_of_the_underlay(dir, lab, MACVLAN);
    let all = [(BRIDGE, bridge), (MACVLAN, macvlan)];
    all.into_iter()
        .filter(|(name, _)| *name != lab.network.name)
        .collect()
}

/// What underlays and pods have.
fn taken_by_nodes(lab: &Lab) -> Vec<IpNetwork> {
    let underlays = lab.topology.underlays.iter();
    let underlays = underlays.flat_map(|underlay| underlay.subnets.iter().copied());
    let pods = lab.pod_networks.iter().map(|pods| pods.network);
    underlays.chain(pods).collect()
}

/// The same, and what the lab's cluster file says that its networks have: nothing of that is given to another one.
fn spoken_for(lab: &Lab) -> Vec<IpNetwork> {
    let mut taken = taken_by_nodes(lab);
    taken.extend(lab.networks.iter().flat_map(NetworkPlan::subnets));
    taken
}

/// All networks that pods can have, in the order of their files, but for those of [`unreadable`] lists.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn all(dir: &LabDir) -> Result<Vec<NetworkConfig>> {
    let (mut networks, _) = NetworkConfig::all(&directory(dir))?;
    networks.retain(|network| network.name != LOOPBACK);
    Ok(networks)
}

/// What is wrong with the lists that cannot be read.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn unreadable(dir: &LabDir) -> Result<Vec<ConfigError>> {
    let (_, errors) = NetworkConfig::all(&directory(dir))?;
    Ok(errors)
}

/// The network of this name in a directory of lists. Those of other networks need not be readable: whose a list is that
/// cannot be read, the name of its file tells.
///
/// # Errors
/// There is none, or its list cannot be read.
pub fn load(directory: &Path, name: &str) -> Result<NetworkConfig, ConfigError> {
    let (networks, errors) = NetworkConfig::all(directory)?;
    if let Some(own) = errors.into_iter().find(|error| concerns(error, name)) {
        return Err(own);
    }
    let dir = directory.to_owned();
    if networks.is_empty() {
        return Err(ConfigError::NoneFound { dir });
    }
    let mut networks = networks.into_iter();
    let found = networks.find(|network| network.name == name);
    found.ok_or_else(|| ConfigError::NotFound {
        name: name.to_owned(),
        dir,
    })
}

/// Whether a file that cannot be read is a network's: `50-NAME.conflist`, or beside a list in `NAME/`.
fn concerns(error: &ConfigError, name: &str) -> bool {
    let file = match error {
        ConfigError::Read { path, .. } => Some(path),
        ConfigError::Invalid { file, .. } => file.as_ref(),
        ConfigError::NotFound { .. } | ConfigError::NoneFound { .. } => None,
    };
    let Some(file) = file else { return false };
    let stem = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let unnumbered = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    let beside = file.parent().and_then(Path::file_name);
    stem == name || unnumbered.strip_prefix('-') == Some(name) || beside == Some(OsStr::new(name))
}

/// The network of this name.
///
/// # Errors
/// There is none: says which there are, and why a ready-made one is not. Its list cannot be read.
pub(super) fn find(dir: &LabDir, lab: &Lab, name: &str) -> Result<NetworkConfig> {
    match load(&directory(dir), name) {
        Err(ConfigError::NotFound { .. } | ConfigError::NoneFound { .. }) => {}
        Err(error) => return Err(error).context(remedy(dir, name)),
        Ok(network) => return Ok(network),
    }
    let ready_made = ready_made(dir, lab).into_iter();
    if let Some((_, Err(why))) = ready_made.into_iter().find(|(each, _)| *each == name) {
        return Err(why.context(format!("there is no network {name:?} in lab {}", lab.name)));
    }
    if name == OVERLAY {
        bail!(
            "there is no network {OVERLAY:?} in lab {}: its conflist, {}, is in the place of netd's network",
            lab.name,
            lab.network.name
        );
    }
    let names: Vec<String> = all(dir)?.into_iter().map(|network| network.name).collect();
    let but = match unreadable(dir)?.is_empty() {
        true => "",
        false => ", and what `lab network ls` cannot read",
    };
    Err(anyhow!(
        "there is no network {name:?} in lab {}: there are {}{but}; `lab network create {name}` makes one",
        lab.name,
        names.join(", ")
    ))
}

/// What is to be done about a list that cannot be read.
fn remedy(dir: &LabDir, name: &str) -> String {
    match file_of_added(dir, name).exists() {
        true => format!(
            "the list of network {name} cannot be read: mend it, or remove the network with `lab network rm {name}`"
        ),
        false => format!("the list of network {name} cannot be read: mend it"),
    }
}

/// Whether a network of this name is there, be its list readable or not.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn has(dir: &LabDir, name: &str) -> Result<bool> {
    let directory = directory(dir);
    match load(&directory, name) {
        Err(ConfigError::NotFound { .. } | ConfigError::NoneFound { .. }) => Ok(false),
        Err(ConfigError::Read { path, source }) if path == directory => {
            Err(ConfigError::Read { path, source }.into())
        }
        Ok(_) | Err(_) => Ok(true),
    }
}

/// By which driver the lab made a network, or else the type of its first plugin.
pub(super) fn driver(network: &NetworkConfig) -> String {
    let first = || {
        network
            .plugins
            .first()
            .map(|plugin| plugin.plugin.plugin_type.clone())
    };
    driver::driver_of(network)
        .or_else(first)
        .unwrap_or_default()
}

/// The subnets that its IPAM plugins give addresses of, where they are host-local's or static ones.
pub(super) fn subnets(lab: &Lab, network: &NetworkConfig) -> Vec<IpNetwork> {
    if network.name == lab.network.name && lab.network.list.is_none() {
        return lab.pod_networks.iter().map(|pods| pods.network).collect();
    }
    subnets_in(network)
}

/// The same, as far as its list tells.
pub fn subnets_in(network: &NetworkConfig) -> Vec<IpNetwork> {
    let plugins = network.plugins.iter().map(|plugin| plugin.to_value());
    plugins
        .flat_map(|plugin| subnets_of(&plugin["ipam"]))
        .collect()
}

fn subnets_of(ipam: &Value) -> Vec<IpNetwork> {
    let ranges = ipam["ranges"].as_array().into_iter().flatten();
    let ranges = ranges.filter_map(Value::as_array).flatten();
    let written = std::iter::once(ipam).chain(ranges);
    written
        .filter_map(|range| range["subnet"].as_str()?.parse().ok())
        .collect()
}

/// Whether a network is one that `lab network` added, and can remove.
///
/// # Errors
/// Its file cannot be looked at.
pub(super) fn is_added(dir: &LabDir, name: &str) -> Result<bool> {
    let file = file_of_added(dir, name);
    file.try_exists()
        .with_context(|| format!("look at {}", file.display()))
}

/// The file of a network that `lab network` added: the others are the lab's.
///
/// # Errors
/// There is no such network, or it is one of the others.
pub(super) fn require_added(dir: &LabDir, lab: &Lab, name: &str) -> Result<PathBuf> {
    if is_added(dir, name)? {
        return Ok(file_of_added(dir, name));
    }
    find(dir, lab, name)?;
    bail!("network {name} is the lab's own, or was not added with `lab network`: it stays");
}

/// Refuses subnets that overlap with those of the nodes, or of another network where both are on the underlay or
/// on bridges.
///
/// # Errors
/// One does: says with what.
pub(super) fn require_free(dir: &LabDir, lab: &Lab, subnets: &[IpNetwork]) -> Result<()> {
    let nodes = taken_by_nodes(lab).into_iter();
    let mut taken: Vec<(IpNetwork, String)> = nodes
        .map(|network| (network, "the lab's nodes or pods".to_owned()))
        .collect();
    for network in all(dir)? {
        let what = format!("network {}", network.name);
        let of_it = self::subnets(lab, &network).into_iter();
        taken.extend(of_it.map(|subnet| (subnet, what.clone())));
    }
    for subnet in subnets {
        if let Some((other, what)) = taken.iter().find(|(other, _)| overlap(*subnet, *other)) {
            bail!("subnet {subnet} overlaps with {other} of {what}: give another with --subnet");
        }
    }
    Ok(())
}

/// The list of a new network.
///
/// # Errors
/// A subnet is not free, or none is; a driver needs one and has none, or the kernel lacks its links.
pub(super) fn new_list(
    dir: &LabDir,
    lab: &Lab,
    name: &str,
    driver: Driver,
    subnets: &[IpNetwork],
) -> Result<Value> {
    require_free(dir, lab, subnets)?;
    driver.require_support()?;
    match driver {
        Driver::Bridge if subnets.is_empty() => {
            let mut taken = spoken_for(lab);
            for network in all(dir)? {
                taken.extend(self::subnets(lab, &network));
            }
            let subnets = driver::free_subnets(lab, &taken)?;
            Ok(driver::bridge_list(lab, name, &subnets))
        }
        Driver::Bridge => Ok(driver::bridge_list(lab, name, subnets)),
        Driver::Macvlan | Driver::Ipvlan if subnets.is_empty() => bail!(
            "a network of driver {} needs a subnet of its own: give one with --subnet; addresses of the underlay's \
             are given by the network {MACVLAN}",
            driver.as_str()
        ),
        Driver::Macvlan | Driver::Ipvlan => {
            Ok(driver::underlay_list(dir, lab, name, driver, subnets))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    #[test]
    fn a_list_that_cannot_be_read_troubles_its_own_network_alone() {
        let directory = tempfile::tempdir().unwrap();
        let list = |name: &str| format!(r#"{{"name": "{name}", "plugins": [{{"type": "ptp"}}]}}"#);
        for (file, text) in [
            ("10-cbr0.conflist", list("cbr0")),
            ("50-back.conflist", "{".to_owned()),
            ("50-beside.conflist", list("beside")),
            ("60-wire.conflist", list("wire")),
            ("70-back.conflist", list("back")),
            ("mine.conflist", "{}".to_owned()),
        ] {
            fs::write(directory.path().join(file), text).unwrap();
        }
        fs::create_dir(directory.path().join("beside")).unwrap();
        fs::write(directory.path().join("beside/1.conf"), "[]").unwrap();
        let load = |name: &str| match load(directory.path(), name) {
            Ok(network) => format!("{} is there", network.name),
            Err(error) => error.to_string(),
        };
        for (name, words) in [
            ("cbr0", "cbr0 is there"),
            ("wire", "wire is there"),
            ("back", "50-back.conflist: error parsing"),
            ("beside", "beside/1.conf: error parsing"),
            ("mine", "mine.conflist: error parsing"),
            ("ack", "no net configuration with name \"ack\""),
            ("50", "no net configuration with name \"50\""),
        ] {
            assert!(load(name).contains(words), "{name}: {}", load(name));
        }
    }
}
