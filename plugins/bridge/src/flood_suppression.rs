//! A port that no flood reaches: `suppressFlooding`.
//!
//! The bridge knows the pod's MAC address for ever, and the host the pod's addresses, so nobody has
//! to be asked for the pod. The bridge answers for it to ports without the option
//! (`neigh_suppress`); it does not answer ports with it (kernel: br_arp_nd_proxy.c leaves requests
//! from such ports alone), which therefore have the gateway alone on their links.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
};

use attach::Refusal;
use kernel::{
    BridgeFdbEntry, BridgePort, Change, IfName, Link, LinkIndex, MacAddr, Neighbour, Netlink,
    NewKind, NewLink, Peer, Route, Undo, if_there, netns,
};

use crate::{
    config::bridge_name as link_name,
    error::{Error, Result},
    lock::HostLock,
};

/// Nothing but what is for the pod. Not isolated: with br_netfilter the bridge itself sends a connection
/// to a mapped port or a service on to the pod's port.
pub(crate) const PORT: BridgePort = BridgePort {
    hairpin: false,
    isolated: false,
    flood: false,
    mcast_flood: false,
    bcast_flood: false,
    neigh_suppress: true,
};

/// A pod behind its port.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    pub bridge: &'a Link,
    pub port: &'a Link,
    pub mac: MacAddr,
    pub ips: &'a [cni::IpConfig],
}

/// What of it is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error("Bridge {bridge} has no static sticky FDB entry of {mac} for port {port}")]
    Fdb {
        bridge: IfName,
        port: IfName,
        mac: MacAddr,
    },
    #[error("Bridge interface {bridge} has no permanent neighbour {address} with {mac}")]
    Neighbour {
        bridge: IfName,
        address: IpAddr,
        mac: MacAddr,
    },
}

impl Known<'_> {
    fn fdb(&self) -> BridgeFdbEntry {
        BridgeFdbEntry {
            port: self.port.index,
            mac: self.mac,
        }
    }

    fn neighbours(&self) -> Vec<Neighbour> {
        let neighbour = |ip: &cni::IpConfig| Neighbour {
            link: self.bridge.index,
            address: ip.address.ip(),
            mac: self.mac,
        };
        self.ips.iter().map(neighbour).collect()
    }

    /// Makes it known, in one send. The FDB entry goes with the port; the taking back of the rest
    /// goes onto `undo`.
    ///
    /// # Errors
    /// The kernel refuses; somebody keeps the lock.
    pub(crate) fn make_known<'u>(&self, host: &'u Netlink, undo: &mut Undo<'u>) -> Result<()> {
        let neighbours = self.neighbours();
        let taken_back = neighbours.clone();
        undo.push("neighbours of the bridge", move || {
            Ok(forget(host, taken_back)?)
        })?;
        // GC holds it while it looks and deletes, which it does by address.
        let _lock = HostLock::take()?;
        let fdb = Change::ReplaceBridgeFdb(self.fdb());
        let mark = |neighbour| Change::ReplaceNeighbourBy(neighbour, Route::PROTOCOL_PODWIRE);
        let changes: Vec<Change> = [fdb]
            .into_iter()
            .chain(neighbours.into_iter().map(mark))
            .collect();
        for (change, outcome) in changes.iter().zip(host.apply(&changes)?) {
            outcome.map_err(|source| Error::MakeKnown {
                what: change.to_string(),
                source: Refusal::from(source),
            })?;
        }
        Ok(())
    }

    /// # Errors
    /// The first that is missing; it cannot be read.
    pub(crate) fn check(&self, host: &Netlink) -> Result<(), cni::Error> {
        let fdb = host.port_fdb(self.port.index).map_err(Error::from)?;
        if !fdb.contains(&self.fdb()) {
            return Err(cni::Error::internal(Missing::Fdb {
                bridge: self.bridge.name.clone(),
                port: self.port.name.clone(),
                mac: self.mac,
            }));
        }
        let seen = host.neighbours(self.bridge.index).map_err(Error::from)?;
        let wanted = self.neighbours();
        match wanted.into_iter().find(|wanted| !seen.contains(wanted)) {
            Some(Neighbour { address, mac, .. }) => Err(cni::Error::internal(Missing::Neighbour {
                bridge: self.bridge.name.clone(),
                address,
                mac,
            })),
            None => Ok(()),
        }
    }
}

/// Whether a port has the flags that it was given. A kernel leaves out what it does not know, without a word.
///
/// # Errors
/// It has not.
pub(crate) fn is_kept(port: &IfName, seen: Option<BridgePort>, given: BridgePort) -> Result<()> {
    match seen == Some(given) {
        true => Ok(()),
        false => Err(Error::Floods(port.to_string())),
    }
}

/// Whether this kernel has all that it needs. Only a port tells; it is made in a network namespace of its own, which
/// goes with it.
///
/// # Errors
/// What is missing; the namespace or a link in it cannot be made.
pub(crate) fn is_usable() -> Result<()> {
    netns::in_new_namespace(try_out)?
}

