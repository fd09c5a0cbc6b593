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

use crate::error::{Error, Result};

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
    /// The kernel refuses.
    pub(crate) fn make_known<'u>(&self, host: &'u Netlink, undo: &mut Undo<'u>) -> Result<()> {
        let neighbours = self.neighbours();
        let taken_back = neighbours.clone();
        undo.push("neighbours of the bridge", move || {
            Ok(forget(host, taken_back)?)
        })?;
        // First, because GC takes a neighbour without it for one whose pod is gone.
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

/// Removes what the host knows of the pod with this MAC address. No bridge is fine.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn remove(host: &Netlink, bridge: &IfName, mac: MacAddr) -> Result<()> {
    let Some(bridge) = host.link(bridge)? else {
        return Ok(());
    };
    let mut stale = host.neighbours_by(bridge.index, Route::PROTOCOL_PODWIRE)?;
    stale.retain(|neighbour| neighbour.mac == mac);
    forget(host, stale)
}

/// Removes what the host knows of pods that are behind no port any more.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn gc(host: &Netlink, bridge: &IfName) -> Result<()> {
    let Some(bridge) = host.link(bridge)? else {
        return Ok(());
    };
    // Before the FDB: who comes meanwhile is in neither or in both.
    let mut stale = host.neighbours_by(bridge.index, Route::PROTOCOL_PODWIRE)?;
    if stale.is_empty() {
        return Ok(());
    }
    let present = behind_ports(host, bridge.index)?;
    stale.retain(|neighbour| !present.contains(&neighbour.mac));
    forget(host, stale)
}

fn behind_ports(host: &Netlink, bridge: LinkIndex) -> Result<HashSet<MacAddr>> {
    let entries = host.bridge_fdb(bridge)?;
    Ok(entries.into_iter().map(|entry| entry.mac).collect())
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
