//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::check::{Checking, differing_mac, have_gso_max_size, own_addresses};
use cni::{Attachment, Call, Interface, IpConfig};
use kernel::{BridgePort, Link, LinkKind};

use crate::{
    config::Config,
    device,
    error::Error,
    flood_suppression::Known,
    gateway, spoof_check,
    vlan_gateway::{self, VlanGateway},
};

/// A difference that only a bridge can have, in the words of the reference plugin where it looks at
/// it.
#[derive(Debug, thiserror::Error)]
enum Mismatch {
    #[error("Interface name missing ")]
    NoName,
    #[error("Interface {0} does not have link type of bridge")]
    NotABridge(String),
    #[error("Bridge interface {name} Mac doesn't match: {mac}")]
    BridgeMac { name: String, mac: String },
    #[error(
        "Bridge interface {name} configured Promisc Mode {wanted} doesn't match current state: \
         {seen} "
    )]
    Promisc {
        name: String,
        wanted: bool,
        seen: bool,
    },
    #[error("CNI veth created for bridge {0} was not found")]
    NoHostVeth(String),
    #[error("Bridge interface {0} does not filter VLANs: vlan_filtering is 0")]
    NotFiltering(String),
    #[error("Interface {name} Mac doesn't match: {mac} not found")]
    GatewayMac { name: String, mac: String },
    #[error("Bridge interface {0} is down")]
    BridgeDown(String),
    #[error(
        "Port {name} of bridge {bridge}: configured {flag} {wanted} doesn't match current state: {seen}"
    )]
    PortFlag {
        name: String,
        bridge: String,
        flag: &'static str,
        wanted: bool,
        seen: bool,
    },
}

impl From<Mismatch> for cni::Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::internal(mismatch)
    }
}

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::for_check(call)?;
    let checking = Checking::start(call, attachment, &config.ipam)?;
    let bridge = check_bridge(&checking, &config)?;
    let end = checking.pod_end()?;
    let port = checking.host_end(&end, Some(bridge.index), config.mtu)?;
    let port = port.ok_or_else(|| Mismatch::NoHostVeth(bridge.name.to_string()))?;
    have_gso_max_size([&port, &end], config.gso_max_size)?;
    check_flags(&config, &bridge, &port)?;
    check_vlans(&checking, &config, &bridge, &port)?;
    check_flood_suppression(&checking, &config, &bridge, &port, &end)?;
    check_gateway(&checking, &config, bridge)?;
    checking.addresses_and_routes(&end)?;
    checking.masquerading(config.masquerading)?;
    checking.flowtable(config.uplinks.as_ref(), config.pods_side())?;
    check_spoofing(&checking, &config, &port, &end)
}

fn check_bridge(checking: &Checking<'_>, config: &Config) -> Result<Link, cni::Error> {
    let name = config.bridge.to_string();
    let mut recorded = checking.added.interfaces.iter();
    let recorded = recorded.find(|interface| interface.name == name);
    let recorded = recorded.ok_or(Mismatch::NoName)?;
    let link = checking.on_host(recorded)?;
    if !matches!(link.kind, LinkKind::Bridge { .. }) {
        return Err(Mismatch::NotABridge(name).into());
    }
    if !link.up {
        return Err(Mismatch::BridgeDown(name).into());
    }
    // A bridge whose VLANs have gateways of their own has no address, and the reference plugin leaves
    // it the MAC address of its lowest port.
    let is_gateway = config.vlan_gateway.is_none();
    if let Some(mac) = differing_mac(recorded, &link).filter(|_| is_gateway) {
        let mac = mac.to_owned();
        return Err(Mismatch::BridgeMac { name, mac }.into());
    }
    if link.promisc != config.promisc {
        return Err(Mismatch::Promisc {
            name,
            wanted: config.promisc,
            seen: link.promisc,
        }
        .into());
    }
    Ok(link)
}

fn check_flags(config: &Config, bridge: &Link, port: &Link) -> Result<(), Mismatch> {
    let (wanted, seen) = (config.port(), port.port.unwrap_or_default());
    for (flag, wanted, seen) in [
        ("hairpin mode", wanted.hairpin, seen.hairpin),
        ("isolation", wanted.isolated, seen.isolated),
    ]
    .into_iter()
    .chain(flags_of_floods(config, wanted, seen))
    {
        if wanted != seen {
            let (name, bridge) = (port.name.to_string(), bridge.name.to_string());
            return Err(Mismatch::PortFlag {
                name,
                bridge,
                flag,
                wanted,
                seen,
            });
        }
    }
    Ok(())
}

