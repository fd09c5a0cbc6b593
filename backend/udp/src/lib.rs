//! The backend `udp`, which joins the nodes without help of the kernel's but a tun device: a program reads
//! the packets that the kernel sends there, and sends each in a UDP datagram to the node whose subnet it
//! is for. From leases to kernel objects, and to what that program is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use backend::{
    Backend, Device, DeviceKind, Family, Forwarding, Peers, Underlay, Wanted, WantedDevice,
};
use cluster::{NetworkConfig, Subnets, UDP_DEVICE, UdpOptions};
use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{IfName, IfNameError, Route};

/// Bytes that go before a packet: the outer headers of IPv4 and UDP.
pub const OVERHEAD: u32 = 28;

/// The backend with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udp {
    options: UdpOptions,
    device: IfName,
}

impl Udp {
    /// The backend with these options.
    ///
    /// # Errors
    /// The device's name is none, which does not happen.
    pub fn new(options: UdpOptions) -> Result<Self, IfNameError> {
        Ok(Self {
            options,
            device: UDP_DEVICE.parse()?,
        })
    }

    fn forwarding(
        &self,
        own: Ipv4Network,
        local: Ipv4Addr,
        device: &Device,
        peers: BTreeMap<Ipv4Network, Ipv4Addr>,
    ) -> Forwarding {
        Forwarding {
            device: device.name.clone(),
            link: device.link,
            local: SocketAddrV4::new(local, self.options.port),
            own,
            peers,
        }
    }
}

/// As flannel's: to the whole network, with no next hop, and in the scope of routers.
fn route(network: IpNetwork, device: &Device) -> Route {
    Route {
        link: Some(device.link),
        protocol: Route::PROTOCOL_PODWIRE,
        ..Route::to(network)
    }
}

impl Backend for Udp {
    fn name(&self) -> &'static str {
        "udp"
    }

    /// As flannel's.
    fn lease_type(&self) -> &'static str {
        ""
    }

    fn devices(&self, config: &NetworkConfig, underlay: &Underlay) -> Vec<WantedDevice> {
        let device = WantedDevice {
            families: vec![Family::V4],
            name: self.device.clone(),
            mtu: self.mtu(config, underlay),
            kind: DeviceKind::Tun,
        };
        vec![device]
    }

    fn mtu(&self, _config: &NetworkConfig, underlay: &Underlay) -> u32 {
        underlay.mtu.saturating_sub(OVERHEAD)
    }

    fn wanted(
        &self,
        config: &NetworkConfig,
        own: &Subnets,
        peers: &Peers,
        underlay: &Underlay,
        devices: &[Device],
    ) -> Wanted {
        let mut nodes = BTreeMap::new();
        let vetting = |family| self.vetting(family, config, own, underlay);
        let mut wanted = Wanted::carried(devices, peers, vetting, |_, peer, _| {
            if let (IpNetwork::V4(subnet), IpAddr::V4(address)) = (peer.subnet, peer.public_ip) {
                nodes.insert(subnet, address);
            }
            Ok(())
        });
        let Some(device) = Device::of(devices, Family::V4) else {
            return wanted;
        };
        if let Some(network) = Family::V4.network(config) {
            wanted.add_route(route(network, device));
        }
        if let (Some(own), Some(local)) = (own.v4, underlay.address) {
            wanted.forwarding = Some(self.forwarding(own, local, device, nodes));
        }
        wanted
    }
}

#[cfg(test)]
mod tests;
