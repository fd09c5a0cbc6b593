//! From what is asked for to a lab, with the defaults.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use ipnetwork::{IpNetwork, Ipv4Network};

use super::{
    ClusterFile, Delay, Loss, NetworkEntry, NodeEntry, Nodes, PodNetworkEntry, Rate, UnderlayEntry,
};
use crate::impairment::Impairment;
use crate::network::{Driver, Network, NetworkPlan};
use crate::program::Programs;
use crate::state::{Backend, Lab, Name, PodNetwork, Store};
use crate::topology::{NodePlan, RouterPlan, Topology, Underlay};

/// Nodes of a lab that nobody described.
const USUAL_NODES: u8 = 3;
/// The pods' network then; every node leases a /24 of it.
const USUAL_PODS: Ipv4Network =
    match Ipv4Network::new_checked(std::net::Ipv4Addr::new(10, 244, 0, 0), 16) {
        Some(network) => network,
        None => unreachable!(),
    };

pub(super) fn lab(file: &ClusterFile, programs: &Programs) -> Result<Lab> {
    let network = Network::choose(file.conflist.as_deref(), &file.plugin_dirs, programs)?;
    Ok(Lab {
        name: file.name.clone().unwrap_or_default(),
        topology: topology(file),
        backend: backend(file),
        direct_routing: file.direct_routing,
        pod_networks: pod_networks(file),
        store: file.store.unwrap_or(Store::Dir),
        lease_ttl: file.lease_ttl.map(|ttl| ttl.0),
        probe_interval_ms: file.probe_interval.map(|interval| interval.0),
        networks: networks(file, &network, programs)?,
        network,
    })
}

fn networks(
    file: &ClusterFile,
    network: &Network,
    programs: &Programs,
) -> Result<Vec<NetworkPlan>> {
    let plan = |(number, entry): (usize, &NetworkEntry)| match &entry.conflist {
        Some(list) => NetworkPlan::brought(list, network, programs)
            .with_context(|| format!("networks[{number}]")),
        None => Ok(NetworkPlan::Made {
            name: entry.name.clone().unwrap_or_default(),
            driver: entry.driver.unwrap_or(Driver::Bridge),
            subnets: entry.subnets(),
        }),
    };
    file.networks.iter().enumerate().map(plan).collect()
}

pub(super) fn backend(file: &ClusterFile) -> Backend {
    file.backend.unwrap_or(Backend::Vxlan)
}

/// The networks of pods, IPv4's first.
pub(super) fn pod_networks(file: &ClusterFile) -> Vec<PodNetwork> {
    let usual = PodNetwork {
        network: USUAL_PODS.into(),
        subnet_len: None,
    };
    let Some(PodNetworkEntry { ipv4, ipv6 }) = &file.pod_network else {
        return vec![usual];
    };
    let ipv4 = ipv4.iter().map(|pods| PodNetwork {
        network: pods.network.into(),
        subnet_len: pods.subnet_len,
    });
    let ipv6 = ipv6.iter().map(|pods| PodNetwork {
        network: pods.network.into(),
        subnet_len: pods.subnet_len,
    });
    ipv4.chain(ipv6).collect()
}

/// The nodes and what joins them. A node of which the file does not say where it is, is on the first underlay.
pub(super) fn topology(file: &ClusterFile) -> Topology {
    let underlays: Vec<Underlay> = match &file.underlays[..] {
        [] => vec![Underlay::usual()],
        entries => entries.iter().map(underlay).collect(),
    };
    let first = underlays
        .first()
        .map_or_else(Name::of_underlay, |first| first.name.clone());
    let unnamed = |number| NodePlan {
        name: Name::of_node(number),
        underlay: first.clone(),
        labels: BTreeMap::new(),
        impairment: Impairment::default(),
    };
    let named = |node: &NodeEntry| NodePlan {
        name: node.name.clone(),
        underlay: node.underlay.as_ref().unwrap_or(&first).clone(),
        labels: node.labels.clone(),
        impairment: impairment(node.delay, node.loss, node.rate),
    };
    let nodes = match &file.nodes {
        None => (1..=USUAL_NODES).map(unnamed).collect(),
        Some(Nodes::Number(number)) => (1..=*number).map(unnamed).collect(),
        Some(Nodes::List(list)) => list.iter().map(named).collect(),
    };
    let routers = file.routers.iter().map(|router| RouterPlan {
        name: router.name.clone(),
        underlays: router.underlays.clone(),
    });
    Topology {
        nodes,
        routers: routers.collect(),
        underlays,
    }
}

fn underlay(entry: &UnderlayEntry) -> Underlay {
    let ipv4 = entry.ipv4.map(IpNetwork::V4);
    let ipv6 = entry.ipv6.map(IpNetwork::V6);
    Underlay {
        name: entry.name.clone(),
        subnets: [ipv4, ipv6].into_iter().flatten().collect(),
        mtu: entry.mtu.map(u32::from),
        impairment: impairment(entry.delay, entry.loss, entry.rate),
    }
}

fn impairment(delay: Option<Delay>, loss: Option<Loss>, rate: Option<Rate>) -> Impairment {
    Impairment {
        delay_ms: delay.map(|delay| delay.0),
        loss_percent: loss.map(|loss| loss.0),
        rate_bits: rate.map(|rate| rate.0),
    }
}