/// Without the option they are whatever the operator makes of them.
fn flags_of_floods(
    config: &Config,
    wanted: BridgePort,
    seen: BridgePort,
) -> impl Iterator<Item = (&'static str, bool, bool)> {
    let flags = [
        ("flood", wanted.flood, seen.flood),
        ("mcast_flood", wanted.mcast_flood, seen.mcast_flood),
        ("bcast_flood", wanted.bcast_flood, seen.bcast_flood),
        ("neigh_suppress", wanted.neigh_suppress, seen.neigh_suppress),
    ];
    let checked = config.suppress_flooding;
    flags.into_iter().filter(move |_| checked)
}

fn check_flood_suppression(
    checking: &Checking<'_>,
    config: &Config,
    bridge: &Link,
    port: &Link,
    end: &Link,
) -> Result<(), cni::Error> {
    match end.mac {
        Some(mac) if config.suppress_flooding => {
            let own = own_addresses(end.name.as_str(), &checking.added);
            let ips: Vec<IpConfig> = own.cloned().collect();
            let known = Known {
                bridge,
                port,
                mac,
                ips: &ips,
            };
            known.check(&checking.host)
        }
        _ => Ok(()),
    }
}

/// The port's VLANs, and that the bridge separates them.
fn check_vlans(
    checking: &Checking<'_>,
    config: &Config,
    bridge: &Link,
    port: &Link,
) -> Result<(), cni::Error> {
    let Some(vlans) = &config.vlans else {
        return Ok(());
    };
    if !device::filters(bridge) {
        return Err(Mismatch::NotFiltering(bridge.name.to_string()).into());
    }
    vlans.check(&checking.host, port)
}

/// The gateway's addresses, on the bridge or on the link of the VLAN.
fn check_gateway(checking: &Checking<'_>, config: &Config, bridge: Link) -> Result<(), cni::Error> {
    if !config.is_gateway || checking.added.ips.is_empty() {
        return Ok(());
    }
    let link = match &config.vlan_gateway {
        None => bridge,
        Some(gateway) => vlan_gateway(checking, config, &bridge, gateway)?,
    };
    checking.gateways(&link, &gateway::addresses(&checking.added.ips))
}

/// The link of the VLAN, up, as it was recorded; its port is in the VLAN, if it is such a pair.
fn vlan_gateway(
    checking: &Checking<'_>,
    config: &Config,
    bridge: &Link,
    gateway: &VlanGateway,
) -> Result<Link, cni::Error> {
    let name = gateway.name.to_string();
    let mut recorded = checking.added.interfaces.iter();
    let unrecorded = Interface {
        name: name.clone(),
        ..Interface::default()
    };
    let recorded = recorded.find(|interface| interface.name == name);
    let recorded = recorded.unwrap_or(&unrecorded);
    let link = checking.on_host(recorded)?;
    if let Some(mac) = differing_mac(recorded, &link) {
        let mac = mac.to_owned();
        return Err(Mismatch::GatewayMac { name, mac }.into());
    }
    if !link.up {
        return Err(Mismatch::BridgeDown(name).into());
    }
    let port = link.peer.filter(|_| link.kind == LinkKind::Veth);
    let port = port.map(|port| checking.host.link_by_index(port));
    if let Some(port) = port.transpose().map_err(Error::from)?.flatten()
        && port.master == Some(bridge.index)
    {
        let own = vlan_gateway::port_vlans(gateway.vid, config.preserves_default_vlan());
        own.check(&checking.host, &port)?;
    }
    Ok(link)
}

fn check_spoofing(
    checking: &Checking<'_>,
    config: &Config,
    port: &Link,
    end: &Link,
) -> Result<(), cni::Error> {
    let recorded = checking.recorded()?.mac.as_deref();
    let mac = recorded.and_then(|mac| mac.parse().ok()).or(end.mac);
    match mac {
        Some(mac) if config.spoof_check => {
            let checked = spoof_check::check(port.name.as_str(), mac, checking.identity);
            checked.map_err(cni::Error::internal)
        }
        _ => Ok(()),
    }
}
