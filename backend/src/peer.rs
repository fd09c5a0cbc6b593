//! The other nodes, and what keeps one of them from being served.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cluster::{LeaseAttrs, Subnets};
use ipnetwork::IpNetwork;
use kernel::MacAddr;

use crate::{Family, Underlay};

/// The other nodes' leases.
pub type Peers = BTreeMap<Subnets, Arc<LeaseAttrs>>;

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
