//! What the backends of netd share: a backend is a pure function from the cluster's leases to
//! the kernel objects that this node needs, and netd's reconciler makes the kernel agree.
//!
//! How a backend's peculiarities are told, so that [`Backend`] need not grow with each:
//!
//! - What a device is, is a [`DeviceKind`]; whether it has a MAC follows from that. An ipip or a
//!   wireguard device is a kind without one, and publishes nothing, or a key.
//! - What the node has before it has a device (a private key in a file, what a command printed)
//!   is given to the backend when it is opened: it needs it in [`Backend::devices`], to put it
//!   into the kind, and in [`Backend::lease_data`], to publish its other half.
//! - A device whose packets a process carries (a tun device) is made like any other, and stays when
//!   the process ends.
//! - What a device, or a process, must be told of each peer (keys, endpoints) is wanted like any
//!   object: a further map in [`Wanted`], compared with what the device has, or told to the process
//!   whenever it changes.

mod alloc;
mod device;
mod family;
mod peers;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod underlay;
mod unserved;
mod vetting;
mod wanted;

use std::net::IpAddr;

use cluster::{NetworkConfig, RawJson, Subnets};

pub use alloc::Alloc;
pub use device::{Device, DeviceKind, VxlanDevice, WantedDevice};
pub use family::Family;
pub use peers::{Lease, Peers};
pub use underlay::{NextHop, NextHops, Underlay};
pub use unserved::{Reason, Unserved};
pub use vetting::{PeerSubnet, Vetting};
pub use wanted::{Forwarding, RouteKey, Wanted, WantedAddress};

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

/// What of a peer answers over the overlay, without a pod there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Its end of the tunnel, with the first address of its subnet.
    Tunnels,
    /// The node itself, with its public address: packets go to it as they are.
    Nodes,
    /// Nothing that the backend knows.
    Unknown,
}

/// A backend: what a node publishes, and what it wants from the kernel. Pure.
pub trait Backend {
    /// `Type` in the network config.
    fn name(&self) -> &'static str;

    /// `BackendType` in leases; empty for a backend that publishes none.
    fn lease_type(&self) -> &'static str {
        self.name()
    }

    /// Whether the backend can run this network over this underlay: any over any, unless it says
    /// otherwise.
    ///
    /// # Errors
    /// It cannot; the error says why.
    fn fits(&self, _config: &NetworkConfig, _underlay: &Underlay) -> Result<(), Unfit> {
        Ok(())
    }

    /// Devices that must exist before the lease is taken, since it publishes something of them;
    /// a backend has none unless it says otherwise.
    fn devices(&self, _config: &NetworkConfig, _underlay: &Underlay) -> Vec<WantedDevice> {
        Vec::new()
    }

    /// What of a peer answers: its end of the tunnel, unless the backend says otherwise.
    fn ends(&self) -> Ends {
        Ends::Tunnels
    }

    /// `FLANNEL_MTU`: the largest packet between pods, bytes; without a tunnel the underlay's.
    fn mtu(&self, _config: &NetworkConfig, underlay: &Underlay) -> u32 {
        underlay.mtu
    }

    /// `BackendData` or `BackendV6Data`; none unless the backend says otherwise.
    fn lease_data(&self, _family: Family, _devices: &[Device]) -> Option<RawJson> {
        None
    }

    /// What the others' leases are judged by.
    fn vetting<'a>(
        &'a self,
        family: Family,
        config: &'a NetworkConfig,
        own: &'a Subnets,
        underlay: &'a Underlay,
    ) -> Vetting<'a> {
        Vetting {
            family,
            config,
            lease_type: self.lease_type(),
            own,
            underlay,
        }
    }

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
