//! Two nodes that a VXLAN tunnel connects as an operator would make it with ip and bridge: what netd's is
//! compared with. Nobody looks after it.

use std::net::IpAddr;

use anyhow::Result;

use super::family::Family;
use super::maker::Site;
use super::overlay::Pods;
use super::wire::{self, ip};
use crate::bench::world;

/// netd's own VNI and port, so that the kernel does the same to each packet.
const VNI: u8 = 1;
const PORT: u16 = 8472;
const DEVICE: &str = "by-hand";

/// One of the two nodes.
struct Node<'a> {
    name: &'a str,
    family: Family,
    /// From 1.
    number: u8,
    /// On the wire.
    address: IpAddr,
}

/// Two new nodes on a wire, each with the tunnel to the other; what their pods get.
///
/// # Errors
/// A program fails.
pub(super) fn connect(site: &Site<'_>, names: &[String; 2]) -> Result<Vec<Pods>> {
    let mut wire = site.wire()?;
    let nodes = (1..).zip(names).map(|(number, name)| {
        Ok(Node {
            name,
            family: site.family,
            number,
            address: wire.add_node(name)?,
        })
    });
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    nodes.iter().try_for_each(Node::add_device)?;
    for node in &nodes {
        let peers = nodes.iter().filter(|peer| peer.number != node.number);
        peers.into_iter().try_for_each(|peer| node.add_peer(peer))?;
    }
    Ok(nodes.iter().map(Node::pods).collect())
}

impl Node<'_> {
    fn add_device(&self) -> Result<()> {
        let (name, mac, mtu, local) = (self.name, self.mac(), self.mtu(), self.address);
        ip(&format!(
            "-n {name} link add {DEVICE} address {mac} mtu {mtu} type vxlan id {VNI} dev eth0 \
             local {local} dstport {PORT} nolearning"
        ))?;
        let (end, bits) = (self.end(), self.family.bits());
        ip(&format!(
            "-n {name} address add {end}/{bits} dev {DEVICE} nodad"
        ))?;
        ip(&format!("-n {name} link set {DEVICE} up"))
    }

    fn add_peer(&self, peer: &Self) -> Result<()> {
        let name = self.name;
        let (mac, end, address) = (peer.mac(), peer.end(), peer.address);
        ip(&format!(
            "-n {name} neighbour add {end} lladdr {mac} dev {DEVICE} nud permanent"
        ))?;
        let entry = format!("-n {name} fdb add {mac} dev {DEVICE} dst {address} self permanent");
        world::run("bridge", &entry.split(' ').collect::<Vec<_>>())?;
        let subnet = peer.pods().subnet;
        ip(&format!(
            "-n {name} route add {subnet} via {end} dev {DEVICE} onlink"
        ))
    }

    /// Of its end of the tunnel.
    fn mac(&self) -> String {
        format!("02:00:00:00:00:{:02x}", self.number)
    }

    /// The address of its end of the tunnel: the first one of its subnet, as with netd.
    fn end(&self) -> IpAddr {
        self.family.pods_of_node(self.number)
    }

    fn mtu(&self) -> u32 {
        wire::MTU - self.family.vxlan_overhead()
    }

    fn pods(&self) -> Pods {
        Pods {
            subnet: format!("{}/{}", self.end(), self.family.prefix()),
            mtu: self.mtu(),
        }
    }
}
