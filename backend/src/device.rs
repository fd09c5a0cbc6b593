//! Devices: as a backend wants them, and as they are.

use std::net::{IpAddr, Ipv4Addr};

use kernel::{IfName, LinkIndex, MacAddr, PublicKey, WireguardSettings};

use crate::Family;

/// A device that a backend wants. netd finds it by its name, adopts it where it fits, makes it
/// anew where it does not, and keeps it up, with this MTU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedDevice {
    /// Whose traffic it carries: one family's, or that of both.
    pub families: Vec<Family>,
    /// Its name.
    pub name: IfName,
    /// The largest packet that it takes, bytes.
    pub mtu: u32,
    /// What it is.
    pub kind: DeviceKind,
}

/// What a device is: what it is made from, and what an existing one is compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A VXLAN tunnel end.
    Vxlan(VxlanDevice),
    /// A WireGuard tunnel end, with its key and port.
    Wireguard(WireguardSettings),
    /// An end of all tunnels of IPv4 in IPv4 from this address; to which other, a route says.
    Ipip(Ipv4Addr),
    /// A tun device, whose packets a program carries.
    Tun,
}

/// A VXLAN tunnel end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VxlanDevice {
    /// As it is created.
    pub tunnel: kernel::Vxlan,
    /// The public address: an existing device may have it as `local`, as newer flanneld
    /// versions create theirs.
    pub other_local: Option<IpAddr>,
    /// Whether packets get their checksums from the link below, and not from the kernel; as it is,
    /// where nothing is said.
    pub checksum_offload: Option<bool>,
}

impl DeviceKind {
    /// Whether it has a MAC: netd gives it the one that the node has published, and a random one
    /// when it makes it for the first time.
    pub fn has_mac(&self) -> bool {
        match self {
            Self::Vxlan(_) => true,
            Self::Wireguard(_) => false,
            Self::Ipip(_) => false,
            Self::Tun => false,
        }
    }
}

/// A device that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose traffic it carries.
    pub families: Vec<Family>,
    /// Its name.
    pub name: IfName,
    /// Its index.
    pub link: LinkIndex,
    /// Its MAC, if it is of a kind that has one.
    pub mac: Option<MacAddr>,
    /// Its public key, if it is of a kind that has one.
    pub public_key: Option<PublicKey>,
    /// Its MTU, bytes; the kernel may cap what was asked for.
    pub mtu: u32,
    /// Whether packets get their checksums from the link below, where netd cares for that.
    pub checksum_offload: Option<bool>,
}

impl Device {
    /// The one among `devices` that carries the traffic of `family`.
    pub fn of(devices: &[Self], family: Family) -> Option<&Self> {
        devices
            .iter()
            .find(|device| device.families.contains(&family))
    }
}
