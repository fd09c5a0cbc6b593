//! What the doctor knows of a node: read once, then judged.

use std::net::IpAddr;
use std::time::Duration;

use backend::Family;
use cluster::SubnetEnv;
use ipnetwork::IpNetwork;
use kernel::MacAddr;

use crate::status::SourcePorts;

/// Everything that is judged. A part that could not be read says why, or is empty.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the running netd says of itself, if one answers.
    pub daemon: Option<Daemon>,
    /// Why none answers.
    pub no_daemon: String,
    /// The file that tells plugins the subnet: where it should be, and what it says.
    pub subnet_file: String,
    /// Its content, or what is wrong with it.
    pub subnet_env: Option<Result<SubnetEnv, String>>,
    /// The external interface, as netd chose it or as the tunnels and routes tell.
    pub external: String,
    /// Families that the cluster has.
    pub families: Vec<Family>,
    /// Families that are forwarded.
    pub forwarding: Vec<Family>,
    /// `bridge-nf-call-iptables`, where br_netfilter is loaded.
    pub bridge_netfilter: Option<bool>,
    /// The links of the node.
    pub links: Vec<Link>,
    /// Base chains that drop what nothing accepts, where packets are forwarded.
    pub dropping: Vec<Dropping>,
    /// Tracked connections, and how many there may be.
    pub conntrack: Option<(u64, u64)>,
    /// Programs that hold the tunnel's UDP port.
    pub port_holders: Vec<PortHolder>,
    /// The tunnel's UDP port, if there is a tunnel with one.
    pub port: Option<u16>,
    /// Packets that come with a wrong checksum, while the doctor looks.
    pub bad_checksums: BadChecksums,
    /// The store: how long it took to answer, or why it does not.
    pub store: Option<Result<Duration, String>>,
    /// What each peer that is served needs in the kernel.
    pub peers: Vec<Peer>,
    /// Configurations in /etc/cni/net.d, in the order in which runtimes look.
    pub cni_configs: Vec<CniConfig>,
}

/// A program that has the tunnel's UDP port.
#[derive(Clone, Debug)]
pub struct PortHolder {
    /// Its name and number, and what else is known.
    pub who: String,
    /// It is called netd, and no netd answers where it was asked.
    pub is_silent_netd: bool,
}

/// How many packets to this node had a wrong checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BadChecksums {
    /// Those of tunnels, and others of UDP.
    pub udp: u64,
    /// What was in a tunnel, mostly.
    pub tcp: u64,
}

/// What a running netd says.
#[derive(Clone, Debug, Default)]
pub struct Daemon {
    /// The sentences of what makes it degraded or not ready, each with what to do.
    pub problems: Vec<(String, String, String)>,
    /// `FLANNEL_MTU` as it should be.
    pub mtu: u32,
    /// The leased subnets.
    pub subnets: String,
    /// How masqueraded connections get their source ports, if there are any.
    pub source_ports: Option<SourcePorts>,
}

/// A link of the node.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// It is up.
    pub up: bool,
    /// What a tunnel adds to a packet, when it is one of netd's: bytes, and the index of the link
    /// below.
    pub tunnel: Option<(u32, Option<u32>)>,
    /// It is a bridge.
    pub bridge: bool,
    /// It has ports, when it is a bridge.
    pub has_ports: bool,
    /// Its addresses.
    pub addresses: Vec<IpNetwork>,
    /// `rp_filter` as it is in effect: 0 off, 1 strict, 2 loose.
    pub rp_filter: u8,
}

/// A base chain that sees forwarded packets, whose policy is drop.
#[derive(Clone, Debug)]
pub struct Dropping {
    /// `the chain FORWARD of iptables`, `the chain forward of the nftables table inet fw`.
    pub name: String,
    /// The pods' network of a family whose packets it sees.
    pub network: IpNetwork,
    /// Rules accept what this node's pods and those of other nodes send each other.
    pub accepts_pods: bool,
    /// What lets the network's packets pass.
    pub command: String,
    /// netd makes such rules there itself, unless it is told not to.
    pub is_netds: bool,
}

/// What a peer needs.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its subnet.
    pub subnet: IpNetwork,
    /// Its public address.
    pub public: IpAddr,
    /// The device by which packets to it should leave; the external interface without a tunnel.
    pub device: String,
    /// Where the kernel sends a packet to its subnet: the link's name, if there is a way.
    pub leaves_by: Option<String>,
    /// Where the kernel sends a packet to its public address.
    pub reached_by: Option<String>,
    /// With a VXLAN tunnel: the MAC that it published.
    pub mac: Option<MacAddr>,
    /// With a VXLAN tunnel: the neighbour's MAC as the kernel has it.
    pub neighbour: Option<MacAddr>,
    /// With a VXLAN tunnel: the FDB's endpoint for that MAC as the kernel has it.
    pub endpoint: Option<IpAddr>,
}

/// A file in /etc/cni/net.d.
#[derive(Clone, Debug)]
pub struct CniConfig {
    /// Its name.
    pub file: String,
    /// The type of its first plugin.
    pub plugin: String,
}

impl Facts {
    /// The link of that name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// This node's subnets, as subnet.env tells.
    pub fn own_subnets(&self) -> Vec<IpNetwork> {
        let Some(Ok(env)) = &self.subnet_env else {
            return Vec::new();
        };
        let subnets = env.subnets();
        Family::subnets_of(&subnets).collect()
    }

    /// Bridges of pods: called cni0, or with an address of this node's subnets.
    pub fn pod_bridges(&self) -> impl Iterator<Item = &Link> {
        let own = self.own_subnets();
        self.links.iter().filter(move |link| {
            let in_own = |address: &IpNetwork| own.iter().any(|own| own.contains(address.ip()));
            link.bridge && (link.name == "cni0" || link.addresses.iter().any(in_own))
        })
    }

    /// The backend's devices.
    pub fn tunnels(&self) -> impl Iterator<Item = (&Link, u32, Option<&Link>)> {
        self.links.iter().filter_map(|link| {
            let (overhead, below) = link.tunnel?;
            let below = below.and_then(|index| self.links.iter().find(|link| link.index == index));
            Some((link, overhead, below.or_else(|| self.link(&self.external))))
        })
    }
}
