//! The network configuration: as written, and as checked for ADD and CHECK.

use std::collections::BTreeSet;

use attach::{
    Identity,
    conf::{self, Args, GSO_MAX_SIZES, IpamConf, MacConf},
    flowtable::Uplinks,
    masquerade::{self, Masquerading},
};
use cni::{Call, Dns};
use kernel::{BridgePort, IfName, MacAddr};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    flood_suppression,
    vlan::Vlans,
    vlan_gateway::{self, VlanGateway},
};

/// The bridge when the configuration names none.
pub(crate) const DEFAULT_BRIDGE: &str = "cni0";
/// VLAN IDs end here (IEEE 802.1Q).
const LAST_VLAN: i64 = 4094;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// Name of the bridge; it is made when missing, and never removed.
    #[schemars(extend("default" = DEFAULT_BRIDGE), length(min = 1, max = 15))]
    pub bridge: Option<String>,
    /// Puts each subnet's gateway address on the bridge and switches forwarding on. Where IPAM
    /// names no gateway it is the subnet's first address.
    pub is_gateway: bool,
    /// As `isGateway`, and the pod gets a default route by the gateway.
    pub is_default_gateway: bool,
    /// An address on the bridge that is in the gateway's way is replaced, not refused.
    pub force_address: bool,
    /// Masquerades what the pod sends out of its subnet; needs IPAM.
    pub ip_masq: bool,
    /// What masquerades: `nftables` or `iptables`; without it nftables where the kernel has it.
    #[schemars(extend("enum" = ["nftables", "iptables"], "x-since" = "1.6.0"))]
    pub ip_masq_backend: Option<String>,
    /// MTU of both ends of the pair, and of the bridge when it is made; 0 is the kernel's
    /// default.
    #[schemars(extend("x-unit" = "bytes", "examples" = [1450]))]
    pub mtu: i64,
    /// BIG TCP: the largest TCP segment of IPv4 that both ends of the pair take at once; 0 is the
    /// kernel's default of 65536, more needs Linux 6.3. Pods that exchange more on one node need
    /// fewer walks through the kernel, but whatever else is on the way must take as much: never
    /// with a tunnel, nor for much traffic through a network card that takes less.
    /// `lab bench net --against` says whether it pays on a machine.
    #[schemars(range(min = 0, max = *GSO_MAX_SIZES.end()), extend("x-unit" = "bytes", "x-since" = "podwire", "examples" = [196_608]))]
    pub gso_max_size: i64,
    /// nftables flowtables: links by which pods' packets leave the node. Established connections between pods and
    /// them bypass the rules of the forward hook as soon as a packet is larger than 4096 bytes: a stream costs a
    /// sixth less, a short connection a twentieth more, and filters, counters and policies that come later do not see
    /// what is taken. Needs `isGateway`, `ipam` and Linux 5.8 with flowtables.
    #[schemars(inner(length(min = 1, max = 15)), extend("x-since" = "podwire", "examples" = [["eth0"]]))]
    pub flowtable_uplinks: Vec<String>,
    /// The bridge sends frames back through the port that they came from, so that a pod reaches
    /// itself by a service's address. Not with `promiscMode`.
    pub hairpin_mode: bool,
    /// The bridge takes every frame. Not with `hairpinMode`.
    pub promisc_mode: bool,
    /// VLAN of the pod's port, untagged towards the pod; 0 is none.
    #[schemars(range(min = 0, max = LAST_VLAN), extend("examples" = [100]))]
    pub vlan: i64,
    /// VLANs that the pod's port passes with their tags.
    #[schemars(extend("x-since" = "1.3.0"))]
    pub vlan_trunk: Option<Vec<VlanTrunk>>,
    /// Keeps the VLAN that the port got when it joined the bridge, beside those of `vlan` and
    /// `vlanTrunk`.
    #[schemars(extend("x-since" = "1.3.0"))]
    pub preserve_default_vlan: bool,
    /// Drops frames of the pod that do not carry its own MAC as their source.
    #[schemars(extend("x-since" = "1.1.0"))]
    pub macspoofchk: bool,
    /// Waits until IPv6 duplicate address detection has passed the pod's addresses.
    #[schemars(extend("x-since" = "1.1.0"))]
    pub enabledad: bool,
    /// Leaves the pod's end down; not with IPAM.
    #[schemars(extend("x-since" = "1.4.1"))]
    pub disable_container_interface: bool,
    /// The pod's port exchanges no frames with other isolated ports.
    #[schemars(extend("x-since" = "1.7.0"))]
    pub port_isolation: bool,
    /// The pod's port gets only what is for the pod: no unknown addresses, no broadcast, no multicast.
    /// The host knows the pod, the bridge answers for it, and the pod reaches other pods through its
    /// gateway alone. Needs `isGateway` and `ipam`.
    #[schemars(extend("x-since" = "podwire"))]
    pub suppress_flooding: bool,
    pub ipam: IpamConf,
    pub dns: Dns,
    pub args: Args,
    pub runtime_config: MacConf,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    pub prev_result: Option<Map<String, Value>>,
}

