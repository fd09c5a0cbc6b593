//! Subnets that are in each other's way: of two networks, or of a network and the node.
use ipnetwork::IpNetwork;
use jsonc_parser::ast::{Object, Value};
use kernel::overlap;

use super::{
    Source,
    document::{find, string},
    finding::Findings,
    list::Network,
    node::Node,
};

/// A subnet that a network gives addresses of.
#[derive(Debug)]
pub(super) struct Subnet {
    pub(super) network: IpNetwork,
    /// Where it stands.
    place: usize,
    /// The device on the node that bears it, so that it is in nobody's way there; none where the
    /// node is meant to be in the subnet as well.
    device: Option<String>,
}

/// The subnets of a plugin's IPAM configuration.
pub(super) fn of(plugin: &str, object: &Object<'_>) -> Vec<Subnet> {
    let device = match plugin {
        "bridge" => Some(string(object, "bridge").map_or("cni0", |(_, name)| name)),
        "ptp" => Some(""),
        _ => None,
    };
    let Some(ipam) = find(object, "ipam") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    networks_in(&ipam.value, &mut found);
    found
        .into_iter()
        .map(|(place, network)| Subnet {
            network,
            place,
            device: device.map(str::to_owned),
        })
        .collect()
}

/// host-local's `subnet`, and static's `address`.
fn networks_in(value: &Value<'_>, found: &mut Vec<(usize, IpNetwork)>) {
    match value {
        Value::Array(array) => array
            .elements
            .iter()
            .for_each(|one| networks_in(one, found)),
        Value::Object(object) => {
            for key in ["subnet", "address"] {
                let text = string(object, key);
                let network = text.and_then(|(place, text)| Some((place, parse(text)?)));
                found.extend(network);
            }
            let lists = ["ranges", "addresses"]
                .iter()
                .filter_map(|key| find(object, key));
            lists.for_each(|list| networks_in(&list.value, found));
        }
        _ => {}
    }
}

fn parse(text: &str) -> Option<IpNetwork> {
    cni::json::parse_cidr(text).ok()
}

/// Judges the networks of all sources against each other and against the node.
pub(super) fn judge(
    networks: &[(&Source, Network)],
    node: Option<&Node>,
    all: &mut [Findings<'_>],
) {
    for (index, (source, network)) in networks.iter().enumerate() {
        let Some(findings) = all.iter_mut().find(|one| one.file() == source.name) else {
            continue;
        };
        for (other_source, other) in &networks[..index] {
            against(network, &other_source.name, other, findings);
        }
        let Some(node) = node else { continue };
        for (path, other) in node.others(networks) {
            against(network, &path.display().to_string(), other, findings);
        }
        against_node(network, node, findings);
    }
}

fn against(network: &Network, file: &str, other: &Network, findings: &mut Findings<'_>) {
    if network.name == other.name {
        let text = format!(
            "a network {:?} is in {file} too; a runtime takes the first of them by file name",
            other.name
        );
        findings.warning(network.place, text);
        return;
    }
    for subnet in &network.subnets {
        let overlapping = other
            .subnets
            .iter()
            .find(|one| overlap(one.network, subnet.network));
        if let Some(overlapping) = overlapping {
            let text = format!(
                "{} overlaps {} of the network {:?} in {file}: both give the same addresses",
                subnet.network, overlapping.network, other.name
            );
            findings.warning(subnet.place, text);
        }
    }
}

fn against_node(network: &Network, node: &Node, findings: &mut Findings<'_>) {
    for subnet in &network.subnets {
        let Some(device) = &subnet.device else {
            continue;
        };
        let mut taken = node.taken.iter().filter(|taken| taken.device != *device);
        if let Some(taken) = taken.find(|taken| overlap(taken.network, subnet.network)) {
            let text = format!(
                "{} overlaps {} of this node on {}",
                subnet.network, taken.network, taken.device
            );
            findings.warning(subnet.place, text);
        }
    }
}
