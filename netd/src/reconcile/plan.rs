//! Wanted and seen in, changes out. Pure: applying the plan to what was seen gives what is
//! wanted, and planning again gives nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use backend::{RouteKey, Wanted};
use ipnetwork::IpNetwork;
use kernel::{
    Change, FdbEntry, LinkIndex, MacAddr, Neighbour, PublicKey, Route, RouteKind, WireguardPeer,
};

/// What the kernel has, as far as netd cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Addresses of our devices.
    pub addresses: Vec<(LinkIndex, IpNetwork)>,
    /// The main routing table, of everybody.
    pub routes: Vec<Route>,
    /// Permanent neighbours on our devices.
    pub neighbours: Vec<Neighbour>,
    /// Permanent FDB entries on our devices.
    pub fdb: Vec<FdbEntry>,
    /// Peers of our WireGuard devices, where they were last told to be.
    pub wireguard: Vec<(LinkIndex, WireguardPeer)>,
}

/// How to tell our objects from other people's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Our devices: every permanent neighbour and FDB entry on them is ours.
    pub devices: BTreeSet<LinkIndex>,
    /// All devices that are called as flannel calls its own, ours included.
    pub flannel: BTreeSet<LinkIndex>,
    /// The external interface.
    pub external: Option<LinkIndex>,
    /// The pods' networks.
    pub networks: Vec<IpNetwork>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they should be applied: what a packet needs comes before the
    /// route that sends packets there, and goes after it.
    pub changes: Vec<Change>,
    /// Other people's routes that hold a destination of ours; they are left alone, and ours
    /// is not programmed.
    pub conflicts: Vec<Route>,
}

impl Ownership {
    /// Whether a route of the main table is ours to change.
    ///
    /// Ours are routes with netd's protocol number, and those that a flanneld made before:
    /// protocol boot, either of its unmistakable shape (a flannel device, on-link, and as gateway the
    /// destination's own address, or to pods a node's), or to a destination that we want, through the interface that flannel uses,
    /// or a blackhole where we want one.
    pub fn owns(&self, route: &Route, wanted: &Wanted) -> bool {
        match route.protocol {
            Route::PROTOCOL_PODWIRE => true,
            Route::PROTOCOL_BOOT if route.kind == RouteKind::Unicast => {
                self.has_flannels_shape(route) || self.replaces(route, wanted)
            }
            Route::PROTOCOL_BOOT if route.kind == RouteKind::Blackhole => {
                wanted.has_blackhole(route.dst)
            }
            _ => false,
        }
    }

    fn has_flannels_shape(&self, route: &Route) -> bool {
        let of_pods = |address| {
            self.networks
                .iter()
                .any(|network| network.contains(address))
        };
        let dst = route.dst.network();
        let is_flannels = |gateway| gateway == dst || (of_pods(dst) && !of_pods(gateway));
        route.onlink
            && route.gateway.is_some_and(is_flannels)
            && route.link.is_some_and(|link| self.flannel.contains(&link))
    }

    /// A route without a next hop is one to all that is behind a device of flannel's.
    fn replaces(&self, route: &Route, wanted: &Wanted) -> bool {
        let external = |link| route.gateway.is_some() && Some(link) == self.external;
        let over_ours = |link| external(link) || self.flannel.contains(&link);
        route.link.is_some_and(over_ours) && wanted.routes.contains_key(&RouteKey::of(route))
    }

    /// Whether a peer of a WireGuard device is ours to remove: it is on a device of ours, and may
    /// send from an address of the pods', or from none at all. A peer that somebody added for
    /// another network is his.
    fn owns_peer(&self, link: LinkIndex, peer: &WireguardPeer) -> bool {
        let of_pods = |allowed: &IpNetwork| {
            let mut networks = self.networks.iter();
            networks.any(|network| cluster::overlap(*network, *allowed))
        };
        let mut allowed = peer.allowed_ips.iter();
        self.devices.contains(&link) && (peer.allowed_ips.is_empty() || allowed.any(of_pods))
    }
}

/// Compares.
pub fn plan(wanted: &Wanted, observed: &Observed, ownership: &Ownership) -> Plan {
    // One list for what comes: of thousands of peers it is large.
    let mut changes = Vec::new();
    let removals = plan_addresses(wanted, observed, &mut changes);
    let stale_fdb = plan_fdb(wanted, observed, ownership, &mut changes);
    let stale_neighbours = plan_neighbours(wanted, observed, ownership, &mut changes);
    let stale_peers = plan_peers(wanted, observed, ownership, &mut changes);
    let (stale_routes, conflicts) = plan_routes(wanted, observed, ownership, &mut changes);
    changes.extend(stale_routes);
    changes.extend(stale_peers);
    changes.extend(stale_neighbours);
    changes.extend(stale_fdb);
    changes.extend(removals);
    Plan { changes, conflicts }
}

/// Adds what is missing to `changes`, as the following ones do, and returns what has to go.
fn plan_addresses(wanted: &Wanted, observed: &Observed, changes: &mut Vec<Change>) -> Vec<Change> {
    let mut removals = Vec::new();
    for want in &wanted.addresses {
        let mut found = false;
        for &(link, address) in observed
            .addresses
            .iter()
            .filter(|(link, _)| *link == want.link)
        {
            if address == want.address {
                found = true;
            } else if want.replaces_within.contains(address.ip()) {
                removals.push(Change::DeleteAddress(link, address));
            }
        }
        if !found {
            changes.push(Change::AddAddress(want.link, want.address));
        }
    }
    removals
}