fn try_out() -> Result<()> {
    let host = Netlink::open()?;
    let (name, port_name, end_name) = (link_name("bridge")?, link_name("port")?, link_name("end")?);
    let bridge = host.add_link(&NewLink {
        up: true,
        ..NewLink::new(&name, BRIDGE)
    })?;
    let end = Peer {
        name: &end_name,
        ns: None,
        mac: None,
    };
    let port = host.add_link(&NewLink {
        master: Some(bridge.index),
        port: Some(PORT),
        ..NewLink::new(&port_name, NewKind::Veth(end))
    })?;
    let seen = host.link_by_index(port.index)?;
    is_kept(&port.name, seen.and_then(|seen| seen.port), PORT)?;
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let pod = Known {
        bridge: &bridge,
        port: &port,
        mac: MacAddr::random()?,
        ips: &[cni::IpConfig {
            address: address.into(),
            gateway: None,
            interface: None,
        }],
    };
    let mut undo = Undo::new();
    pod.make_known(&host, &mut undo)?;
    undo.commit();
    let lasting = host.port_fdb(port.index)?.contains(&pod.fdb());
    match lasting && known(&host, bridge.index)? == pod.neighbours() {
        true => Ok(()),
        false => Err(Error::ForgetsKnown),
    }
}

const BRIDGE: NewKind<'static> = NewKind::Bridge {
    vlan_filtering: false,
};

/// A pod that leaves.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub bridge: LinkIndex,
    /// While it is there, its FDB entries say which MAC address the pod has.
    pub port: Option<LinkIndex>,
    /// What else may have been the pod's MAC address. Meanwhile another may have it.
    pub macs: Vec<MacAddr>,
}

impl Leaving {
    /// Removes what the host knows of the pod. A bridge of which no pod is known costs one request.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn forget(&self, host: &Netlink) -> Result<()> {
        let known = known(host, self.bridge)?;
        if known.is_empty() {
            return Ok(());
        }
        let own = match self.port {
            Some(port) => macs(host.port_fdb(port)?),
            None => HashSet::new(),
        };
        let is_own = |neighbour: &Neighbour| own.contains(&neighbour.mac);
        let (mut stale, mut others): (Vec<_>, Vec<_>) = known.into_iter().partition(is_own);
        others.retain(|neighbour| self.macs.contains(&neighbour.mac));
        if !others.is_empty() {
            let present = macs(host.bridge_fdb(self.bridge)?);
            others.retain(|neighbour| !present.contains(&neighbour.mac));
        }
        stale.append(&mut others);
        forget(host, stale)
    }
}

/// Removes what the host knows of pods that are behind no port any more. No bridge is fine.
///
/// # Errors
/// The kernel refuses; somebody keeps the lock.
pub(crate) fn gc(host: &Netlink, bridge: &IfName) -> Result<()> {
    let Some(bridge) = host.link(bridge)? else {
        return Ok(());
    };
    // An address that an ADD gives away between look and deletion would lose its new neighbour.
    let _lock = HostLock::take()?;
    let mut stale = known(host, bridge.index)?;
    if stale.is_empty() {
        return Ok(());
    }
    let present = macs(host.bridge_fdb(bridge.index)?);
    stale.retain(|neighbour| !present.contains(&neighbour.mac));
    forget(host, stale)
}

/// The neighbours of pods. A bridge that is gone has none.
fn known(host: &Netlink, bridge: LinkIndex) -> Result<Vec<Neighbour>> {
    let known = if_there(host.neighbours_by(bridge, Route::PROTOCOL_PODWIRE))?;
    Ok(known.unwrap_or_default())
}

fn macs(entries: Vec<BridgeFdbEntry>) -> HashSet<MacAddr> {
    entries.into_iter().map(|entry| entry.mac).collect()
}

fn forget(host: &Netlink, neighbours: Vec<Neighbour>) -> Result<()> {
    let changes: Vec<Change> = neighbours
        .into_iter()
        .map(Change::DeleteNeighbour)
        .collect();
    for outcome in host.apply(&changes)? {
        outcome?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_leaves_out_a_flag_is_found_out() {
        let port: IfName = "port".parse().unwrap();
        let kept = |seen| is_kept(&port, seen, PORT).is_ok();
        assert!(kept(Some(PORT)));
        for (what, lacking) in [
            ("all", BridgePort::default()),
            (
                "flood",
                BridgePort {
                    flood: true,
                    ..PORT
                },
            ),
            (
                "mcast_flood",
                BridgePort {
                    mcast_flood: true,
                    ..PORT
                },
            ),
            (
                "bcast_flood",
                BridgePort {
                    bcast_flood: true,
                    ..PORT
                },
            ),
            (
                "neigh_suppress",
                BridgePort {
                    neigh_suppress: false,
                    ..PORT
                },
            ),
        ] {
            assert!(!kept(Some(lacking)), "{what}");
        }
        assert!(!kept(None));
    }
}
