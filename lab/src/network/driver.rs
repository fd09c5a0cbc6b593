//! Networks that the lab makes itself: configuration lists by the name of a driver, as with Docker.
//!
//! What a list was made by stands in it, below the key `podwire`, which plugins and runtimes pass over.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use cni::runtime::NetworkConfig;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use kernel::{IfName, Ipvlan, Macvlan, Netlink, NewKind, overlap};
use sandbox::{Namespace, run_in_new};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::state::{Lab, LabDir};
use crate::topology::{Free, INTERFACE};

/// The key of what the lab says about its own lists.
const MARK: &str = "podwire";
/// What the bridge of a network is called: this and the network's name.
const BRIDGE_PREFIX: &str = "br-";
/// So much of an interface's name is left for that of a network (IFNAMSIZ of linux/if.h, less its end).
const LONGEST_NAME: usize = 15 - BRIDGE_PREFIX.len();

/// How pods of a network that the lab makes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// By a bridge on each node: pods of one node, and by the node's address, masqueraded, what the node reaches.
    Bridge,
    /// On the nodes' underlay, with MAC addresses of their own: pods of all nodes of it.
    Macvlan,
    /// On the nodes' underlay, with the node's MAC address: pods of all nodes of it.
    Ipvlan,
}

impl Driver {
    /// The type of its plugin.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }

    /// # Errors
    /// The kernel lacks the links that pods get: says which, and what has them.
    pub(super) fn require_support(self) -> Result<()> {
        let (kind, option) = match self {
            // The lab has some of its own.
            Self::Bridge => return Ok(()),
            Self::Macvlan => (
                NewKind::Macvlan(Macvlan::default()),
                "CONFIG_MACVLAN, module macvlan",
            ),
            Self::Ipvlan => (
                NewKind::Ipvlan(Ipvlan::default()),
                "CONFIG_IPVLAN, module ipvlan",
            ),
        };
        // Asked where no link is anybody's.
        let netlink = run_in_new(&[Namespace::Network], Netlink::open)??;
        match netlink.has_link_kind(&kind)? {
            true => Ok(()),
            false => bail!(
                "this kernel has no links of kind {} ({option})",
                self.as_str()
            ),
        }
    }

    /// # Errors
    /// The name of a network cannot be that of its links: what could.
    pub fn check_name(self, name: &str) -> Result<()> {
        if self == Self::Bridge && bridge(name).parse::<IfName>().is_err() {
            bail!("{name:?} becomes the name of a bridge: give {LONGEST_NAME} letters at most");
        }
        Ok(())
    }
}

/// The version of the specification that lists speak: delegates of others may not speak the latest.
pub(super) fn version(lab: &Lab) -> &'static str {
    match lab.network.plugin_dirs.is_empty() {
        true => "1.1.0",
        false => "1.0.0",
    }
}

/// A configuration list of the lab's.
pub(super) fn marked(lab: &Lab, name: &str, driver: &str, plugin: &Value) -> Value {
    json!({
        "cniVersion": version(lab),
        "name": name,
        MARK: { "driver": driver },
        "plugins": [plugin],
    })
}

/// By which driver the lab made a list; `None` when it did not.
pub(super) fn driver_of(list: &NetworkConfig) -> Option<String> {
    let document: Value = serde_json::from_slice(&list.bytes).ok()?;
    document[MARK]["driver"].as_str().map(str::to_owned)
}

/// The name of a network's bridge.
pub(super) fn bridge(network: &str) -> String {
    format!("{BRIDGE_PREFIX}{network}")
}

/// The network `bridge` or one like it: the same subnets on each node, whose bridge has the first address.
pub(super) fn bridge_list(lab: &Lab, name: &str, subnets: &[IpNetwork]) -> Value {
    let ranges = subnets.iter().map(|subnet| json!([{ "subnet": subnet }]));
    let plugin = json!({
        "type": "bridge",
        "bridge": bridge(name),
        "isDefaultGateway": true,
        "ipMasq": true,
        "hairpinMode": true,
        "capabilities": { "ips": true, "mac": true },
        "ipam": { "type": "host-local", "ranges": ranges.collect::<Vec<_>>() },
    });
    marked(lab, name, Driver::Bridge.as_str(), &plugin)
}

/// A network on the underlay, of subnets of its own: nothing routes between them and others.
pub(super) fn underlay_list(
    dir: &LabDir,
    lab: &Lab,
    name: &str,
    driver: Driver,
    subnets: &[IpNetwork],
) -> Value {
    let ranges = subnets.iter().map(|subnet| json!([{ "subnet": subnet }]));
    on_underlay(dir, lab, name, driver, ranges.collect(), &[])
}

/// The network `macvlan`: pods are on the underlay with addresses of its subnets that nobody has there.
///
/// # Errors
/// There are several underlays; no address is left.
pub(super) fn macvlan_of_the_underlay(dir: &LabDir, lab: &Lab, name: &str) -> Result<Value> {
    let [underlay] = &lab.topology.underlays[..] else {
        bail!(
            "the lab has several underlays, and a network has one list for all nodes: `lab network create NAME \
             --driver macvlan --subnet SUBNET` makes one with a subnet of its own"
        );
    };
    let free = lab.topology.free(underlay);
    if free.is_empty() {
        bail!("no address of underlay {} is left for pods", underlay.name);
    }
    let range = |free: &Free| {
        json!([{
            "subnet": free.subnet,
            "rangeStart": free.first,
            "rangeEnd": free.last,
            "gateway": free.gateway,
        }])
    };
    let routes: Vec<Value> = free
        .iter()
        .map(|free| json!({ "dst": everything(free.subnet) }))
        .collect();
    let ranges = free.iter().map(range).collect();
    Ok(on_underlay(
        dir,
        lab,
        name,
        Driver::Macvlan,
        ranges,
        &routes,
    ))
}

