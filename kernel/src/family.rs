//! IPv4 and IPv6: what is done once for each.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

const ANY_V4: Ipv4Network = match Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0) {
    Some(any) => any,
    None => unreachable!(),
};
/// RFC 5771
const MULTICAST_V4: Ipv4Network = match Ipv4Network::new_checked(Ipv4Addr::new(224, 0, 0, 0), 4) {
    Some(multicast) => multicast,
    None => unreachable!(),
};
/// RFC 4291, section 2.7
const MULTICAST_V6: Ipv6Network =
    match Ipv6Network::new_checked(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8) {
        Some(multicast) => multicast,
        None => unreachable!(),
    };
const ANY_V6: Ipv6Network = match Ipv6Network::new_checked(Ipv6Addr::UNSPECIFIED, 0) {
    Some(any) => any,
    None => unreachable!(),
};

/// An IP address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Bytes of an address.
    pub fn address_length(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Bits of an address: the prefix length of a single host.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The network of all addresses: a default route's destination.
    pub fn any(self) -> IpNetwork {
        match self {
            Self::V4 => ANY_V4.into(),
            Self::V6 => ANY_V6.into(),
        }
    }

    /// The network of all multicast addresses.
    pub fn multicast(self) -> IpNetwork {
        match self {
            Self::V4 => MULTICAST_V4.into(),
            Self::V6 => MULTICAST_V6.into(),
        }
    }
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl From<&IpNetwork> for Family {
    fn from(network: &IpNetwork) -> Self {
        network.ip().into()
    }
}

/// Whether any address belongs to both networks; host bits do not count.
pub fn overlap(one: IpNetwork, other: IpNetwork) -> bool {
    match (one, other) {
        (IpNetwork::V4(one), IpNetwork::V4(other)) => one.overlaps(other),
        (IpNetwork::V6(one), IpNetwork::V6(other)) => one.overlaps(other),
        _ => false,
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn networks_overlap_where_one_is_in_the_other() {
        for (one, other, expected) in [
            ("10.1.0.0/16", "10.1.2.0/24", true),
            ("10.1.2.9/24", "10.1.2.200/25", true),
            ("10.1.2.0/25", "10.1.2.128/25", false),
            ("0.0.0.0/0", "203.0.113.1/32", true),
            ("fd00::/16", "fd00:1::1/64", true),
            ("fd00:1::/64", "fd00:2::/64", false),
            ("0.0.0.0/0", "::/0", false),
        ] {
            let [a, b] = [one, other].map(|text| text.parse().unwrap());
            assert_eq!(overlap(a, b), expected, "{one} and {other}");
            assert_eq!(overlap(b, a), expected, "{other} and {one}");
        }
    }
}
