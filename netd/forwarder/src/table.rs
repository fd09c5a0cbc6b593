//! Whose packets go where, and from whom they may come.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The addresses of a node's pods: first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subnet(pub Ipv4Addr, pub Ipv4Addr);

impl Subnet {
    fn contains(self, address: Ipv4Addr) -> bool {
        (self.0..=self.1).contains(&address)
    }
}

/// What netd tells of the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// This node's subnet.
    pub own: Subnet,
    /// The other nodes' subnets, which do not overlap, and their public addresses.
    pub peers: Vec<(Subnet, Ipv4Addr)>,
}

/// The same, quick to ask.
#[derive(Clone, Debug)]
pub struct Table {
    own: Subnet,
    /// In the order of their addresses.
    peers: Vec<(Subnet, Ipv4Addr)>,
    known: HashSet<Ipv4Addr>,
}

/// Why a packet that came in is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No other node has the address that sent it.
    Stranger,
    /// It is to an address that this node has no pods at.
    NotOurs,
    /// The address that it says it is from is another node's.
    Spoofed,
}

impl From<Routes> for Table {
    fn from(routes: Routes) -> Self {
        let known = routes.peers.iter().map(|(_, address)| *address).collect();
        let mut peers = routes.peers;
        peers.sort_unstable();
        Self {
            own: routes.own,
            peers,
            known,
        }
    }
}

impl Table {
    /// The node whose pods have an address.
    pub(crate) fn node_of(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let later = self.peers.partition_point(|(of, _)| of.0 <= address);
        let (of, node) = self.peers.get(later.checked_sub(1)?)?;
        of.contains(address).then_some(*node)
    }

    /// The node's own address in the pods' network.
    pub(crate) fn own_address(&self) -> Ipv4Addr {
        self.own.0
    }

    /// Whether a node with this address may send anything.
    pub(crate) fn knows(&self, node: Ipv4Addr) -> bool {
        self.known.contains(&node)
    }

    /// Whether `node` may have sent a packet from one address to another.
    pub(crate) fn admit(
        &self,
        node: Ipv4Addr,
        source: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> Result<(), Refusal> {
        if !self.knows(node) {
            return Err(Refusal::Stranger);
        }
        if !self.own.contains(destination) {
            return Err(Refusal::NotOurs);
        }
        let of_another = self.node_of(source).is_some_and(|of| of != node);
        match of_another || self.own.contains(source) {
            true => Err(Refusal::Spoofed),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Ipv4Addr {
        text.parse().expect("address")
    }

    fn table() -> Table {
        let peer = |first, last, node| (Subnet(address(first), address(last)), address(node));
        Table::from(Routes {
            own: Subnet(address("10.100.1.0"), address("10.100.1.255")),
            peers: vec![
                peer("10.100.9.0", "10.100.9.255", "192.0.2.9"),
                peer("10.100.2.0", "10.100.2.255", "192.0.2.2"),
                peer("10.100.3.0", "10.100.3.127", "192.0.2.3"),
                peer("10.100.4.0", "10.100.4.255", "192.0.2.2"),
            ],
        })
    }

    #[test]
    fn an_address_is_found_in_its_subnet_alone() {
        for (pod, node) in [
            ("10.100.2.0", Some("192.0.2.2")),
            ("10.100.2.255", Some("192.0.2.2")),
            ("10.100.3.127", Some("192.0.2.3")),
            ("10.100.3.128", None),
            ("10.100.9.7", Some("192.0.2.9")),
            ("10.100.1.7", None),
            ("10.100.0.255", None),
            ("10.100.10.0", None),
            ("255.255.255.255", None),
            ("0.0.0.0", None),
        ] {
            assert_eq!(table().node_of(address(pod)), node.map(address), "{pod}");
        }
    }

    #[test]
    fn only_a_node_s_own_pods_may_send_and_only_to_ours() {
        for (node, source, destination, refusal) in [
            ("192.0.2.2", "10.100.2.7", "10.100.1.7", None),
            ("192.0.2.2", "10.100.4.7", "10.100.1.0", None),
            ("192.0.2.2", "203.0.113.9", "10.100.1.7", None),
            (
                "192.0.2.3",
                "10.100.2.7",
                "10.100.1.7",
                Some(Refusal::Spoofed),
            ),
            (
                "192.0.2.2",
                "10.100.1.9",
                "10.100.1.7",
                Some(Refusal::Spoofed),
            ),
            (
                "192.0.2.2",
                "10.100.2.7",
                "10.100.3.7",
                Some(Refusal::NotOurs),
            ),
            (
                "192.0.2.2",
                "10.100.2.7",
                "192.0.2.1",
                Some(Refusal::NotOurs),
            ),
            (
                "192.0.2.77",
                "10.100.2.7",
                "10.100.1.7",
                Some(Refusal::Stranger),
            ),
        ] {
            let admitted = table().admit(address(node), address(source), address(destination));
            assert_eq!(admitted.err(), refusal, "{node} {source} {destination}");
        }
    }
}
