//! The range that one family's subnets are taken from. Both families are one path: addresses are
//! 128-bit numbers, and a family is its width in bits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::subnets::Subnets;

/// Subnets of one length, from the first to the last that may be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub(crate) network: IpNetwork,
    pub(crate) subnet_len: u8,
    pub(crate) min: u128,
    pub(crate) max: u128,
}

/// Which subnets of a pool are not free: merged, sorted ranges of subnet numbers, so that neither
/// time nor memory grows with the size of the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// First and last number of each range; ranges neither touch nor overlap.
    ranges: Vec<(u128, u128)>,
}

impl Pool {
    /// A network in which subnets of any length are given by somebody else.
    pub(crate) fn whole(network: IpNetwork) -> Self {
        let first = number(network.network());
        Self {
            network,
            subnet_len: network.prefix(),
            min: first,
            max: first,
        }
    }

    /// The network that all subnets lie in.
    pub fn network(&self) -> IpNetwork {
        self.network
    }

    /// Prefix length of one subnet.
    pub fn subnet_len(&self) -> u8 {
        self.subnet_len
    }

    /// Address of the first subnet that may be leased.
    pub fn first(&self) -> IpAddr {
        self.address(self.min)
    }

    /// Address of the last subnet that may be leased.
    pub fn last(&self) -> IpAddr {
        self.address(self.max)
    }

    /// Whether `subnet` is one of this pool's: right length, address from first to last.
    pub fn contains(&self, subnet: IpNetwork) -> bool {
        subnet.is_ipv4() == self.network.is_ipv4()
            && subnet.prefix() == self.subnet_len
            && (self.min..=self.max).contains(&number(subnet.ip()))
    }

    /// The subnets of this pool that the leases overlap, whatever their lengths.
    pub fn taken<'a>(&self, leases: impl IntoIterator<Item = &'a Subnets>) -> Taken {
        let mut ranges: Vec<_> = leases
            .into_iter()
            .flat_map(Subnets::iter)
            .filter_map(|subnet| self.numbers_of(subnet))
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Taken { ranges: merged }
    }

    /// Whether `subnet` is one of this pool's and free.
    pub fn is_free(&self, taken: &Taken, subnet: IpNetwork) -> bool {
        self.contains(subnet)
            && self.numbers_of(subnet).is_some_and(|(number, _)| {
                !taken
                    .ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&number))
            })
    }

    /// How many subnets are free.
    pub fn free(&self, taken: &Taken) -> u128 {
        let used: u128 = taken
            .ranges
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum();
        self.size().saturating_sub(used)
    }

    /// The free subnet with number `index` among the free ones; `None` from [`Pool::free`] on.
    pub fn nth_free(&self, taken: &Taken, index: u128) -> Option<IpNetwork> {
        if index >= self.free(taken) {
            return None;
        }
        let mut number = index;
        for (first, last) in &taken.ranges {
            if number < *first {
                break;
            }
            number += last - first + 1;
        }
        self.subnet(number)
    }

    /// How many subnets there are, free or not. 0 when the last lies before the first.
    pub fn size(&self) -> u128 {
        if self.max < self.min {
            0
        } else {
            (self.max - self.min) / self.step() + 1
        }
    }

    fn subnet(&self, number: u128) -> Option<IpNetwork> {
        IpNetwork::new(
            self.address(self.min + number * self.step()),
            self.subnet_len,
        )
        .ok()
    }

    /// Numbers of the subnets that overlap `subnet`.
    fn numbers_of(&self, subnet: IpNetwork) -> Option<(u128, u128)> {
        if subnet.is_ipv4() != self.network.is_ipv4() || self.size() == 0 {
            return None;
        }
        let end = self.max + (self.step() - 1);
        let (first, last) = bounds(subnet);
        if last < self.min || first > end {
            return None;
        }
        let number = |address: u128| (address - self.min) / self.step();
        Some((number(first.max(self.min)), number(last.min(end))))
    }

    fn step(&self) -> u128 {
        1 << (bits(&self.network) - self.subnet_len)
    }

    fn address(&self, number: u128) -> IpAddr {
        address(number, self.network.is_ipv4())
    }
}

/// Width of a family's addresses.
pub(crate) fn bits(network: &IpNetwork) -> u8 {
    if network.is_ipv4() { 32 } else { 128 }
}

/// An address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// A number as an address; the upper bits are dropped for IPv4.
pub(crate) fn address(number: u128, v4: bool) -> IpAddr {
    if v4 {
        let [.., a, b, c, d] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(number))
    }
}

fn bounds(subnet: IpNetwork) -> (u128, u128) {
    match subnet {
        IpNetwork::V4(net) => (
            net.network().to_bits().into(),
            net.broadcast().to_bits().into(),
        ),
        IpNetwork::V6(net) => (net.network().to_bits(), net.broadcast().to_bits()),
    }
}
