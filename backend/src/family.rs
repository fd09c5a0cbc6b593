//! The two address families.

use std::net::IpAddr;

use cluster::{LeaseAttrs, NetworkConfig, Pool, Subnets};
use ipnetwork::IpNetwork;

/// IPv4 or IPv6; everything a backend does, it does per family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// As the kernel's interfaces name it.
impl From<Family> for kernel::Family {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }
}

impl Family {
    /// Both, in the order in which everything is done and printed.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The metric that the kernel gives a route without one.
    pub fn default_metric(self) -> u32 {
        match self {
            Self::V4 => 0,
            Self::V6 => 1024,
        }
    }

    /// The families that the network config has, in the order of [`ALL`](Self::ALL).
    pub fn enabled_in(config: &NetworkConfig) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|family| family.enabled(config))
    }

    /// Whether the network config has this family.
    pub fn enabled(self, config: &NetworkConfig) -> bool {
        match self {
            Self::V4 => config.v4.is_some(),
            Self::V6 => config.v6.is_some(),
        }
    }

    /// A lease's subnet in this family.
    pub fn subnet(self, subnets: &Subnets) -> Option<IpNetwork> {
        match self {
            Self::V4 => subnets.v4.map(IpNetwork::V4),
            Self::V6 => subnets.v6.map(IpNetwork::V6),
        }
    }

    /// A lease's subnets, one of each family that it has.
    pub fn subnets_of(subnets: &Subnets) -> impl Iterator<Item = IpNetwork> {
        Self::ALL
            .into_iter()
            .filter_map(|family| family.subnet(subnets))
    }

    /// Where the nodes' subnets of this family come from.
    pub fn pool(self, config: &NetworkConfig) -> Option<Pool> {
        match self {
            Self::V4 => config.v4,
            Self::V6 => config.v6,
        }
    }

    /// The cluster's network in this family.
    pub fn network(self, config: &NetworkConfig) -> Option<IpNetwork> {
        match self {
            Self::V4 => config.network_v4().map(IpNetwork::V4),
            Self::V6 => config.network_v6().map(IpNetwork::V6),
        }
    }

    /// A node's public address in this family. `0.0.0.0` stands for none.
    pub fn public_ip(self, attrs: &LeaseAttrs) -> Option<IpAddr> {
        let address = match self {
            Self::V4 => Some(IpAddr::V4(attrs.public_ip)),
            Self::V6 => attrs.public_ipv6.map(IpAddr::V6),
        };
        address.filter(|address| !address.is_unspecified())
    }
}
