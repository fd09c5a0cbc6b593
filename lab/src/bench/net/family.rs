//! IPv4 or IPv6: the same paths, with other addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What carries a path's packets, and the tunnel's below it, if there is one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Family {
    /// IPv4
    #[default]
    Ipv4,
    /// IPv6
    Ipv6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::name_of(self, f)
    }
}

impl Family {
    /// Of a packet's IP and UDP headers, in bytes.
    pub(super) fn headers(self) -> usize {
        match self {
            Self::Ipv4 => 20 + 8,
            Self::Ipv6 => 40 + 8,
        }
    }

    pub(super) fn loopback(self) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::LOCALHOST.into(),
            Self::Ipv6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// Of the `n`th of those on one wire; [`Self::prefix`] of it is the wire's.
    pub(super) fn on_wire(self, n: u8) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::new(192, 168, 50, n).into(),
            Self::Ipv6 => Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, n.into()).into(),
        }
    }

    /// Prefix length of a wire's addresses, and of a node's pods.
    pub(super) fn prefix(self) -> u8 {
        match self {
            Self::Ipv4 => 24,
            Self::Ipv6 => 64,
        }
    }

    /// Of pods on one node.
    pub(super) fn pods(self) -> &'static str {
        match self {
            Self::Ipv4 => "172.30.0.0/16",
            Self::Ipv6 => "fd00:30::/64",
        }
    }

    /// The first address of the pods on the `n`th of several nodes; [`Self::prefix`] of it is theirs.
    pub(super) fn pods_of_node(self, n: u8) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::new(10, 100, n, 0).into(),
            Self::Ipv6 => Ipv6Addr::new(0xfd00, 0x100, 0, n.into(), 0, 0, 0, 0).into(),
        }
    }

    /// What netd is told of the network of all pods.
    pub(super) fn cluster(self) -> Value {
        match self {
            Self::Ipv4 => json!({ "Network": "10.100.0.0/16" }),
            Self::Ipv6 => {
                json!({ "EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd00:100::/48" })
            }
        }
    }

    /// Of the node's subnet in the file that netd writes.
    pub(super) fn subnet_key(self) -> &'static str {
        match self {
            Self::Ipv4 => "FLANNEL_SUBNET",
            Self::Ipv6 => "FLANNEL_IPV6_SUBNET",
        }
    }

    /// The destination of a default route.
    pub(super) fn everywhere(self) -> &'static str {
        match self {
            Self::Ipv4 => "0.0.0.0/0",
            Self::Ipv6 => "::/0",
        }
    }

    /// As sysctl(8) takes it.
    pub(super) fn forwarding(self) -> &'static str {
        match self {
            Self::Ipv4 => "net.ipv4.ip_forward=1",
            Self::Ipv6 => "net.ipv6.conf.all.forwarding=1",
        }
    }

    /// Prefix length of a single address.
    pub(super) fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }

    /// What a VXLAN tunnel over it takes from each packet, in bytes: the outer IP header, and UDP's,
    /// VXLAN's and the inner Ethernet's (RFC 7348).
    pub(super) fn vxlan_overhead(self) -> u32 {
        match self {
            Self::Ipv4 => 20 + 8 + 8 + 14,
            Self::Ipv6 => 40 + 8 + 8 + 14,
        }
    }
}

#[cfg(test)]
mod tests {
    use ipnetwork::IpNetwork;

    use super::*;

    #[test]
    fn names_are_the_same_on_the_command_line_and_in_the_file() {
        for family in Family::value_variants() {
            assert_eq!(serde_json::to_value(family).unwrap(), family.to_string());
        }
    }

    #[test]
    fn addresses_are_of_the_family() {
        for family in Family::value_variants() {
            let is_ipv6 = *family == Family::Ipv6;
            let network = |address, prefix| IpNetwork::new(address, prefix).unwrap();
            let wire = network(family.on_wire(1), family.prefix());
            assert!(wire.contains(family.on_wire(2)), "{wire}");
            let pods = [1, 2].map(|n| network(family.pods_of_node(n), family.prefix()));
            assert!(!pods[0].contains(family.pods_of_node(2)), "{pods:?}");
            assert!(pods.iter().all(|subnet| subnet.network() == subnet.ip()));
            let one: IpNetwork = family.pods().parse().unwrap();
            let everywhere: IpNetwork = family.everywhere().parse().unwrap();
            let all = [wire, one, everywhere].into_iter().chain(pods);
            assert!(all.into_iter().all(|network| network.is_ipv6() == is_ipv6));
            assert_eq!(family.loopback().is_ipv6(), is_ipv6);
        }
    }
}
