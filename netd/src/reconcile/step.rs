//! A few leases that changed, by themselves: what they change in what is wanted follows from them alone
//! where no other lease comes near them, and costs the same with any number of the others.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use backend::{Backend, Device, Family, Lease, Peers, RouteKey, Underlay, Wanted};
use cluster::{LeaseAttrs, NetworkConfig, Subnets};
use ipnetwork::IpNetwork;

use super::plan::Observed;

/// So many leases are a few.
const FEW: usize = 32;

/// What a backend is asked with.
pub(super) struct Question<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) config: &'a NetworkConfig,
    pub(super) own: &'a Subnets,
    pub(super) underlay: &'a Underlay,
    pub(super) devices: &'a [Device],
}

/// What the changed leases wanted, and want now.
#[derive(Debug)]
pub(super) struct Step {
    gone: Peers,
    come: Peers,
    pub(super) before: Wanted,
    pub(super) after: Wanted,
}

/// How many leases of a table name a node, by its public addresses.
#[derive(Debug)]
pub(super) struct Nodes(HashMap<IpAddr, u32>);

impl Nodes {
    pub(super) fn of(peers: &Peers) -> Self {
        let mut nodes = Self(HashMap::with_capacity(peers.len()));
        nodes.add(peers);
        nodes
    }

    fn add(&mut self, peers: &Peers) {
        for address in addresses(peers) {
            *self.0.entry(address).or_default() += 1;
        }
    }

    fn remove(&mut self, peers: &Peers) {
        for address in addresses(peers) {
            let count = self.0.entry(address).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&address);
            }
        }
    }

    /// Whether none of the nodes that these leases name has another one: what both want is not theirs alone.
    fn have_only(&self, gone: &Peers, come: &Peers) -> bool {
        addresses(gone).chain(addresses(come)).all(|address| {
            let going = addresses(gone).filter(|other| *other == address);
            self.0.get(&address).copied().unwrap_or(0) as usize == going.count()
        })
    }
}

/// By which the nodes are known: 0.0.0.0 is none.
fn addresses(peers: &Peers) -> impl Iterator<Item = IpAddr> {
    peers.values().flat_map(|node| {
        let v4 = Some(node.public_ip).filter(|v4| !v4.is_unspecified());
        let v6 = node.public_ipv6.map(IpAddr::V6);
        v4.map(IpAddr::V4).into_iter().chain(v6)
    })
}

impl Question<'_> {
    /// From one table to the next; `None` where all leases have to be looked at. `wanted` and `nodes` are
    /// those of the table before.
    pub(super) fn step(
        &self,
        before: &Peers,
        after: &Peers,
        wanted: &Wanted,
        nodes: &Nodes,
    ) -> Option<Step> {
        if !is_simple(wanted) {
            return None;
        }
        let (gone, come) = changed(before, after)?;
        if !nodes.have_only(&gone, &come) {
            return None;
        }
        let always = self.ask(&Peers::new());
        let step = Step {
            before: without(self.ask(&gone), &always)?,
            after: without(self.ask(&come), &always)?,
            gone,
            come,
        };
        (step.fits(wanted) && step.is_apart(wanted, after)).then_some(step)
    }

    fn ask(&self, peers: &Peers) -> Wanted {
        self.backend
            .wanted(self.config, self.own, peers, self.underlay, self.devices)
    }
}

/// Nobody left out, no program that is told.
fn is_simple(wanted: &Wanted) -> bool {
    let Wanted {
        addresses: _,
        routes: _,
        neighbours: _,
        fdb: _,
        wireguard: _,
        published,
        forwarding,
        unserved,
    } = wanted;
    published.is_empty() && forwarding.is_none() && unserved.is_empty()
}

/// The leases that are not as they were, as they were and as they are; `None` of more than a few.
fn changed(before: &Peers, after: &Peers) -> Option<(Peers, Peers)> {
    let (mut gone, mut come) = (Peers::new(), Peers::new());
    for (left, right) in before.differences(after) {
        gone.extend(left.map(owned));
        come.extend(right.map(owned));
        if gone.len().max(come.len()) > FEW {
            return None;
        }
    }
    Some((gone, come))
}

fn owned((subnets, attrs): Lease<'_>) -> (Subnets, Arc<LeaseAttrs>) {
    (*subnets, Arc::clone(attrs))
}

