//! The backend `wireguard`, which joins the nodes by encrypted tunnels: one WireGuard device per
//! address family, or one for both. From leases to kernel objects: a route to the whole network
//! through the device, and a peer of the device for each node, by its public key.

mod endpoint;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use backend::{
    Backend, Device, DeviceKind, Family, PeerSubnet, Peers, Reason, Underlay, Wanted, WantedDevice,
};
use cluster::{
    LeaseAttrs, NetworkConfig, RawJson, Subnets, WIREGUARD_OVERHEAD, WireguardData,
    WireguardOptions,
};
use kernel::{IfName, IfNameError, PublicKey, Secret, WireguardPeer, WireguardSettings};

/// The backend with its options and this node's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wireguard {
    options: WireguardOptions,
    private_key: Secret,
    preshared_key: Option<Secret>,
    /// Of the devices, each with the families that it carries.
    devices: Vec<(IfName, Vec<Family>)>,
}

impl Wireguard {
    /// The backend of a node whose private key is read already.
    ///
    /// # Errors
    /// A device's name is none, which does not happen.
    pub fn new(
        config: &NetworkConfig,
        options: WireguardOptions,
        private_key: Secret,
    ) -> Result<Self, IfNameError> {
        let enabled = Family::enabled_in(config);
        let devices = match options.is_single() {
            true => vec![(device_name(Family::V4)?, enabled.collect())],
            false => enabled
                .map(|family| Ok((device_name(family)?, vec![family])))
                .collect::<Result<_, _>>()?,
        };
        let preshared_key = options.psk.as_ref().map(cluster::Psk::reveal);
        Ok(Self {
            options,
            private_key,
            preshared_key: preshared_key.map(Secret::preshared_key),
            devices,
        })
    }

    /// What flannel subtracts, and never more than the underlay carries.
    fn device_mtu(&self, underlay: &Underlay) -> u32 {
        let carried = self.options.mtu.unwrap_or(underlay.mtu).min(underlay.mtu);
        carried.saturating_sub(WIREGUARD_OVERHEAD)
    }

    fn port(&self, family: Family) -> u16 {
        self.options.port(family == Family::V6)
    }

    /// Adds one peer of a device, or what one that is there already may send from too.
    fn add_peer(
        &self,
        wanted: &mut Wanted,
        peer: PeerSubnet<'_>,
        underlay: &Underlay,
        device: &Device,
    ) -> Result<(), Reason> {
        let family = Family::of(peer.subnet.ip());
        let data = read(self.data(family, peer.attrs))?;
        let public_key = PublicKey(data.public_key);
        if device.public_key == Some(public_key) {
            return Err(Reason::OwnKey(public_key));
        }
        let peer = WireguardPeer {
            public_key,
            preshared_key: self.preshared_key.clone(),
            endpoint: Some(self.endpoint(family, &peer, underlay)?),
            keepalive: self.options.keepalive,
            allowed_ips: BTreeSet::from([peer.subnet]),
        };
        match wanted.add_wireguard_peer(device.link, peer) {
            true => Ok(()),
            false => Err(Reason::KeyTaken(public_key)),
        }
    }

    /// The data that hold the key: of the family, or, where one device carries both, of IPv6 if
    /// there are any.
    fn data<'a>(&self, family: Family, attrs: &'a LeaseAttrs) -> Option<&'a RawJson> {
        let (v4, v6) = (attrs.backend_data.as_ref(), attrs.backend_v6_data.as_ref());
        match (self.options.is_single(), family) {
            (false, Family::V4) => v4,
            (false, Family::V6) => v6,
            (true, _) => v6.filter(|_| self.carries(Family::V6)).or(v4),
        }
    }

    fn carries(&self, family: Family) -> bool {
        self.devices
            .iter()
            .any(|(_, families)| families.contains(&family))
    }

    fn endpoint(
        &self,
        family: Family,
        peer: &PeerSubnet<'_>,
        underlay: &Underlay,
    ) -> Result<SocketAddr, Reason> {
        if !self.options.is_single() {
            let data = read(self.data(family, peer.attrs))?;
            let port = data.port.unwrap_or(self.port(family));
            return Ok(SocketAddr::new(peer.public_ip, port));
        }
        let address = endpoint::choose(self.options.mode, peer.attrs, underlay);
        let port = self.single_port(peer.attrs);
        address
            .map(|address| SocketAddr::new(address, port))
            .ok_or(Reason::NoPublicAddress)
    }

    /// Where a peer with one device listens: flannel's publishes that port with its IPv4 data, and
    /// with those of IPv6 the one that a second device would have.
    fn single_port(&self, attrs: &LeaseAttrs) -> u16 {
        let published = [&attrs.backend_data, &attrs.backend_v6_data];
        let mut ports = published
            .into_iter()
            .flatten()
            .filter_map(|data| WireguardData::parse(data).ok()?.port);
        ports.next().unwrap_or(self.options.listen_port)
    }
}

fn device_name(family: Family) -> Result<IfName, IfNameError> {
    cluster::wireguard_device(family == Family::V6).parse()
}

fn read(data: Option<&RawJson>) -> Result<WireguardData, Reason> {
    let data = data.ok_or_else(|| Reason::BadBackendData("there are none".to_owned()))?;
    WireguardData::parse(data).map_err(|error| Reason::BadBackendData(error.to_string()))
}

impl Backend for Wireguard {
    fn name(&self) -> &'static str {
        "wireguard"
    }

    fn devices(&self, _config: &NetworkConfig, underlay: &Underlay) -> Vec<WantedDevice> {
        let device = |(name, families): &(IfName, Vec<Family>)| {
            let separate_v6 = families.as_slice() == [Family::V6];
            WantedDevice {
                families: families.clone(),
                name: name.clone(),
                mtu: self.device_mtu(underlay),
                kind: DeviceKind::Wireguard(WireguardSettings {
                    private_key: self.private_key.clone(),
                    listen_port: self.options.port(separate_v6),
                }),
            }
        };
        self.devices.iter().map(device).collect()
    }

    fn mtu(&self, _config: &NetworkConfig, underlay: &Underlay) -> u32 {
        self.device_mtu(underlay)
    }

    fn lease_data(&self, family: Family, devices: &[Device]) -> Option<RawJson> {
        let PublicKey(public_key) = Device::of(devices, family)?.public_key?;
        let port = Some(self.port(family));
        Some(WireguardData { public_key, port }.to_json())
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
        let mut wanted = Wanted::carried(devices, peers, vetting, |wanted, peer, device| {
            self.add_peer(wanted, peer, underlay, device)
        });
        for device in devices {
            let families = device.families.iter();
            for network in families.filter_map(|family| family.network(config)) {
                wanted.add_route(Wanted::device_route(network, device.link));
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests;