/// An item of `vlanTrunk`: one ID or a range of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct VlanTrunk {
    /// First ID of a range.
    #[serde(rename = "minID")]
    #[schemars(range(min = 1, max = LAST_VLAN), extend("examples" = [100]))]
    pub min_id: Option<i64>,
    /// Last ID of a range.
    #[serde(rename = "maxID")]
    #[schemars(range(min = 1, max = LAST_VLAN), extend("examples" = [109]))]
    pub max_id: Option<i64>,
    /// One ID.
    #[schemars(range(min = 1, max = LAST_VLAN), extend("examples" = [100]))]
    pub id: Option<i64>,
}

/// What ADD makes and CHECK expects: values that fit together.
#[derive(Debug)]
pub(crate) struct Config {
    pub bridge: IfName,
    pub is_gateway: bool,
    pub is_default_gateway: bool,
    /// Of the pod's port; without any the bridge need not filter.
    pub vlans: Option<Vlans>,
    /// What has the gateway's addresses in place of the bridge.
    pub vlan_gateway: Option<VlanGateway>,
    pub force_address: bool,
    pub masquerading: Option<Masquerading>,
    /// Bytes; the kernel's default if none.
    pub mtu: Option<u32>,
    /// Bytes; the kernel's default if none.
    pub gso_max_size: Option<u32>,
    pub uplinks: Option<Uplinks>,
    pub hairpin: bool,
    pub promisc: bool,
    pub spoof_check: bool,
    pub detect_duplicate_addresses: bool,
    pub disable_container_interface: bool,
    pub isolated: bool,
    pub suppress_flooding: bool,
    pub ipam: IpamConf,
    pub dns: Dns,
    /// Of the container interface; random if none.
    pub mac: Option<MacAddr>,
}

impl NetConf {
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        call.config()
    }

    pub(crate) fn is_gateway(&self) -> bool {
        self.is_gateway || self.is_default_gateway
    }

    pub(crate) fn bridge_name(&self) -> &str {
        self.bridge.as_deref().unwrap_or(DEFAULT_BRIDGE)
    }

    pub(crate) fn masquerading(&self) -> Result<Option<Masquerading>, masquerade::Error> {
        Masquerading::wanted(self.ip_masq, self.ip_masq_backend.as_deref(), &self.ipam)
    }

    /// The VLANs of the pod's port, if any are asked for; an empty trunk asks for a bridge that
    /// filters.
    ///
    /// # Errors
    /// A number that is no VLAN.
    pub(crate) fn vlans(&self) -> Result<Option<Vlans>> {
        let access = u16::try_from(self.vlan).ok();
        let access = access.filter(|vid| i64::from(*vid) <= LAST_VLAN);
        let access = access.ok_or(Error::VlanId(self.vlan))?;
        let mut trunk = BTreeSet::new();
        for item in self.vlan_trunk.iter().flatten() {
            trunk.extend(item.vids()?);
        }
        let vlans = Vlans {
            access: (access != 0).then_some(access),
            trunk,
            preserve_default: self.preserve_default_vlan,
        };
        Ok((access != 0 || self.vlan_trunk.is_some()).then_some(vlans))
    }

    /// What `flowtableUplinks` asks for.
    ///
    /// # Errors
    /// A name that cannot be meant; the bridge is no gateway, so that nothing is forwarded to and from it.
    fn uplinks(&self) -> Result<Option<Uplinks>, cni::Error> {
        let uplinks = Uplinks::read(&self.flowtable_uplinks)?;
        match uplinks.is_some() && (!self.is_gateway() || self.ipam.is_none()) {
            true => Err(Error::FlowtableWithoutGateway.into()),
            false => Ok(uplinks),
        }
    }

    /// Whether the configuration allows for `suppressFlooding`, where that is set.
    ///
    /// # Errors
    /// The first key that is in its way.
    fn can_suppress_flooding(&self) -> Result<()> {
        let obstacles = [
            (
                !self.is_gateway(),
                "needs isGateway: the pod reaches other pods through its gateway",
            ),
            (
                self.ipam.is_none(),
                "needs ipam: the host must know the pod's addresses",
            ),
            (
                self.ipam.is_leased(),
                "does not go with ipam dhcp: the server's broadcasts would not reach the pod",
            ),
            (
                self.vlan != 0,
                "does not go with vlan: the bridge answers for no VLAN whose gateway is a port",
            ),
            (
                self.vlan_trunk.is_some(),
                "does not go with vlanTrunk: the bridge answers for no VLAN whose gateway is a port",
            ),
            (
                self.enabledad,
                "does not go with enabledad: nobody who has the same address would hear the question",
            ),
        ];
        let obstacle = obstacles.into_iter().find(|(there, _)| *there);
        match obstacle.filter(|_| self.suppress_flooding) {
            Some((_, why)) => Err(Error::SuppressFlooding(why)),
            None => Ok(()),
        }
    }
}

