//! What keeps a node from being served.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::{MacAddr, PublicKey};

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
    /// The subnet has host bits, which the kernel refuses.
    HostBits,
    /// It is not in the cluster's network.
    OutsideNetwork(IpNetwork),
    /// It is wider than a node's subnet, whose length this is.
    TooWide(u8),
    /// Its lease lacks an address of this family.
    NoPublicAddress,
    /// Its address is of a kind that no node has.
    BadPublicAddress(IpAddr, &'static str),
    /// This node has that address.
    OwnAddress(IpAddr),
    /// The subnet is, or overlaps, this node's own.
    OverlapsOwn(IpNetwork),
    /// The subnet is, or overlaps, one of a lease that goes before it.
    Overlaps(IpNetwork),
    /// The subnet covers an address that is reached without it: of a node, a router, the store.
    Covers(IpAddr),
    /// Its lease names another backend.
    OtherBackend(String),
    /// Its backend data lack a usable MAC.
    BadBackendData(String),
    /// Its MAC is of a kind that no node has.
    BadMac(MacAddr, &'static str),
    /// This node's device has that MAC.
    OwnMac(MacAddr),
    /// Its address is not on the external interface's links.
    NotOnLink(IpAddr),
    /// Another peer wants the same neighbour address or the same MAC with another value.
    Collision(MacAddr),
    /// This node has that public key.
    OwnKey(PublicKey),
    /// Another peer, at another address, has that public key.
    KeyTaken(PublicKey),
}

impl Reason {
    /// The kind of reason in one word, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::HostBits => "host-bits",
            Self::OutsideNetwork(_) => "outside-network",
            Self::TooWide(_) => "too-wide",
            Self::NoPublicAddress => "no-public-address",
            Self::BadPublicAddress(..) => "bad-public-address",
            Self::OwnAddress(_) => "own-address",
            Self::OverlapsOwn(_) => "overlaps-own",
            Self::Overlaps(_) => "overlaps",
            Self::Covers(_) => "covers",
            Self::OtherBackend(_) => "other-backend",
            Self::BadBackendData(_) => "bad-backend-data",
            Self::BadMac(..) => "bad-mac",
            Self::OwnMac(_) => "own-mac",
            Self::NotOnLink(_) => "not-on-link",
            Self::Collision(_) => "collision",
            Self::OwnKey(_) => "own-key",
            Self::KeyTaken(_) => "key-taken",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HostBits => f.write_str("its subnet has host bits set"),
            Self::OutsideNetwork(network) => write!(f, "it is outside the network {network}"),
            Self::TooWide(length) => write!(f, "it is wider than a node's subnet (/{length})"),
            Self::NoPublicAddress => f.write_str("its lease has no public address of this family"),
            Self::BadPublicAddress(address, kind) => {
                write!(f, "its public address {address} is {kind}")
            }
            Self::OwnAddress(address) => {
                write!(f, "its public address {address} is this node's own")
            }
            Self::OverlapsOwn(own) => write!(f, "it overlaps this node's own subnet {own}"),
            Self::Overlaps(other) => write!(f, "it overlaps {other} of another lease"),
            Self::Covers(address) => write!(
                f,
                "it covers {address}, which must be reached outside the pod network"
            ),
            Self::OtherBackend(other) => write!(f, "its backend is {other:?}"),
            Self::BadBackendData(what) => write!(f, "its backend data are unusable: {what}"),
            Self::BadMac(mac, kind) => write!(f, "its VTEP MAC {mac} is {kind}"),
            Self::OwnMac(mac) => write!(
                f,
                "its VTEP MAC {mac} is this node's own (was the machine cloned? delete the \
                 flannel device of one of them and restart its netd)"
            ),
            Self::NotOnLink(address) => write!(f, "not on-link: next hop {address}"),
            Self::Collision(mac) => {
                write!(f, "another peer has its MAC {mac} or its subnet's address")
            }
            Self::OwnKey(key) => write!(f, "its public key {key} is this node's own"),
            Self::KeyTaken(key) => {
                write!(
                    f,
                    "its public key {key} is another peer's, at another address"
                )
            }
        }
    }
}
