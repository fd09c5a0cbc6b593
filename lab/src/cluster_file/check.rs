//! What contradicts itself in a cluster file, or cannot be: rules that types cannot say.

mod networks;

use std::collections::BTreeSet;

use anyhow::Result;
use ipnetwork::IpNetwork;
use kernel::overlap;
use manifest::{Complaint, Path as Field};

use super::plan;
use super::{ClusterFile, Nodes};
use crate::state::{Backend, Name, PodNetwork};
use crate::store::ETCD_PORT;
use crate::topology::{MOST_NODES, Topology, require_no_host_bits, room};

/// The longest name of a link, in bytes (IFNAMSIZ of linux/if.h, less its end).
const LONGEST_LINK: usize = 15;
/// The least MTU with IPv6: what IPv6 asks for (RFC 8200), and a tunnel's 70 bytes.
const LEAST_MTU_V6: u16 = 1350;
/// The least without: what every host takes (RFC 1122), and a tunnel's 50 bytes.
const LEAST_MTU_V4: u16 = 626;

/// All that is wrong.
pub(super) fn all(file: &ClusterFile) -> Vec<Complaint> {
    let mut check = Check {
        file,
        topology: plan::topology(file),
        pods: plan::pod_networks(file),
        brought: Vec::new(),
        complaints: Vec::new(),
    };
    check.names();
    check.nodes();
    check.underlays();
    check.routers();
    check.pod_networks();
    check.networks();
    check.overlaps();
    check.backend();
    check.complaints
}

struct Check<'a> {
    file: &'a ClusterFile,
    topology: Topology,
    pods: Vec<PodNetwork>,
    /// The subnets of networks that the user brings lists for.
    brought: Vec<(Field, IpNetwork)>,
    complaints: Vec<Complaint>,
}

fn field(name: &str) -> Field {
    Field::default().field(name)
}

fn family(network: IpNetwork) -> &'static str {
    match network {
        IpNetwork::V4(_) => "ipv4",
        IpNetwork::V6(_) => "ipv6",
    }
}

