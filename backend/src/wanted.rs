//! The kernel objects that a backend wants for the own lease and the peers'.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use cluster::{LeaseAttrs, NetworkConfig, Subnets};
use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{
    FdbEntry, IfName, LinkIndex, MacAddr, Neighbour, PublicKey, Route, RouteKind, WireguardPeer,
};

use crate::{Device, Family, PeerSubnet, Peers, Reason, Unserved, Vetting};

/// An address that a device must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedAddress {
    /// The device.
    pub link: LinkIndex,
    /// The address.
    pub address: IpNetwork,
    /// Other addresses of the device inside this network are from an older lease and go.
    pub replaces_within: IpNetwork,
}

impl WantedAddress {
    /// The network address of this node's subnet, alone: the node's source address in the overlay.
    pub fn of_subnet(
        link: LinkIndex,
        family: Family,
        own: &Subnets,
        config: &NetworkConfig,
    ) -> Option<Self> {
        let subnet = family.subnet(own)?;
        Some(Self {
            link,
            address: IpNetwork::new(subnet.network(), family.bits()).ok()?,
            replaces_within: family.network(config)?,
        })
    }
}

/// What the program that carries a tun device's packets is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// The device.
    pub device: IfName,
    /// Its index: another one is another device.
    pub link: LinkIndex,
    /// Where packets of other nodes arrive; their port is the same.
    pub local: SocketAddrV4,
    /// This node's subnet.
    pub own: Ipv4Network,
    /// The public address of each peer by its subnet.
    pub peers: BTreeMap<Ipv4Network, Ipv4Addr>,
}

/// The kernel objects that a backend wants. Sets: an object that two peers need exists once,
/// and goes when the last of them goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Addresses of the backend's devices.
    pub addresses: Vec<WantedAddress>,
    /// Routes by what identifies them in the kernel.
    pub routes: BTreeMap<RouteKey, Route>,
    /// MAC per device and neighbour address.
    pub neighbours: BTreeMap<(LinkIndex, IpAddr), MacAddr>,
    /// Tunnel endpoint per device and MAC.
    pub fdb: BTreeMap<(LinkIndex, MacAddr), IpAddr>,
    /// Peers of WireGuard devices by what names them.
    pub wireguard: BTreeMap<(LinkIndex, PublicKey), WireguardPeer>,
    /// Peers that a program is told of, with what they publish.
    pub published: BTreeMap<Subnets, Arc<LeaseAttrs>>,
    /// What a program carries packets by.
    pub forwarding: Option<Forwarding>,
    /// Peers that get nothing, and why.
    pub unserved: Vec<Unserved>,
}

/// `RT_SCOPE_LINK`: no router comes next.
const SCOPE_LINK: u8 = 253;

/// What the kernel tells routes of one table apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// Destination.
    pub dst: IpNetwork,
    /// Metric; `None` is the kernel's default.
    pub priority: Option<u32>,
}

impl RouteKey {
    /// Of a route in the main table.
    pub fn of(route: &Route) -> Self {
        Self {
            dst: route.dst,
            priority: route.priority,
        }
    }
}

impl Wanted {
    /// A route of netd's own to `dst` through `gateway`.
    pub fn route(dst: IpNetwork, gateway: IpAddr, link: LinkIndex, onlink: bool) -> Route {
        Route {
            gateway: Some(gateway),
            link: Some(link),
            protocol: Route::PROTOCOL_PODWIRE,
            onlink,
            ..Route::to(dst)
        }
    }

    /// A route of netd's own to `dst`, all of which is behind a device.
    pub fn device_route(dst: IpNetwork, link: LinkIndex) -> Route {
        let route = Route {
            link: Some(link),
            protocol: Route::PROTOCOL_PODWIRE,
            scope: SCOPE_LINK,
            ..Route::to(dst)
        };
        route.normalised()
    }

    /// Adds with `add` what each peer that passes `vetting` needs, and notes the others.
    pub fn serve(
        &mut self,
        vetting: &Vetting<'_>,
        peers: &Peers,
        mut add: impl FnMut(&mut Self, PeerSubnet<'_>) -> Result<(), Reason>,
    ) {
        for part in vetting.peers(peers) {
            let added = part.and_then(|part| {
                let subnet = part.subnet;
                add(self, part).map_err(|reason| Unserved { subnet, reason })
            });
            self.unserved.extend(added.err());
        }
    }

    /// What `devices` carry: per family the address of this node's subnet, and with `add` what each peer
    /// that passes the family's `vetting` needs.
    pub fn carried<'a>(
        devices: &[Device],
        peers: &Peers,
        vetting: impl Fn(Family) -> Vetting<'a>,
        mut add: impl FnMut(&mut Self, PeerSubnet<'_>, &Device) -> Result<(), Reason>,
    ) -> Self {
        let mut wanted = Self::default();
        let carried = |family| Some((family, Device::of(devices, family)?));
        for (family, device) in Family::ALL.into_iter().filter_map(carried) {
            let vetting = vetting(family);
            let address =
                WantedAddress::of_subnet(device.link, family, vetting.own, vetting.config);
            wanted.addresses.extend(address);
            wanted.serve(&vetting, peers, |wanted, peer| add(wanted, peer, device));
        }
        wanted
    }

    fn blackhole(dst: IpNetwork) -> Route {
        Route {
            kind: RouteKind::Blackhole,
            priority: Some(u32::MAX),
            protocol: Route::PROTOCOL_PODWIRE,
            ..Route::to(dst)
        }
    }

    /// Adds a route; the first peer to want a destination has it.
    pub fn add_route(&mut self, route: Route) {
        self.routes.entry(RouteKey::of(&route)).or_insert(route);
    }

    /// Adds a blackhole route for each of the own subnets, with the largest metric: the route of a
    /// bridge that owns the subnet, with or without pods, goes before it. (Flannel's has the
    /// smallest, and goes before the bridge's where it was first.)
    pub fn add_blackholes(&mut self, own: &Subnets) {
        for dst in Family::subnets_of(own) {
            self.add_route(Self::blackhole(dst));
        }
    }

    /// Whether packets to `dst` are to vanish where no other route is better.
    pub fn has_blackhole(&self, dst: IpNetwork) -> bool {
        self.routes
            .contains_key(&RouteKey::of(&Self::blackhole(dst)))
    }

    /// Adds a neighbour; `false` when another peer wants another MAC for the address.
    pub fn add_neighbour(&mut self, neighbour: &Neighbour) -> bool {
        let key = (neighbour.link, neighbour.address);
        *self.neighbours.entry(key).or_insert(neighbour.mac) == neighbour.mac
    }

    /// Adds a peer of a WireGuard device, or what more it may send from; `false` when another peer
    /// has its key at another address.
    pub fn add_wireguard_peer(&mut self, link: LinkIndex, peer: WireguardPeer) -> bool {
        match self.wireguard.entry((link, peer.public_key)) {
            Entry::Vacant(place) => {
                place.insert(peer);
                true
            }
            Entry::Occupied(known) if known.get().endpoint == peer.endpoint => {
                known.into_mut().allowed_ips.extend(peer.allowed_ips);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Adds an FDB entry; `false` when another peer wants another endpoint for the MAC.
    pub fn add_fdb(&mut self, entry: &FdbEntry) -> bool {
        *self.fdb.entry((entry.link, entry.mac)).or_insert(entry.dst) == entry.dst
    }
}
