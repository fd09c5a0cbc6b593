//! Whether peers are reached, as probes over the overlay say.

use std::net::IpAddr;

use backend::Family;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::peers::Directory;

/// A subnet of a peer's, and how the last probes to it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reach {
    /// The subnet.
    pub subnet: String,
    /// What the probes say.
    pub state: Reachable,
    /// The median time from a small probe to its answer, microseconds.
    pub round_trip_us: Option<u64>,
    /// Small probes of which it is known whether they were answered.
    pub sent: u32,
    /// Those that were not.
    pub lost: u32,
    /// The same for probes of `mtu` bytes.
    pub full_sent: u32,
    /// Those that were not answered.
    pub full_lost: u32,
}

/// What probes say of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reachable {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It carries small packets and large ones.
    Yes,
    /// It loses some.
    Lossy,
    /// It loses large packets.
    SmallOnly,
    /// The peer's packets come; ours, or the answers to them, are lost.
    OneWay,
    /// Nothing comes back any more.
    No,
    /// Nothing ever came: it may be that the peer does not probe.
    Silent,
}

/// A subnet to probe, and where its node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedSubnet {
    /// The subnet.
    pub subnet: IpNetwork,
    /// The node's public address.
    pub public: IpAddr,
}

impl Directory {
    /// The subnets that are served.
    pub(super) fn served_subnets(&self) -> Vec<ServedSubnet> {
        let unserved = self.unserved_subnets();
        let mut served = Vec::new();
        for (subnets, attrs) in self.table.peers.iter() {
            for family in Family::ALL {
                let subnet = family
                    .subnet(subnets)
                    .filter(|subnet| !unserved.contains(subnet));
                if let Some((subnet, public)) = subnet.zip(family.public_ip(attrs)) {
                    served.push(ServedSubnet { subnet, public });
                }
            }
        }
        served
    }
}
