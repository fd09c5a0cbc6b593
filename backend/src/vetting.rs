//! Which of the other nodes' leases are served. A lease that cannot be right gets nothing in the
//! kernel: one that covers the nodes' own network would cut this node off from its store, and so
//! from the news that the lease is gone.
//!
//! What is wrong with a lease by itself, and which of two that overlap is served, follows from
//! what all nodes see, so that all decide the same. Only then comes what concerns this node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cluster::{LeaseAttrs, NetworkConfig, Subnets, overlap};
use ipnetwork::IpNetwork;

use crate::{Family, Peers, Reason, Underlay, Unserved};

/// A peer's subnet in one family, with what every backend needs of it.
#[derive(Clone, Copy, Debug)]
pub struct PeerSubnet<'a> {
    /// The subnet.
    pub subnet: IpNetwork,
    /// The node's public address.
    pub public_ip: IpAddr,
    /// All that the node publishes.
    pub attrs: &'a LeaseAttrs,
}

/// What leases are judged by, in one family.
#[derive(Clone, Copy, Debug)]
pub struct Vetting<'a> {
    /// The family.
    pub family: Family,
    /// The cluster's configuration, which has this family.
    pub config: &'a NetworkConfig,
    /// The `BackendType` of leases that this node can serve.
    pub lease_type: &'a str,
    /// This node's lease.
    pub own: &'a Subnets,
    /// This node's own network.
    pub underlay: &'a Underlay,
}

type Vetted<'a> = Result<PeerSubnet<'a>, Unserved>;

impl Vetting<'_> {
    /// All peers that have a subnet of the family, in the order of their keys: what is served of
    /// each, or why nothing is.
    pub fn peers<'p>(&self, peers: &'p Peers) -> Vec<Vetted<'p>> {
        let parts: Vec<_> = peers
            .iter()
            .filter_map(|(subnets, attrs)| {
                let subnet = self.family.subnet(subnets)?;
                let public_ip = self.public_ip(subnet, attrs);
                Some((subnets, attrs.as_ref(), subnet, public_ip))
            })
            .collect();
        let right = parts
            .iter()
            .filter(|(.., public_ip)| public_ip.is_ok())
            .map(|(subnets, _, subnet, _)| (*subnets, *subnet));
        let holders = Holders::new(self, right);
        parts
            .into_iter()
            .map(|(subnets, attrs, subnet, public_ip)| {
                let served = public_ip.and_then(|public_ip| {
                    holders.check(subnets, subnet)?;
                    self.check_here(subnet, public_ip, attrs)?;
                    Ok(PeerSubnet {
                        subnet,
                        public_ip,
                        attrs,
                    })
                });
                served.map_err(|reason| Unserved { subnet, reason })
            })
            .collect()
    }

    /// The lease by itself, as every node sees it.
    fn public_ip(&self, subnet: IpNetwork, attrs: &LeaseAttrs) -> Result<IpAddr, Reason> {
        if subnet.ip() != subnet.network() {
            return Err(Reason::HostBits);
        }
        if let Some(pool) = self.family.pool(self.config) {
            if !contains(pool.network(), subnet) {
                return Err(Reason::OutsideNetwork(pool.network()));
            }
            if subnet.prefix() < pool.subnet_len() {
                return Err(Reason::TooWide(pool.subnet_len()));
            }
        }
        let public_ip = self
            .family
            .public_ip(attrs)
            .ok_or(Reason::NoPublicAddress)?;
        if let Some(kind) = unreachable_kind(public_ip) {
            return Err(Reason::BadPublicAddress(public_ip, kind));
        }
        match subnet.contains(public_ip) {
            true => Err(Reason::Covers(public_ip)),
            false => Ok(public_ip),
        }
    }

    /// What concerns this node alone.
    fn check_here(
        &self,
        subnet: IpNetwork,
        public_ip: IpAddr,
        attrs: &LeaseAttrs,
    ) -> Result<(), Reason> {
        let ours = [
            self.underlay.public(self.family),
            self.underlay.local(self.family),
        ];
        if ours.contains(&Some(public_ip)) {
            return Err(Reason::OwnAddress(public_ip));
        }
        let needed = self.underlay.routes.needed();
        let needed = ours.iter().flatten().chain(needed);
        if let Some(covered) = needed.copied().find(|address| subnet.contains(*address)) {
            return Err(Reason::Covers(covered));
        }
        match attrs.backend_type == self.lease_type {
            true => Ok(()),
            false => Err(Reason::OtherBackend(attrs.backend_type.to_string())),
        }
    }
}

/// Who holds what, where subnets overlap: this node itself; then leases as the configuration
/// makes them rather than others, wider subnets rather than parts of them, lower keys first.
struct Holders {
    own: Option<IpNetwork>,
    by_subnet: BTreeMap<IpNetwork, Subnets>,
    lengths: BTreeSet<u8>,
}

impl Holders {
    fn new<'s>(
        vetting: &Vetting<'_>,
        leases: impl Iterator<Item = (&'s Subnets, IpNetwork)>,
    ) -> Self {
        let mut leases: Vec<_> = leases.collect();
        leases.sort_by_key(|&(subnets, subnet)| {
            let usual = vetting.config.accepts(subnets);
            (!usual, subnet.prefix(), *subnets)
        });
        let mut holders = Self {
            own: vetting.family.subnet(vetting.own),
            by_subnet: BTreeMap::new(),
            lengths: BTreeSet::new(),
        };
        for (subnets, subnet) in leases {
            if holders.overlapping(subnet).is_none() {
                holders.by_subnet.insert(subnet, *subnets);
                holders.lengths.insert(subnet.prefix());
            }
        }
        holders
    }

    /// The subnet of a holder that `subnet` overlaps. Subnets are either nested or apart, and of
    /// those that the order above allows, none is inside a later one.
    fn overlapping(&self, subnet: IpNetwork) -> Option<IpNetwork> {
        let wider = self.lengths.range(..=subnet.prefix());
        let covering = wider.filter_map(|&length| truncated(subnet, length));
        let found = covering
            .into_iter()
            .find(|covering| self.by_subnet.contains_key(covering));
        found.or_else(|| self.inside(subnet))
    }

    /// A holder's subnet inside `subnet`: holders are in the order of their addresses.
    fn inside(&self, subnet: IpNetwork) -> Option<IpNetwork> {
        let mut from = self.by_subnet.range(subnet..);
        let next = from.next().map(|(next, _)| *next)?;
        contains(subnet, next).then_some(next)
    }

    fn check(&self, subnets: &Subnets, subnet: IpNetwork) -> Result<(), Reason> {
        if let Some(own) = self.own.filter(|own| overlap(*own, subnet)) {
            return Err(Reason::OverlapsOwn(own));
        }
        if self.by_subnet.get(&subnet) == Some(subnets) {
            return Ok(());
        }
        match self.overlapping(subnet) {
            Some(other) => Err(Reason::Overlaps(other)),
            None => Ok(()),
        }
    }
}

/// An address of a kind that no tunnel and no route can lead to.
fn unreachable_kind(address: IpAddr) -> Option<&'static str> {
    let broadcast = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else {
        broadcast.then_some("no node's address")
    }
}

fn contains(outer: IpNetwork, inner: IpNetwork) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.network())
}

fn truncated(subnet: IpNetwork, length: u8) -> Option<IpNetwork> {
    let covering = IpNetwork::new(subnet.network(), length).ok()?;
    IpNetwork::new(covering.network(), length).ok()
}

#[cfg(test)]
#[path = "vetting_tests.rs"]
mod tests;
