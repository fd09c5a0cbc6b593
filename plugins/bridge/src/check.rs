//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::check::{Checking, differing_mac};
use cni::{Attachment, Call};
use kernel::{BridgePort, Link, LinkKind};

use crate::{config::Config, gateway, spoof_check};

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
    check_flags(&config, &bridge, &port)?;
    if config.is_gateway {
        checking.gateways(&bridge, &gateway::addresses(&checking.added.ips))?;
    }
    checking.addresses_and_routes(&end)?;
    checking.masquerading(config.masquerading)?;
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
    if let Some(mac) = differing_mac(recorded, &link) {
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
    let seen = port.port.unwrap_or(BridgePort {
        hairpin: false,
        isolated: false,
    });
    for (flag, wanted, seen) in [
        ("hairpin mode", config.hairpin, seen.hairpin),
        ("isolation", config.isolated, seen.isolated),
    ] {
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