/// A MAC has one endpoint: replacing the entry moves it, so only further ones are deleted.
fn plan_fdb(
    wanted: &Wanted,
    observed: &Observed,
    ownership: &Ownership,
    changes: &mut Vec<Change>,
) -> Vec<Change> {
    let mut seen: BTreeSet<(LinkIndex, MacAddr)> = BTreeSet::new();
    let mut stale = Vec::new();
    for entry in &observed.fdb {
        let key = (entry.link, entry.mac);
        if wanted.fdb.get(&key) == Some(&entry.dst) {
            seen.insert(key);
        } else if ownership.devices.contains(&entry.link) && entry.mac != DEFAULT_DESTINATION {
            stale.push(Change::DeleteFdb(entry.clone()));
        }
    }
    let missing = wanted.fdb.iter().filter(|(key, _)| !seen.contains(key));
    changes.extend(
        missing.map(|(&(link, mac), &dst)| Change::ReplaceFdb(FdbEntry { link, mac, dst })),
    );
    stale
}

/// The entry of a device's own `group` or `remote` attribute, not of a peer.
const DEFAULT_DESTINATION: MacAddr = MacAddr([0; 6]);

fn plan_neighbours(
    wanted: &Wanted,
    observed: &Observed,
    ownership: &Ownership,
    changes: &mut Vec<Change>,
) -> Vec<Change> {
    let mut seen: BTreeSet<(LinkIndex, IpAddr)> = BTreeSet::new();
    let mut stale = Vec::new();
    for neighbour in &observed.neighbours {
        let key = (neighbour.link, neighbour.address);
        match wanted.neighbours.get(&key) {
            Some(mac) if *mac == neighbour.mac => {
                seen.insert(key);
            }
            Some(_) => {}
            None if ownership.devices.contains(&neighbour.link) => {
                stale.push(Change::DeleteNeighbour(neighbour.clone()));
            }
            None => {}
        }
    }
    let missing = wanted
        .neighbours
        .iter()
        .filter(|(key, _)| !seen.contains(key));
    changes.extend(missing.map(|(&(link, address), &mac)| {
        Change::ReplaceNeighbour(Neighbour { link, address, mac })
    }));
    stale
}

/// A network that moves from one peer to another is taken from the one by giving it to the other, so
/// that new peers come before stale ones go.
fn plan_peers(
    wanted: &Wanted,
    observed: &Observed,
    ownership: &Ownership,
    changes: &mut Vec<Change>,
) -> Vec<Change> {
    let mut seen: BTreeSet<(LinkIndex, PublicKey)> = BTreeSet::new();
    let mut stale = Vec::new();
    for (link, peer) in &observed.wireguard {
        let key = (*link, peer.public_key);
        match wanted.wireguard.get(&key) {
            Some(want) => {
                seen.insert(key);
                changes.extend(
                    correction(want, peer).map(|peer| Change::SetWireguardPeer(*link, peer)),
                );
            }
            None if ownership.owns_peer(*link, peer) => {
                stale.push(Change::RemoveWireguardPeer(*link, peer.public_key));
            }
            None => {}
        }
    }
    let missing = wanted
        .wireguard
        .iter()
        .filter(|(key, _)| !seen.contains(key));
    changes.extend(missing.map(|((link, _), want)| Change::SetWireguardPeer(*link, want.clone())));
    stale
}

/// What a peer has to be told. An endpoint that is right is not told again: the peer may have moved.
fn correction(want: &WireguardPeer, seen: &WireguardPeer) -> Option<WireguardPeer> {
    (want != seen).then(|| WireguardPeer {
        endpoint: want.endpoint.filter(|_| want.endpoint != seen.endpoint),
        ..want.clone()
    })
}

/// What stands at one destination and metric.
#[derive(Default)]
struct Slot<'a> {
    right: bool,
    ours: Vec<&'a Route>,
    foreign: Option<&'a Route>,
}

fn plan_routes(
    wanted: &Wanted,
    observed: &Observed,
    ownership: &Ownership,
    changes: &mut Vec<Change>,
) -> (Vec<Change>, Vec<Route>) {
    let (mut stale, mut conflicts) = (Vec::new(), Vec::new());
    let mut slots: BTreeMap<RouteKey, Slot<'_>> = BTreeMap::new();
    for route in &observed.routes {
        let key = RouteKey::of(route);
        let want = wanted.routes.get(&key);
        match (ownership.owns(route, wanted), want) {
            (true, Some(want)) => {
                let slot = slots.entry(key).or_default();
                match want == route && !slot.right {
                    true => slot.right = true,
                    false => slot.ours.push(route),
                }
            }
            (true, None) => stale.push(Change::DeleteRoute(route.clone())),
            (false, Some(_)) => slots.entry(key).or_default().foreign = Some(route),
            (false, None) => {}
        }
    }
    for (key, want) in &wanted.routes {
        let slot = slots.remove(key).unwrap_or_default();
        // Replacing takes the place of the first wrong one; further ones have to go.
        let replaced = usize::from(!slot.right && slot.foreign.is_none());
        match (slot.right, slot.foreign) {
            (true, _) => {}
            (false, None) => changes.push(Change::ReplaceRoute(want.clone())),
            (false, Some(foreign)) => conflicts.push(foreign.clone()),
        }
        let leftovers = slot.ours.iter().skip(replaced);
        stale.extend(leftovers.map(|&route| Change::DeleteRoute(route.clone())));
    }
    (stale, conflicts)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