impl Check<'_> {
    fn add(&mut self, field: Field, message: impl Into<String>) {
        self.complaints.push(Complaint {
            field,
            message: message.into(),
        });
    }

    /// What is wrong, if anything, and where.
    fn require<T>(&mut self, field: Field, judged: Result<T>) -> Option<T> {
        match judged {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(field, format!("{error:#}"));
                None
            }
        }
    }

    /// Nodes, underlays, routers and etcd are links of one namespace.
    fn names(&mut self) {
        let mut taken = BTreeSet::from([ETCD_PORT.to_owned(), "lo".to_owned()]);
        let mut all: Vec<(Field, String)> = Vec::new();
        let named = |list: &str, names: Vec<&Name>| -> Vec<(Field, String)> {
            let place = |number| field(list).element(number).field("name");
            let names = names.iter().enumerate();
            names
                .map(|(number, name)| (place(number), name.to_string()))
                .collect()
        };
        let Topology {
            nodes,
            underlays,
            routers,
        } = &self.topology;
        all.extend(named(
            "underlays",
            underlays.iter().map(|each| &each.name).collect(),
        ));
        all.extend(named(
            "routers",
            routers.iter().map(|each| &each.name).collect(),
        ));
        all.extend(named(
            "nodes",
            nodes.iter().map(|each| &each.name).collect(),
        ));
        // A router's ends on the bridges have its name and a number.
        let ends = routers
            .iter()
            .filter_map(|each| each.underlays.len().checked_sub(1));
        let suffix = ends.max().map_or(0, |last| format!(".{last}").len());
        for (field, name) in all {
            let longest = match field.to_string().starts_with("routers") {
                true => LONGEST_LINK - suffix,
                false => LONGEST_LINK,
            };
            if name.len() > longest {
                let message =
                    format!("{name:?} becomes the name of a link: give {longest} letters at most");
                self.add(field.clone(), message);
            }
            if !taken.insert(name.clone()) {
                let message = format!(
                    "{name:?} is taken: nodes, underlays, routers and etcd have different names"
                );
                self.add(field, message);
            }
        }
    }

    fn nodes(&mut self) {
        let several = self.file.underlays.len() > 1;
        match &self.file.nodes {
            Some(Nodes::List(list)) => {
                if list.is_empty() || list.len() > MOST_NODES.into() {
                    let message = format!("{} nodes: give 1 to {MOST_NODES}", list.len());
                    self.add(field("nodes"), message);
                }
                for (number, node) in list.iter().enumerate() {
                    let place = field("nodes").element(number).field("underlay");
                    match &node.underlay {
                        Some(underlay) => self.known_underlay(place, underlay),
                        None if several => {
                            let message = "say which underlay: there are several";
                            self.add(place, message);
                        }
                        None => {}
                    }
                }
            }
            _ if several => {
                let message = "there are several underlays: list the nodes, each with its underlay";
                self.add(field("nodes"), message);
            }
            _ => {}
        }
    }

    fn known_underlay(&mut self, place: Field, name: &Name) {
        let known: Vec<&str> = self
            .topology
            .underlays
            .iter()
            .map(|underlay| underlay.name.as_str())
            .collect();
        if !known.contains(&name.as_str()) {
            let message = format!(
                "there is no underlay {name}: there are {}",
                known.join(", ")
            );
            self.add(place, message);
        }
    }

    fn underlays(&mut self) {
        let pods_have_v6 = self.pods.iter().any(|pods| pods.network.is_ipv6());
        for (number, entry) in self.file.underlays.iter().enumerate() {
            let place = field("underlays").element(number);
            if entry.ipv4.is_none() && entry.ipv6.is_none() {
                self.add(place.clone(), "it has no subnet: give ipv4, ipv6 or both");
            }
            if let Some(subnet) = entry.ipv4 {
                self.subnet(place.field("ipv4"), subnet.into(), number);
            }
            if let Some(subnet) = entry.ipv6 {
                self.subnet(place.field("ipv6"), subnet.into(), number);
            }
            let least = match entry.ipv6.is_some() || pods_have_v6 {
                true => LEAST_MTU_V6,
                false => LEAST_MTU_V4,
            };
            if let Some(mtu) = entry.mtu.filter(|mtu| *mtu < least) {
                let message = format!("{mtu} bytes are too few: give {least} or more");
                self.add(place.field("mtu"), message);
            }
        }
    }

    fn subnet(&mut self, place: Field, subnet: IpNetwork, underlay: usize) {
        self.no_host_bits(place.clone(), subnet);
        let name = &self.topology.underlays[underlay].name;
        let nodes = self.topology.nodes.iter();
        let nodes = nodes.filter(|node| node.underlay == *name).count();
        let routers = self.topology.routers.iter();
        let routers = routers.filter(|router| router.underlays.contains(name));
        let wanted = nodes + routers.count();
        if wanted > room(subnet) as usize {
            let message = format!(
                "{subnet} has addresses for {} nodes and routers, and {wanted} are on it",
                room(subnet)
            );
            self.add(place, message);
        }
    }

    fn no_host_bits(&mut self, place: Field, network: IpNetwork) {
        self.require(place, require_no_host_bits(network));
    }

    fn routers(&mut self) {
        for (number, router) in self.file.routers.iter().enumerate() {
            let place = field("routers").element(number).field("underlays");
            let distinct: BTreeSet<&Name> = router.underlays.iter().collect();
            if distinct.len() < router.underlays.len() || distinct.len() < 2 {
                let message = "a router joins two underlays or more, each named once";
                self.add(place.clone(), message);
            }
            for (number, underlay) in router.underlays.iter().enumerate() {
                self.known_underlay(place.element(number), underlay);
            }
        }
        let Some((first, others)) = self.topology.underlays.split_first() else {
            return;
        };
        let apart = others.iter().enumerate().filter_map(|(number, each)| {
            let joined = self.topology.are_joined(&each.name, &first.name);
            (!joined).then(|| {
                let message = format!("no router joins {} to {}", each.name, first.name);
                (field("underlays").element(1 + number), message)
            })
        });
        for (place, message) in apart.collect::<Vec<_>>() {
            self.add(place, message);
        }
    }

    fn pod_networks(&mut self) {
        if self.pods.is_empty() {
            self.add(
                field("podNetwork"),
                "pods have no addresses: give ipv4, ipv6 or both",
            );
        }
        for pods in self.pods.clone() {
            let (most, usual) = match pods.network.is_ipv6() {
                false => (30, 24),
                true => (124, 64),
            };
            let place = field("podNetwork").field(family(pods.network));
            self.no_host_bits(place.field("network"), pods.network);
            let (whole, each) = (pods.network.prefix(), pods.subnet_len.unwrap_or(usual));
            if each <= whole || each > most {
                let message = format!(
                    "a node's subnet of {each} bits in {}: give {} to {most}",
                    pods.network,
                    whole + 1
                );
                self.add(place.field("subnetLen"), message);
                continue;
            }
            // Flannel leaves the first one out.
            let subnets = 1_u128
                .checked_shl((each - whole).into())
                .unwrap_or(u128::MAX)
                - 1;
            let nodes = self.topology.nodes.len();
            if subnets < nodes as u128 {
                let message = format!(
                    "{} has {subnets} subnets of {each} bits for {nodes} nodes",
                    pods.network
                );
                self.add(place.field("network"), message);
            }
            self.reached_over_its_family(&place, &pods);
        }
    }

    /// Each family travels over its own.
    fn reached_over_its_family(&mut self, place: &Field, pods: &PodNetwork) {
        let is_v6 = pods.network.is_ipv6();
        let without = self.topology.underlays.iter().find(|underlay| {
            let mut subnets = underlay.subnets.iter();
            !subnets.any(|subnet| subnet.is_ipv6() == is_v6)
        });
        if let Some(without) = without {
            let family = if is_v6 { "IPv6" } else { "IPv4" };
            let message = format!(
                "{family} of pods travels over {family} of nodes, and underlay {} has no such subnet",
                without.name
            );
            self.add(place.clone(), message);
        }
    }

    /// No two networks have addresses in common; what the user's lists have is the user's.
    fn overlaps(&mut self) {
        let of_underlays = self.topology.underlays.iter().enumerate();
        let of_underlays = of_underlays.flat_map(|(number, underlay)| {
            let place = field("underlays").element(number);
            underlay
                .subnets
                .iter()
                .map(move |subnet| (place.field(family(*subnet)), *subnet))
        });
        let of_pods = self.pods.iter().map(|pods| {
            let place = field("podNetwork").field(family(pods.network));
            (place, pods.network)
        });
        let made = self.file.networks.iter().enumerate();
        let made = made.filter(|(_, entry)| entry.conflist.is_none());
        let of_made = made.flat_map(|(number, entry)| {
            let place = field("networks").element(number);
            let subnets = entry.subnets().into_iter();
            subnets.map(move |subnet| (place.field(family(subnet)), subnet))
        });
        let mut all: Vec<(Field, IpNetwork)> = of_underlays.chain(of_pods).collect();
        let brought = all.len()..all.len() + self.brought.len();
        all.extend(self.brought.iter().cloned());
        all.extend(of_made);
        for (number, (place, network)) in all.iter().enumerate() {
            if brought.contains(&number) {
                continue;
            }
            let mut before = all[..number].iter();
            if let Some((other, with)) = before.find(|(_, other)| overlap(*network, *other)) {
                let message = format!("{network} overlaps with {with} of {other}");
                self.add(place.clone(), message);
            }
        }
    }

    fn backend(&mut self) {
        let backend = plan::backend(self.file);
        let first = self
            .topology
            .nodes
            .first()
            .map(|node| node.underlay.clone());
        let mut nodes = self.topology.nodes.iter();
        if backend == Backend::HostGw
            && let Some(behind) = nodes.find(|node| Some(&node.underlay) != first.as_ref())
        {
            let message = format!(
                "host-gw sends pods' packets to the other node itself, which has to be on the same link: node {} \
                 is behind a router, on underlay {}; take vxlan or udp",
                behind.name, behind.underlay
            );
            self.add(field("backend"), message);
        }
        if backend == Backend::Udp && self.pods.iter().any(|pods| pods.network.is_ipv6()) {
            let message = "udp carries IPv4 alone: take vxlan or host-gw, or pods without IPv6";
            self.add(field("backend"), message);
        }
        if self.file.direct_routing && backend != Backend::Vxlan {
            let message = "only vxlan has it: leave it out";
            self.add(field("directRouting"), message);
        }
    }
}