impl VlanTrunk {
    /// All that it names, by range and by ID.
    fn vids(&self) -> Result<Vec<u16>> {
        let mut vids = match (self.min_id, self.max_id) {
            (Some(min), max) => {
                let min = vid(min).ok_or(Error::TrunkMinId)?;
                let max = max.map(|max| vid(max).ok_or(Error::TrunkMaxId));
                let max = max.transpose()?.ok_or(Error::TrunkMaxIdMissing)?;
                if min > max {
                    return Err(Error::TrunkOrder);
                }
                (min..=max).collect()
            }
            (None, Some(max)) => {
                vid(max).ok_or(Error::TrunkMaxId)?;
                return Err(Error::TrunkMinIdMissing);
            }
            (None, None) => Vec::new(),
        };
        if let Some(id) = self.id {
            vids.push(vid(id).ok_or(Error::TrunkId)?);
        }
        Ok(vids)
    }
}

/// A VLAN that frames can be tagged with.
fn vid(number: i64) -> Option<u16> {
    let vid = u16::try_from(number).ok();
    vid.filter(|_| (1..=LAST_VLAN).contains(&number))
}

impl Config {
    /// Reads the configuration of an ADD and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type, with an impossible value, or against another; an ADD whose
    /// result the configuration's version could not express.
    pub(crate) fn for_add(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf = NetConf::read(call)?;
        let vlans = conf.vlans()?;
        if conf.disable_container_interface && !conf.ipam.is_none() {
            return Err(Error::IpamOnDisabledInterface.into());
        }
        if conf.hairpin_mode && conf.promisc_mode {
            return Err(Error::HairpinAndPromisc.into());
        }
        conf.can_suppress_flooding()?;
        conf.ipam.is_told(call.version)?;
        Self::resolve(conf, vlans, call)
    }

    /// The flags of the pod's port.
    pub(crate) fn port(&self) -> BridgePort {
        let port = match self.suppress_flooding {
            true => flood_suppression::PORT,
            false => BridgePort::default(),
        };
        BridgePort {
            hairpin: self.hairpin,
            isolated: self.isolated,
            ..port
        }
    }

    /// The container interface's MAC address, if it is not random: with `suppressFlooding` DEL must
    /// know it without the pod and without the result of ADD.
    pub(crate) fn mac_of(&self, identity: Identity<'_>) -> Option<MacAddr> {
        let computed = self.suppress_flooding.then(|| identity.mac());
        self.mac.or(computed)
    }

    pub(crate) fn preserves_default_vlan(&self) -> bool {
        let vlans = self.vlans.as_ref();
        vlans.is_some_and(|vlans| vlans.preserve_default)
    }

    /// What pods are behind where packets are forwarded.
    pub(crate) fn pods_side(&self) -> &IfName {
        let of_vlan = self.vlan_gateway.as_ref();
        of_vlan.map_or(&self.bridge, |gateway| &gateway.name)
    }

    /// The same for a CHECK, where ADD has been through already.
    ///
    /// # Errors
    /// As for ADD.
    pub(crate) fn for_check(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf = NetConf::read(call)?;
        let vlans = conf.vlans()?;
        Self::resolve(conf, vlans, call)
    }

    fn resolve(conf: NetConf, vlans: Option<Vlans>, call: &Call<'_>) -> Result<Self, cni::Error> {
        let mac = conf::requested_mac(call, &conf.runtime_config, &conf.args)?;
        let bridge = bridge_name(conf.bridge_name())?;
        let vlan_gateway = match &vlans {
            Some(vlans) if conf.is_gateway() => vlan_gateway::of(&bridge, vlans)?,
            _ => None,
        };
        let uplinks = conf.uplinks()?;
        if let Some(uplinks) = &uplinks {
            let pods_side = vlan_gateway.as_ref().map(|gateway| &gateway.name);
            let links = [Some(&bridge), pods_side].into_iter().flatten();
            for link in links {
                uplinks.do_not_have(link)?;
            }
        }
        Ok(Self {
            bridge,
            is_gateway: conf.is_gateway(),
            vlans,
            vlan_gateway,
            is_default_gateway: conf.is_default_gateway,
            force_address: conf.force_address,
            masquerading: conf.masquerading().map_err(Error::from)?,
            mtu: conf::veth_mtu(conf.mtu)?,
            gso_max_size: conf::gso_max_size(conf.gso_max_size)?,
            uplinks,
            hairpin: conf.hairpin_mode,
            promisc: conf.promisc_mode,
            spoof_check: conf.macspoofchk,
            detect_duplicate_addresses: conf.enabledad,
            disable_container_interface: conf.disable_container_interface,
            isolated: conf.port_isolation,
            suppress_flooding: conf.suppress_flooding,
            mac,
            ipam: conf.ipam,
            dns: conf.dns,
        })
    }
}

/// The kernel's answers to names that it would refuse.
pub(crate) fn bridge_name(name: &str) -> Result<IfName> {
    name.parse().map_err(|_| Error::BridgeName {
        name: name.to_owned(),
        reason: match name.len() {
            0 => "LinkAttrs.Name cannot be empty",
            1..=15 => "invalid argument",
            _ => "numerical result out of range",
        },
    })
}

#[cfg(test)]
mod tests;
