//! The bridge itself: made when missing, shared with whoever else uses it.

use attach::{Refusal, forwarding};
use kernel::{
    IfName, Link, LinkChange, LinkIndex, LinkKind, MacAddr, Netlink, NewKind, NewLink, Undo,
    if_there,
    link::{Place, delete_link},
    sysctl::Sysctls,
};

use crate::{
    config::Config,
    error::{Error, Result},
    lock::HostLock,
};

/// How often ADD looks for the bridge or makes it when others, who do not know the lock, make or
/// remove it in between.
const ATTEMPTS: usize = 3;

/// EOPNOTSUPP: what a kernel says whose bridges filter no VLANs.
const NOT_SUPPORTED: i32 = 95;

/// The bridge of an ADD, as it was before the pod's port was added.
#[derive(Clone, Debug)]
pub(crate) struct Bridge {
    pub link: Link,
    /// By this ADD.
    pub made: bool,
}

/// The bridge, up, made if missing. What was changed goes onto `undo`; it is taken back only
/// while the bridge has no other ports than now, because others may rely on it as soon as they are on it.
///
/// Attributes of a bridge that is there already are left alone, but promiscuous mode is switched
/// on where configured.
///
/// # Errors
/// The name belongs to another kind of link; the kernel refuses.
pub(crate) fn ensure<'a>(
    host: &'a Netlink,
    sysctls: &Sysctls,
    config: &Config,
    undo: &mut Undo<'a>,
) -> Result<Bridge> {
    let (mut found, made) = find_or_make(host, config)?;
    let mut old_ports = Vec::new();
    if !made && missing(&found, config) != LinkChange::default() {
        old_ports = ports(host, found.index)?;
        // Who made one of them without knowing the lock may have set the bridge up since it was looked at.
        let now = host.link_by_index(found.index)?;
        found = now.ok_or_else(|| Error::Vanished(config.bridge.to_string()))?;
    }
    let change = missing(&found, config);
    let changes = change != LinkChange::default();
    if made || changes {
        let before = Before {
            made,
            down: change.up.is_some(),
            promisc_off: change.promisc.is_some(),
            ports: old_ports,
        };
        let link = found.clone();
        undo.push("bridge", move || Ok(restore(host, &link, &before)?))?;
    }
    // Advice only, as in the reference plugins: a kernel without IPv6 has no such file.
    let _ = sysctls.set(&format!("net/ipv6/conf/{}/accept_ra", config.bridge), "0");
    if made && config.is_gateway {
        forwarding::at_once(sysctls, &config.bridge);
    }
    if changes {
        host.set_link(found.index, &change)
            .map_err(|source| refused(&config.bridge, "set up", source))?;
    }
    Ok(Bridge { link: found, made })
}

/// What has to change of the bridge.
fn missing(bridge: &Link, config: &Config) -> LinkChange {
    LinkChange {
        up: (!bridge.up).then_some(true),
        promisc: (config.promisc && !bridge.promisc).then_some(true),
        ..LinkChange::default()
    }
}

fn find_or_make(host: &Netlink, config: &Config) -> Result<(Link, bool)> {
    let name = &config.bridge;
    for _ in 0..ATTEMPTS {
        let found = host
            .link(name)
            .map_err(|source| refused(name, "look up", source))?;
        match found {
            Some(link) if matches!(link.kind, LinkKind::Bridge { .. }) => {
                warn_unless_filtering(&link, config);
                return Ok((link, false));
            }
            Some(_) => {
                return Err(Error::NotABridge {
                    name: name.to_string(),
                });
            }
            None => {}
        }
        if let Some(made) = make(host, config)? {
            return Ok((made, true));
        }
    }
    Err(Error::BridgeVanishes {
        name: name.to_string(),
    })
}

/// A bridge that others made is left as it is; who asks for VLANs must hear that they separate
/// nothing.
fn warn_unless_filtering(bridge: &Link, config: &Config) {
    if config.vlans.is_some() && !filters(bridge) {
        let bridge = bridge.name.as_str();
        tracing::warn!(
            bridge,
            "the bridge does not filter VLANs (vlan_filtering 0)"
        );
    }
}

/// Whether a bridge filters VLANs.
pub(crate) fn filters(bridge: &Link) -> bool {
    bridge.kind
        == LinkKind::Bridge {
            vlan_filtering: true,
        }
}

/// Its MAC address is chosen here, so that the kernel leaves it as it is when ports come and go:
/// whoever has an address on the bridge is known by it.
///
/// `None`: another was faster.
fn make(host: &Netlink, config: &Config) -> Result<Option<Link>> {
    let kind = NewKind::Bridge {
        vlan_filtering: config.vlans.is_some(),
    };
    let bridge = NewLink {
        mtu: config.mtu,
        mac: Some(MacAddr::random()?),
        ..NewLink::new(&config.bridge, kind)
    };
    match host.add_link(&bridge) {
        Ok(made) => Ok(Some(made)),
        Err(source) if source.is_exists() => Ok(None),
        Err(source) if source.errno() == Some(NOT_SUPPORTED) && config.vlans.is_some() => {
            Err(Error::NoVlanFiltering {
                name: config.bridge.to_string(),
            })
        }
        Err(source) => Err(refused(&config.bridge, "add", source)),
    }
}

/// What this call changed.
struct Before {
    made: bool,
    down: bool,
    promisc_off: bool,
    /// Those of a bridge that was there.
    ports: Vec<Link>,
}

fn restore(host: &Netlink, bridge: &Link, before: &Before) -> Result<()> {
    let _lock = HostLock::take()?;
    let is_new = |port: &Link| (before.ports.iter()).all(|old| old.index != port.index);
    if ports(host, bridge.index)?.iter().any(is_new) {
        return Ok(());
    }
    if before.made {
        let place = Place {
            ns: None,
            index: bridge.index,
        };
        if_there(delete_link(place, None))?;
        return Ok(());
    }
    let change = LinkChange {
        up: before.down.then_some(false),
        promisc: before.promisc_off.then_some(false),
        ..LinkChange::default()
    };
    host.set_link(bridge.index, &change)?;
    Ok(())
}

pub(crate) fn ports(host: &Netlink, bridge: LinkIndex) -> Result<Vec<Link>> {
    let mut links = host.links()?;
    links.retain(|link| link.master == Some(bridge));
    Ok(links)
}

/// A bridge cannot have more ports (kernel: `BR_MAX_PORTS` 1024, and number 0 is none).
const MOST_PORTS: usize = 1023;

/// Whether the bridge can take another port.
///
/// # Errors
/// It has all that a bridge can have.
pub(crate) fn has_room(host: &Netlink, bridge: &Link) -> Result<()> {
    let in_use = ports(host, bridge.index)?.len();
    if in_use < MOST_PORTS {
        return Ok(());
    }
    Err(Error::NoFreePort {
        bridge: bridge.name.to_string(),
        in_use,
    })
}

fn refused(name: &IfName, step: &'static str, source: kernel::Error) -> Error {
    Error::Bridge {
        name: name.to_string(),
        step,
        source: Refusal::from(source),
    }
}
