//! A port that no flood reaches: `suppressFlooding`.
//!
//! The bridge knows the pod's MAC address for ever, and the host the pod's addresses, so nobody has
//! to be asked for the pod. The bridge answers for it to ports without the option
//! (`neigh_suppress`); it does not answer ports with it (kernel: br_arp_nd_proxy.c leaves requests
//! from such ports alone), which therefore have the gateway alone on their links.

use std::collections::HashSet;

use attach::Refusal;
use kernel::{
    BridgeFdbEntry, BridgePort, Change, IfName, Link, LinkIndex, MacAddr, Neighbour, Netlink,
    Route, Undo,
};

use crate::{
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
        address: std::net::IpAddr,
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
    match host.neighbours_by(bridge, Route::PROTOCOL_PODWIRE) {
        Err(error) if error.is_gone() => Ok(Vec::new()),
        neighbours => Ok(neighbours?),
    }
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