fn on_underlay(
    dir: &LabDir,
    lab: &Lab,
    name: &str,
    driver: Driver,
    ranges: Vec<Value>,
    routes: &[Value],
) -> Value {
    let plugin = json!({
        "type": driver.as_str(),
        "master": INTERFACE,
        // A pod of ipvlan has the node's MAC address.
        "capabilities": { "ips": true, "mac": driver == Driver::Macvlan },
        "ipam": {
            "type": "host-local",
            // All nodes see it: no two of them give away one address.
            "dataDir": dir.shared_addresses(),
            "ranges": ranges,
            "routes": routes,
        },
    });
    marked(lab, name, driver.as_str(), &plugin)
}

fn everything(like: IpNetwork) -> &'static str {
    match like {
        IpNetwork::V4(_) => "0.0.0.0/0",
        IpNetwork::V6(_) => "::/0",
    }
}

/// A list of the lab's without what makes it the pod's default route; others are left as they are.
///
/// # Errors
/// It cannot be read again.
pub(super) fn without_default_route(list: NetworkConfig) -> Result<NetworkConfig> {
    if driver_of(&list).is_none() {
        return Ok(list);
    }
    let mut document: Value = serde_json::from_slice(&list.bytes).context("read the list")?;
    for plugin in document["plugins"].as_array_mut().into_iter().flatten() {
        let mut parts = vec![&mut *plugin];
        while let Some(part) = parts.pop() {
            if part["isDefaultGateway"] == true {
                part["isDefaultGateway"] = false.into();
                part["isGateway"] = true.into();
            }
            if let Some(routes) = part
                .pointer_mut("/ipam/routes")
                .and_then(Value::as_array_mut)
            {
                routes.retain(|route| !is_default(&route["dst"]));
            }
            parts.extend(part.get_mut("delegate"));
        }
    }
    Ok(NetworkConfig::parse(document.to_string().as_bytes())?)
}

fn is_default(destination: &Value) -> bool {
    let parsed = destination.as_str().map(str::parse::<IpNetwork>);
    parsed.is_some_and(|parsed| parsed.is_ok_and(|network| network.prefix() == 0))
}

/// The first subnets that overlap with none of `taken`, one for each family of the lab's pods: of IPv4 as Docker
/// chooses them.
///
/// # Errors
/// None is left.
pub(super) fn free_subnets(lab: &Lab, taken: &[IpNetwork]) -> Result<Vec<IpNetwork>> {
    let v4 = |number: u8| Ipv4Network::new([172, number, 0, 0].into(), 16).map(IpNetwork::V4);
    let v6 = |number: u8| {
        let address = format!("fd00:172:{number}::").parse();
        address
            .ok()
            .and_then(|address| Ipv6Network::new(address, 64).ok())
    };
    let families = lab.pod_networks.iter().map(|pods| pods.network.is_ipv6());
    let subnet = |is_v6: bool| {
        let all = (17..=31).filter_map(|number| match is_v6 {
            false => v4(number).ok(),
            true => v6(number).map(IpNetwork::V6),
        });
        let mut free = all.filter(|subnet| !taken.iter().any(|other| overlap(*subnet, *other)));
        free.next().context(
            "no subnet from 172.17.0.0/16 to 172.31.0.0/16 is free: say which with --subnet",
        )
    };
    families.map(subnet).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn parsed(list: &Value) -> NetworkConfig {
        NetworkConfig::parse(list.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn later_networks_of_the_lab_bring_no_default_route() {
        let lab = Lab::of_a_test();
        let dir = LabDir::of(&lab.name);
        let bridge = bridge_list(&lab, "a", &["172.17.0.0/16".parse().unwrap()]);
        let plugin = |list: NetworkConfig| list.plugins[0].to_value();
        let first = plugin(parsed(&bridge));
        assert_eq!(first["isDefaultGateway"], true);
        let further = plugin(without_default_route(parsed(&bridge)).unwrap());
        assert_eq!(further["isDefaultGateway"], false);
        assert_eq!(further["isGateway"], true);
        let macvlan = macvlan_of_the_underlay(&dir, &lab, "macvlan").unwrap();
        let routes = |list: NetworkConfig| plugin(list)["ipam"]["routes"].clone();
        assert_eq!(routes(parsed(&macvlan)), json!([{ "dst": "0.0.0.0/0" }]));
        let further = without_default_route(parsed(&macvlan)).unwrap();
        assert_eq!(routes(further), json!([]));
        // Whoever brings a list means what is in it.
        let mut brought = bridge;
        brought.as_object_mut().unwrap().remove(MARK);
        let brought = parsed(&brought);
        assert_eq!(without_default_route(brought.clone()).unwrap(), brought);
    }

    #[test]
    fn subnets_are_chosen_beside_those_there_are() {
        let mut lab = Lab::of_a_test();
        let taken = ["172.16.0.0/15", "172.18.5.0/24", "fd00:172::/32"];
        let taken = taken.map(|subnet| subnet.parse().unwrap());
        let text = |subnets: Vec<IpNetwork>| {
            let texts: Vec<String> = subnets.iter().map(ToString::to_string).collect();
            texts.join(" ")
        };
        assert_eq!(text(free_subnets(&lab, &taken).unwrap()), "172.19.0.0/16");
        assert!(free_subnets(&lab, &["172.0.0.0/8".parse().unwrap()]).is_err());
        lab.pod_networks[0].network = "fd00:244::/48".parse().unwrap();
        assert_eq!(text(free_subnets(&lab, &[]).unwrap()), "fd00:172:17::/64");
    }
}