/// What there is without any peer is left out; `None` of what is not simple.
fn without(mut wanted: Wanted, always: &Wanted) -> Option<Wanted> {
    let simple = is_simple(&wanted) && is_simple(always);
    wanted
        .routes
        .retain(|key, _| !always.routes.contains_key(key));
    wanted.addresses.clear();
    simple.then_some(wanted)
}

impl Step {
    /// Whether what goes is there, and nothing is where what comes belongs.
    fn fits(&self, wanted: &Wanted) -> bool {
        let Self { before, after, .. } = self;
        has(&wanted.routes, &before.routes, &after.routes)
            && has(&wanted.neighbours, &before.neighbours, &after.neighbours)
            && has(&wanted.fdb, &before.fdb, &after.fdb)
            && has(&wanted.wireguard, &before.wireguard, &after.wireguard)
    }

    /// Whether nothing that stays overlaps what comes.
    fn is_apart(&self, wanted: &Wanted, table: &Peers) -> bool {
        match self.after.wireguard.is_empty() {
            true => self.has_apart_routes(wanted),
            false => self.has_apart_subnets(table),
        }
    }

    /// What stays is served and so does not overlap itself: who overlaps something new is next to it.
    fn has_apart_routes(&self, wanted: &Wanted) -> bool {
        let stays = |key: &&RouteKey| !self.before.routes.contains_key(key);
        self.after.routes.keys().all(|new| {
            let lower = wanted.routes.range(..new).map(|(key, _)| key);
            let mut higher = wanted.routes.range(new..).map(|(key, _)| key);
            let next = [lower.rev().find(stays), higher.find(stays)];
            next.iter()
                .flatten()
                .all(|other| !cluster::overlap(other.dst, new.dst))
        })
    }

    /// Peers of tunnels lie in the order of their keys, and subnets of two families in that of one: all of `table`
    /// is looked through, which takes microseconds.
    fn has_apart_subnets(&self, table: &Peers) -> bool {
        let come: Vec<IpNetwork> = self.come.keys().flat_map(Family::subnets_of).collect();
        let meets = |subnet: IpNetwork| come.iter().any(|new| cluster::overlap(*new, subnet));
        table.keys().all(|subnets| {
            !Family::subnets_of(subnets).any(meets) || self.come.contains_key(subnets)
        })
    }

    /// Where the changed leases have routes now.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &RouteKey> {
        self.after.routes.keys()
    }

    /// What they wanted, as the kernel has it.
    pub(super) fn observed(&self) -> Observed {
        let Wanted {
            routes,
            neighbours,
            fdb,
            wireguard,
            ..
        } = &self.before;
        let neighbour = |(&(link, address), &mac)| kernel::Neighbour { link, address, mac };
        let entry = |(&(link, mac), &dst)| kernel::FdbEntry { link, mac, dst };
        let peer = |(&(link, _), peer): (&_, &kernel::WireguardPeer)| (link, peer.clone());
        Observed {
            routes: routes.values().cloned().collect(),
            neighbours: neighbours.iter().map(neighbour).collect(),
            fdb: fdb.iter().map(entry).collect(),
            wireguard: wireguard.iter().map(peer).collect(),
            ..Observed::default()
        }
    }

    /// Makes them those of the step's end.
    pub(super) fn take(&self, wanted: &mut Wanted, nodes: &mut Nodes) {
        let Self {
            gone,
            come,
            before,
            after,
        } = self;
        nodes.remove(gone);
        nodes.add(come);
        replace(&mut wanted.routes, &before.routes, &after.routes);
        replace(
            &mut wanted.neighbours,
            &before.neighbours,
            &after.neighbours,
        );
        replace(&mut wanted.fdb, &before.fdb, &after.fdb);
        replace(&mut wanted.wireguard, &before.wireguard, &after.wireguard);
    }
}

type Map<K, V> = BTreeMap<K, V>;

fn has<K: Ord, V: PartialEq>(all: &Map<K, V>, gone: &Map<K, V>, come: &Map<K, V>) -> bool {
    gone.iter().all(|(key, value)| all.get(key) == Some(value))
        && come
            .keys()
            .all(|key| gone.contains_key(key) || !all.contains_key(key))
}

fn replace<K: Ord + Clone, V: Clone>(all: &mut Map<K, V>, gone: &Map<K, V>, come: &Map<K, V>) {
    gone.keys().for_each(|key| {
        all.remove(key);
    });
    all.extend(come.iter().map(|(key, value)| (key.clone(), value.clone())));
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
