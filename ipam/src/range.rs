//! Ranges and range sets, checked: where addresses are taken from, and in which order.
use std::{fmt, net::IpAddr};

use ipnetwork::IpNetwork;

use crate::cidr::{from_number, to_number};

/// A part of a subnet, first and last address inclusive, and its gateway, which is never handed
/// out. The gateway need not lie in the subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    subnet: IpNetwork,
    start: IpAddr,
    end: IpAddr,
    gateway: IpAddr,
}

/// Why a range or a set of them cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// No subnet given.
    #[error("IP <nil> not v4 nor v6")]
    NoSubnet,
    /// Fewer than two host bits: longer than /30 or /126.
    #[error("Network {0} too small to allocate from")]
    TooSmall(IpNetwork),
    /// An IPv4-mapped IPv6 subnet.
    #[error("IPNet IP and Mask version mismatch")]
    Mapped,
    /// The subnet's address is not its network address.
    #[error(
        "Network has host bits set. For a subnet mask of length {length} the network address is {network}"
    )]
    HostBits {
        /// Prefix length.
        length: u8,
        /// What the address should be.
        network: IpAddr,
    },
    /// No link takes addresses of it.
    #[error("Network {0} is multicast: no interface can have an address of it")]
    Multicast(IpNetwork),
    /// The gateway is of the other family.
    #[error("Gateway {0} is not of the family of network {1}")]
    GatewayFamily(IpAddr, IpNetwork),
    /// `rangeStart` outside the subnet.
    #[error("RangeStart {0} not in network {1}")]
    Start(IpAddr, IpNetwork),
    /// `rangeEnd` outside the subnet.
    #[error("RangeEnd {0} not in network {1}")]
    End(IpAddr, IpNetwork),
    /// `rangeEnd`, given or by default, before `rangeStart`.
    #[error("RangeEnd {end} is before RangeStart {start}")]
    EndBeforeStart {
        /// `rangeStart`.
        start: IpAddr,
        /// `rangeEnd`.
        end: IpAddr,
    },
    /// A set without ranges.
    #[error("empty range set")]
    Empty,
    /// IPv4 and IPv6 in one set.
    #[error("mixed address families")]
    Mixed,
    /// Two ranges of a set share addresses.
    #[error("subnets {0} and {1} overlap")]
    Overlap(String, String),
}

impl Range {
    /// Checks a range; what is not given is: gateway and start the first address after the
    /// network address, end the last before the broadcast address (IPv4) or the last (IPv6).
    pub fn new(
        subnet: Option<IpNetwork>,
        start: Option<IpAddr>,
        end: Option<IpAddr>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, RangeError> {
        let subnet = check_subnet(subnet.ok_or(RangeError::NoSubnet)?)?;
        let first = from_number(to_number(subnet.network()) + 1, subnet.network());
        let inside = |address: IpAddr| subnet.contains(address);
        if let Some(start) = start.filter(|start| !inside(*start)) {
            return Err(RangeError::Start(start, subnet));
        }
        if let Some(end) = end.filter(|end| !inside(*end)) {
            return Err(RangeError::End(end, subnet));
        }
        let start = start.unwrap_or(first);
        let end = end.unwrap_or_else(|| last_address(subnet));
        if start > end {
            return Err(RangeError::EndBeforeStart { start, end });
        }
        Ok(Self {
            subnet,
            start,
            end,
            gateway: gateway.unwrap_or(first),
        })
    }

    /// Whether an interface can have its addresses and reach its gateway. The reference plugin does not
    /// look: it is the kernel that refuses.
    fn is_usable(&self) -> Result<(), RangeError> {
        let (subnet, gateway) = (self.subnet, self.gateway);
        if subnet.network().is_multicast() {
            return Err(RangeError::Multicast(subnet));
        }
        match gateway.is_ipv4() == subnet.is_ipv4() {
            true => Ok(()),
            false => Err(RangeError::GatewayFamily(gateway, subnet)),
        }
    }

    /// Whether `address` lies between start and end.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.start.is_ipv4() && (self.start..=self.end).contains(&address)
    }

