//! What a backend wants from the kernel, as values: backends are pure functions from leases
//! to these, and netd's reconciler makes the kernel agree.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cluster::{LeaseAttrs, NetworkConfig, RawJson, Subnets};
use ipnetwork::IpNetwork;
use kernel::{FdbEntry, IfName, LinkIndex, MacAddr, Neighbour, NewVxlan, Route};

use crate::underlay::Underlay;

/// IPv4 or IPv6; everything a backend does, it does per family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
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

/// The other nodes' leases.
pub type Peers = BTreeMap<Subnets, Arc<LeaseAttrs>>;

/// A device that a backend wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedDevice {
    /// Which family's traffic it carries.
    pub family: Family,
    /// How it is created. The MAC applies to a device that does not exist yet.
    pub new: NewVxlan,
    /// The public address: an existing device may have it as `local`, as newer flanneld
    /// versions create theirs.
    pub other_local: Option<IpAddr>,
}

/// A device that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which family's traffic it carries.
    pub family: Family,
    /// Its name.
    pub name: IfName,
    /// Its index.
    pub link: LinkIndex,
    /// Its MAC, which the node publishes.
    pub mac: MacAddr,
    /// Its MTU, bytes; the kernel may cap what was asked for.
    pub mtu: u32,
}

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

/// A peer that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unserved {
    /// The peer's subnet.
    pub subnet: IpNetwork,
    /// Why.
    pub reason: Reason,
}

/// Why a peer cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its lease names another backend.
    OtherBackend(String),
    /// Its lease lacks an address of this family.
    NoPublicAddress,
    /// Its backend data lack a usable MAC.
    BadBackendData(String),
    /// Its address is not on the external interface's links.
    NotOnLink(IpAddr),
    /// The subnet has host bits, which the kernel refuses.
    HostBits,
    /// It has this node's own subnet or public address.
    Own,
    /// Another peer wants the same neighbour address or the same MAC with another value.
    Collision(MacAddr),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherBackend(other) => write!(f, "its backend is {other:?}"),
            Self::NoPublicAddress => f.write_str("its lease has no public address of this family"),
            Self::BadBackendData(what) => write!(f, "its backend data are unusable: {what}"),
            Self::NotOnLink(address) => write!(f, "not on-link: next hop {address}"),
            Self::HostBits => f.write_str("its subnet has host bits set"),
            Self::Own => f.write_str("it has this node's own subnet or public address"),
            Self::Collision(mac) => {
                write!(f, "another peer has its MAC {mac} or its subnet's address")
            }
        }
    }
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
    /// Peers that get nothing, and why.
    pub unserved: Vec<Unserved>,
}

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

    /// Adds a route; the first peer to want a destination has it.
    pub fn add_route(&mut self, route: Route) {
        self.routes.entry(RouteKey::of(&route)).or_insert(route);
    }

    /// Adds a neighbour; `false` when another peer wants another MAC for the address.
    pub fn add_neighbour(&mut self, neighbour: &Neighbour) -> bool {
        let key = (neighbour.link, neighbour.address);
        *self.neighbours.entry(key).or_insert(neighbour.mac) == neighbour.mac
    }

    /// Adds an FDB entry; `false` when another peer wants another endpoint for the MAC.
    pub fn add_fdb(&mut self, entry: &FdbEntry) -> bool {
        *self.fdb.entry((entry.link, entry.mac)).or_insert(entry.dst) == entry.dst
    }
}

/// Why a backend cannot run on this node.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    /// host-gw hands packets to the public address itself.
    #[error(
        "the public address {public} is not the external interface's {local}: \
         host-gw does not work through NAT; leave the public address out, or use vxlan"
    )]
    Nat {
        /// The advertised address.
        public: IpAddr,
        /// The interface's own.
        local: IpAddr,
    },
}

/// A backend: what a node publishes, and what it wants from the kernel. Pure.
pub trait Backend {
    /// `BackendType` in leases.
    fn name(&self) -> &'static str;

    /// Whether the backend can run over this underlay.
    ///
    /// # Errors
    /// It cannot; the error says why.
    fn fits(&self, underlay: &Underlay) -> Result<(), Unfit>;

    /// Devices that must exist before the lease is taken, since it publishes their MAC.
    /// `mac` gives the MAC for a device that has to be created.
    fn devices(
        &self,
        config: &NetworkConfig,
        underlay: &Underlay,
        mac: &dyn Fn(Family) -> MacAddr,
    ) -> Vec<WantedDevice>;

    /// `FLANNEL_MTU`: the largest packet between pods, bytes.
    fn mtu(&self, config: &NetworkConfig, underlay: &Underlay) -> u32;

    /// `BackendData` or `BackendV6Data`.
    fn lease_data(&self, family: Family, devices: &[Device]) -> Option<RawJson>;

    /// The kernel objects for the own lease and the peers'.
    fn wanted(
        &self,
        config: &NetworkConfig,
        own: &Subnets,
        peers: &Peers,
        underlay: &Underlay,
        devices: &[Device],
    ) -> Wanted;
}

/// A peer's subnet in one family, with what every backend needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSubnet {
    /// The subnet.
    pub subnet: IpNetwork,
    /// The node's public address.
    pub public_ip: IpAddr,
}

/// A peer's part in `family` for the backend `name`: `None` when it has no subnet of that
/// family, the reason when it has one that cannot be served.
pub fn peer_subnet(
    family: Family,
    name: &str,
    own: &Subnets,
    underlay: &Underlay,
    (subnets, attrs): (&Subnets, &LeaseAttrs),
) -> Option<Result<PeerSubnet, Unserved>> {
    let subnet = family.subnet(subnets)?;
    let unserved = |reason| Some(Err(Unserved { subnet, reason }));
    let public_ip = family.public_ip(attrs);
    if family.subnet(own) == Some(subnet)
        || (public_ip.is_some() && public_ip == underlay.public(family))
    {
        return unserved(Reason::Own);
    }
    if attrs.backend_type != name {
        return unserved(Reason::OtherBackend(attrs.backend_type.to_string()));
    }
    if subnet.ip() != subnet.network() {
        return unserved(Reason::HostBits);
    }
    match public_ip {
        Some(public_ip) => Some(Ok(PeerSubnet { subnet, public_ip })),
        None => unserved(Reason::NoPublicAddress),
    }
}
