//! The backend `ipip`, which joins the nodes by tunnels of IPv4 in IPv4 (RFC 2003): from leases to
//! kernel objects. One device has the tunnels to all nodes; the route to a peer's subnet says
//! through which: its next hop is the peer's public address, the outer destination.

use backend::{
    Backend, Device, DeviceKind, Family, PeerSubnet, Peers, Underlay, Wanted, WantedDevice,
};
use cluster::{IPIP_DEVICE, IpipOptions, NetworkConfig, Subnets};
use kernel::{IfName, IfNameError, Route};

/// Bytes that the tunnel adds to a packet: the outer IPv4 header.
pub const OVERHEAD: u32 = 20;

/// The backend with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipip {
    options: IpipOptions,
    device: IfName,
}

impl Ipip {
    /// The backend with these options.
    ///
    /// # Errors
    /// The device's name is none, which does not happen.
    pub fn new(options: IpipOptions) -> Result<Self, IfNameError> {
        Ok(Self {
            options,
            device: IPIP_DEVICE.parse()?,
        })
    }

    /// Through the tunnel to the peer, or, with `DirectRouting`, to a peer without a router in
    /// between, past it. As flannel's both are on-link: the kernel need not know the way to the next
    /// hop.
    fn route(&self, peer: &PeerSubnet<'_>, underlay: &Underlay, device: &Device) -> Route {
        let direct = underlay.routes.direct(peer.public_ip);
        let direct = direct.filter(|_| self.options.direct_routing);
        let link = direct.unwrap_or(device.link);
        Wanted::route(peer.subnet, peer.public_ip, link, true)
    }
}

impl Backend for Ipip {
    fn name(&self) -> &'static str {
        "ipip"
    }

    fn devices(&self, config: &NetworkConfig, underlay: &Underlay) -> Vec<WantedDevice> {
        let device = underlay.address.map(|local| WantedDevice {
            families: vec![Family::V4],
            name: self.device.clone(),
            mtu: self.mtu(config, underlay),
            kind: DeviceKind::Ipip(local),
        });
        device.into_iter().collect()
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
        let vetting = |family| self.vetting(family, config, own, underlay);
        Wanted::carried(devices, peers, vetting, |wanted, peer, device| {
            wanted.add_route(self.route(&peer, underlay, device));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