    /// The subnet's gateway.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// `address` with the subnet's prefix length.
    pub fn with_prefix(&self, address: IpAddr) -> Option<IpNetwork> {
        IpNetwork::new(address, self.subnet.prefix()).ok()
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.start) || other.contains(self.start)
    }

    /// How many addresses can be handed out.
    fn capacity(&self) -> u128 {
        let all = (to_number(self.end) - to_number(self.start)).saturating_add(1);
        all - u128::from(self.contains(self.gateway))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

fn check_subnet(subnet: IpNetwork) -> Result<IpNetwork, RangeError> {
    let bits = if subnet.is_ipv4() { 32 } else { 128 };
    let mapped = subnet.is_ipv6() && subnet.ip().to_canonical().is_ipv4();
    if subnet.prefix() > bits - 2 {
        Err(RangeError::TooSmall(subnet))
    } else if mapped {
        Err(RangeError::Mapped)
    } else if subnet.ip() != subnet.network() {
        Err(RangeError::HostBits {
            length: subnet.prefix(),
            network: subnet.network(),
        })
    } else {
        Ok(subnet)
    }
}

fn last_address(subnet: IpNetwork) -> IpAddr {
    match subnet {
        IpNetwork::V4(net) => IpAddr::V4((u32::from(net.broadcast()) - 1).into()),
        IpNetwork::V6(net) => IpAddr::V6(net.broadcast()),
    }
}

/// Ranges of one family, of which an attachment gets one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl RangeSet {
    /// Checks that the ranges are of one family and share no address.
    pub fn new(ranges: Vec<Range>) -> Result<Self, RangeError> {
        let first = ranges.first().ok_or(RangeError::Empty)?;
        if ranges
            .iter()
            .any(|range| range.start.is_ipv4() != first.start.is_ipv4())
        {
            return Err(RangeError::Mixed);
        }
        for (position, range) in ranges.iter().enumerate() {
            if let Some(other) = ranges[position + 1..]
                .iter()
                .find(|other| range.overlaps(other))
            {
                return Err(RangeError::Overlap(range.to_string(), other.to_string()));
            }
        }
        Ok(Self(ranges))
    }

    /// Whether an interface can have the addresses.
    pub(crate) fn is_usable(&self) -> Result<(), RangeError> {
        self.0.iter().try_for_each(Range::is_usable)
    }

    /// Whether the set is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.0.iter().all(|range| range.start.is_ipv4())
    }

    /// The range that `address` lies in.
    pub fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(address))
    }

    /// Whether the two sets share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0
            .iter()
            .any(|range| other.0.iter().any(|other| range.overlaps(other)))
    }

    /// How many addresses can be handed out.
    pub fn capacity(&self) -> u128 {
        self.0
            .iter()
            .fold(0, |sum, range| sum.saturating_add(range.capacity()))
    }

    /// Whether `address` is one that can be handed out.
    pub fn can_serve(&self, address: IpAddr) -> bool {
        self.range_of(address)
            .is_some_and(|range| range.gateway != address)
    }

    /// Every address once, with its range, gateways left out: after `last` and around to it, or
    /// from the start when `last` does not lie in the set.
    pub fn addresses_after(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
        self.spans(last).into_iter().flat_map(|(range, from, to)| {
            (from..=to)
                .map(move |number| (from_number(number, range.start), range))
                .filter(|(address, range)| *address != range.gateway)
        })
    }

    /// The walk of [`RangeSet::addresses_after`] as spans of numbers.
    fn spans(&self, last: Option<IpAddr>) -> Vec<(&Range, u128, u128)> {
        let whole = |range| -> (&Range, u128, u128) {
            let range: &Range = range;
            (range, to_number(range.start), to_number(range.end))
        };
        let split = last
            .and_then(|last| Some((last, self.0.iter().position(|range| range.contains(last))?)));
        let Some((last, at)) = split else {
            return self.0.iter().map(whole).collect();
        };
        let last = to_number(last);
        let (range, start, end) = whole(&self.0[at]);
        let after = (last < end).then(|| (range, last + 1, end));
        after
            .into_iter()
            .chain(self.0[at + 1..].iter().map(whole))
            .chain(self.0[..at].iter().map(whole))
            .chain([(range, start, last)])
            .collect()
    }
}

impl fmt::Display for RangeSet {
    /// `<start>-<end>[,<start>-<end>]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, range) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cidr::parse_cidr;

    fn range(subnet: &str, start: &str, end: &str, gateway: &str) -> Result<Range, RangeError> {
        let address = |text: &str| text.parse().ok();
        Range::new(
            parse_cidr(subnet),
            address(start),
            address(end),
            address(gateway),
        )
    }

    #[test]
    fn defaults() {
        let cases = [
            (
                "10.1.2.0/24",
                "10.1.2.1-10.1.2.254",
                "10.1.2.1",
                "10.1.2.2",
                253,
            ),
            (
                "2001:db8::/126",
                "2001:db8::1-2001:db8::3",
                "2001:db8::1",
                "2001:db8::2",
                2,
            ),
            (
                "10.0.0.0/30",
                "10.0.0.1-10.0.0.2",
                "10.0.0.1",
                "10.0.0.2",
                1,
            ),
            (
                "0.0.0.0/0",
                "0.0.0.1-255.255.255.254",
                "0.0.0.1",
                "0.0.0.2",
                (1 << 32) - 3,
            ),
        ];
        for (subnet, text, gateway, first, capacity) in cases {
            let range = range(subnet, "", "", "").unwrap();
            assert_eq!(range.to_string(), text, "{subnet}");
            assert_eq!(range.gateway().to_string(), gateway, "{subnet}");
            let set = RangeSet::new(vec![range]).unwrap();
            assert_eq!(
                set.addresses_after(None).next().unwrap().0.to_string(),
                first,
                "{subnet}"
            );
            assert_eq!(set.capacity(), capacity, "{subnet}");
        }
        let wide = range("2001:db8::/64", "", "", "").unwrap();
        assert_eq!(
            wide.to_string(),
            "2001:db8::1-2001:db8::ffff:ffff:ffff:ffff"
        );
        let all = RangeSet::new(vec![range("::/0", "", "", "").unwrap()]).unwrap();
        assert_eq!(all.capacity(), u128::MAX - 1);
    }

