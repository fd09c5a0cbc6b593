//! The backend `vxlan`, which joins the nodes by one VXLAN device per address family: from leases
//! to kernel objects. A peer needs three: a route to its subnet through the
//! subnet's own address, that address' MAC (a permanent neighbour), and the node behind the
//! MAC (an FDB entry).

use std::collections::BTreeMap;

use backend::{
    Backend, Device, DeviceKind, Family, PeerSubnet, Peers, Reason, Underlay, VxlanDevice, Wanted,
    WantedDevice,
};
use cluster::{
    BackendError, NetworkConfig, RawJson, Subnets, VXLAN_OVERHEAD, VtepData, VxlanOptions,
};
use kernel::{FdbEntry, IfName, MacAddr, Neighbour};

/// The backend with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vxlan {
    options: VxlanOptions,
    checksum_offload: ChecksumOffload,
    /// Of the families that the cluster has.
    names: BTreeMap<Family, IfName>,
}

/// Who computes the checksums of packets in the tunnel. What is left to a network card may come out
/// wrong, above all where somebody translates the tunnel's addresses on the way; the peer drops such
/// packets without a word (flannel-compat 8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumOffload {
    /// The kernel where the published address is not the interface's own, so that packets pass a
    /// NAT; elsewhere it is left as it is.
    #[default]
    Auto,
    /// The link below.
    On,
    /// The kernel.
    Off,
}

/// Why the backend's options are refused.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// As the network config says.
    #[error(transparent)]
    Options(#[from] BackendError),
    /// The device's name does not fit.
    #[error("VNI {0} gives a device name that is too long")]
    Name(u32),
}

impl Vxlan {
    /// Reads the options of the network config.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn new(config: &NetworkConfig) -> Result<Self, OptionsError> {
        let options = VxlanOptions::parse(&config.backend, config.v6.is_some())?;
        let vni = options.vni;
        let names = Family::enabled_in(config).map(|family| {
            let name = cluster::vxlan_device(vni, family == Family::V6).parse();
            Ok((family, name.map_err(|_| OptionsError::Name(vni))?))
        });
        Ok(Self {
            options,
            checksum_offload: ChecksumOffload::default(),
            names: names.collect::<Result<_, OptionsError>>()?,
        })
    }

    /// The same, with another choice of who computes checksums.
    #[must_use]
    pub fn with_checksum_offload(self, checksum_offload: ChecksumOffload) -> Self {
        Self {
            checksum_offload,
            ..self
        }
    }

    /// MTU of a family's device: as configured, and never more than the underlay carries.
    fn device_mtu(&self, family: Family, underlay: &Underlay) -> u32 {
        let [over_v4, over_v6] = VXLAN_OVERHEAD;
        let overhead = match family {
            Family::V4 => over_v4,
            Family::V6 => over_v6,
        };
        let configured = self
            .options
            .mtu
            .unwrap_or(underlay.mtu)
            .saturating_sub(over_v4);
        configured.min(underlay.mtu.saturating_sub(overhead))
    }

    fn wanted_device(&self, family: Family, name: &IfName, underlay: &Underlay) -> WantedDevice {
        let local = underlay.local(family);
        let tunnel = kernel::Vxlan {
            vni: self.options.vni,
            port: self.options.port,
            lower: Some(underlay.link),
            local,
            learning: self.options.learning,
            gbp: self.options.gbp,
            l2miss: false,
            group: None,
        };
        let other_local = underlay.public(family).filter(|it| Some(*it) != local);
        let checksum_offload = match self.checksum_offload {
            ChecksumOffload::Auto => other_local.map(|_nat| false),
            ChecksumOffload::On => Some(true),
            ChecksumOffload::Off => Some(false),
        };
        WantedDevice {
            families: vec![family],
            name: name.clone(),
            mtu: self.device_mtu(family, underlay),
            kind: DeviceKind::Vxlan(VxlanDevice {
                tunnel,
                other_local,
                checksum_offload,
            }),
        }
    }

    /// Adds one peer's objects of one family.
    fn add_peer(
        &self,
        wanted: &mut Wanted,
        peer: PeerSubnet<'_>,
        underlay: &Underlay,
        device: &Device,
    ) -> Result<(), Reason> {
        let data = match Family::of(peer.subnet.ip()) {
            Family::V4 => peer.attrs.backend_data.as_ref(),
            Family::V6 => peer.attrs.backend_v6_data.as_ref(),
        };
        let mac = vtep_mac(data, device)?;
        let direct = underlay.routes.direct(peer.public_ip);
        if let Some(link) = direct.filter(|_| self.options.direct_routing) {
            wanted.add_route(Wanted::route(peer.subnet, peer.public_ip, link, false));
            return Ok(());
        }
        let gateway = peer.subnet.network();
        let device = device.link;
        let neighbour = Neighbour {
            link: device,
            address: gateway,
            mac,
        };
        let fdb = FdbEntry {
            link: device,
            mac,
            dst: peer.public_ip,
        };
        if !wanted.add_fdb(&fdb) || !wanted.add_neighbour(&neighbour) {
            return Err(Reason::Collision(mac));
        }
        wanted.add_route(Wanted::route(peer.subnet, gateway, device, true));
        Ok(())
    }
}

/// The MAC that a peer publishes, if frames can be sent to it.
fn vtep_mac(data: Option<&RawJson>, device: &Device) -> Result<MacAddr, Reason> {
    let data = data.ok_or_else(|| Reason::BadBackendData("there are none".to_owned()))?;
    let mac = match VtepData::parse(data) {
        Ok(data) => MacAddr(data.mac),
        Err(error) => return Err(Reason::BadBackendData(error.to_string())),
    };
    match mac {
        MacAddr([0, 0, 0, 0, 0, 0]) => Err(Reason::BadMac(mac, "zero")),
        MacAddr([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => {
            Err(Reason::BadMac(mac, "the broadcast address"))
        }
        MacAddr([first, ..]) if first & 1 == 1 => Err(Reason::BadMac(mac, "a multicast address")),
        mac if Some(mac) == device.mac => Err(Reason::OwnMac(mac)),
        mac => Ok(mac),
    }
}

/// The published VNI is informational, and peers up to flannel 0.20 read 16 bits of it and
/// skip a lease with more: the low 16 bits, as those versions publish.
fn published_vni(vni: u32) -> u32 {
    vni % (1 << 16)
}

impl Backend for Vxlan {
    fn name(&self) -> &'static str {
        "vxlan"
    }

    fn devices(&self, _config: &NetworkConfig, underlay: &Underlay) -> Vec<WantedDevice> {
        self.names
            .iter()
            .map(|(family, name)| self.wanted_device(*family, name, underlay))
            .collect()
    }

    /// The smaller of both families' devices: pods have one MTU, and what is larger than the device
    /// vanishes. (flannel writes the IPv4 device's, the larger one.)
    fn mtu(&self, config: &NetworkConfig, underlay: &Underlay) -> u32 {
        let enabled = Family::enabled_in(config);
        let mtus = enabled.map(|family| self.device_mtu(family, underlay));
        mtus.min().unwrap_or(underlay.mtu)
    }

    fn lease_data(&self, family: Family, devices: &[Device]) -> Option<RawJson> {
        let mac = Device::of(devices, family)?.mac?.0;
        let vni = Some(published_vni(self.options.vni));
        Some(VtepData { vni, mac }.to_json())
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
            self.add_peer(wanted, peer, underlay, device)
        })
    }
}

#[cfg(test)]
mod tests;