    #[test]
    fn what_is_refused() {
        let net = "10.22.0.0/24";
        let cases = [
            (range("", "", "", ""), "IP <nil> not v4 nor v6"),
            (
                range("10.22.0.0/31", "", "", ""),
                "Network 10.22.0.0/31 too small to allocate from",
            ),
            (
                range("10.22.0.1/32", "", "", ""),
                "Network 10.22.0.1/32 too small to allocate from",
            ),
            (
                range("2001:db8::/127", "", "", ""),
                "Network 2001:db8::/127 too small to allocate from",
            ),
            (
                range("::ffff:10.22.0.0/120", "", "", ""),
                "IPNet IP and Mask version mismatch",
            ),
            (
                range("10.22.0.1/24", "", "", ""),
                "Network has host bits set. For a subnet mask of length 24 the network address is 10.22.0.0",
            ),
            (
                range(net, "10.23.0.1", "", ""),
                "RangeStart 10.23.0.1 not in network 10.22.0.0/24",
            ),
            (
                range(net, "2001:db8::1", "", ""),
                "RangeStart 2001:db8::1 not in network 10.22.0.0/24",
            ),
            (
                range(net, "", "10.23.0.1", ""),
                "RangeEnd 10.23.0.1 not in network 10.22.0.0/24",
            ),
            (
                range(net, "10.22.0.9", "10.22.0.5", ""),
                "RangeEnd 10.22.0.5 is before RangeStart 10.22.0.9",
            ),
            (
                range(net, "", "10.22.0.0", ""),
                "RangeEnd 10.22.0.0 is before RangeStart 10.22.0.1",
            ),
            (
                range(net, "10.22.0.255", "", ""),
                "RangeEnd 10.22.0.254 is before RangeStart 10.22.0.255",
            ),
        ];
        for (result, text) in cases {
            assert_eq!(result.unwrap_err().to_string(), text);
        }
        let v4 = || range(net, "", "", "").unwrap();
        let half = range("10.22.0.128/25", "", "", "").unwrap();
        let v6 = range("2001:db8::/64", "", "", "").unwrap();
        let sets = [
            (vec![], "empty range set"),
            (vec![v4(), v6], "mixed address families"),
            (
                vec![v4(), half],
                "subnets 10.22.0.1-10.22.0.254 and 10.22.0.129-10.22.0.254 overlap",
            ),
        ];
        for (ranges, text) in sets {
            assert_eq!(RangeSet::new(ranges).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn a_gateway_of_another_range_is_handed_out() {
        let first = range("10.22.0.0/24", "10.22.0.5", "10.22.0.6", "10.22.0.7").unwrap();
        let second = range("10.23.0.0/24", "", "", "10.22.0.5").unwrap();
        let set = RangeSet::new(vec![first, second]).unwrap();
        let walk: Vec<_> = set
            .addresses_after(None)
            .take(3)
            .map(|(a, _)| a.to_string())
            .collect();
        assert_eq!(walk, ["10.22.0.5", "10.22.0.6", "10.23.0.1"]);
    }

    fn sets() -> impl Strategy<Value = RangeSet> {
        let numbers = (2u8..40, 0u8..30, 0u8..60);
        proptest::collection::vec(numbers, 1..4).prop_map(|ranges| {
            let ranges = ranges
                .into_iter()
                .enumerate()
                .map(|(i, (start, length, gateway))| {
                    let address = |last: u8| format!("10.0.{i}.{last}");
                    range(
                        &format!("10.0.{i}.0/24"),
                        &address(start),
                        &address(start + length),
                        &address(gateway),
                    )
                    .unwrap()
                });
            RangeSet::new(ranges.collect()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_turn_visits_every_address_once_and_ends_with_the_last(set in sets(), pick in any::<prop::sample::Index>()) {
            let all: Vec<_> = set.addresses_after(None).map(|(address, _)| address).collect();
            prop_assert_eq!(all.len() as u128, set.capacity());
            prop_assume!(!all.is_empty());
            let last = all[pick.index(all.len())];
            let turn: Vec<_> = set.addresses_after(Some(last)).map(|(address, _)| address).collect();
            prop_assert_eq!(turn.last(), Some(&last));
            prop_assert_eq!(turn.len(), all.len());
            let visited: HashSet<_> = turn.iter().collect();
            prop_assert_eq!(visited.len(), all.len());
            prop_assert!(all.iter().all(|address| set.can_serve(*address)));
        }
    }
}
