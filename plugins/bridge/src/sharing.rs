//! Who else relies on what an ADD changed of the bridge or its gateway.

use attach::identity;
use kernel::{Link, LinkIndex, Netlink};

use crate::{device, error::Result};

/// The port of the pod that is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub port: LinkIndex,
    /// The network that the pod is attached to.
    pub network: &'a str,
    /// The network's ports are set up before their ADD looks for the gateway.
    pub up_early: bool,
}

/// The pods that share a gateway: those of the bridge, of a VLAN of it if it is a VLAN's. Each ADD
/// makes its port, in its VLANs, before it looks at addresses, so whoever relies on them can be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing<'a> {
    pub bridge: LinkIndex,
    pub own: Own<'a>,
    /// The VLAN, and the port of its gateway.
    pub vlan: Option<(u16, Option<LinkIndex>)>,
}

impl Sharing<'_> {
    /// Whether there are others, but for `standing`.
    ///
    /// # Errors
    /// The ports or their VLANs cannot be read.
    pub(crate) fn has_others(self, host: &Netlink, standing: &[LinkIndex]) -> Result<bool> {
        let others = self.others(host)?;
        Ok(others.iter().any(|port| !standing.contains(&port.index)))
    }

    /// The ports that rely on what is there now, and not on what this ADD makes of it.
    ///
    /// # Errors
    /// As [`has_others`](Self::has_others).
    pub(crate) fn standing(self, host: &Netlink) -> Result<Vec<LinkIndex>> {
        let mut others = self.others(host)?;
        others.retain(|port| self.stands(port));
        Ok(others.iter().map(|port| port.index).collect())
    }

    /// Not that of an ADD that may have still to look for its gateway: it is down until then, but for networks whose
    /// ports are set up early; whether another network's are cannot be seen, so none younger than the own port.
    fn stands(self, port: &Link) -> bool {
        if port.index > self.own.port {
            return false;
        }
        let early = self.own.up_early && identity::is_host_end(port, self.own.network);
        !identity::is_marked(port) || (port.up && !early)
    }

    fn others(self, host: &Netlink) -> Result<Vec<Link>> {
        let mut ports = device::ports(host, self.bridge)?;
        ports.retain(|port| port.index != self.own.port);
        if let Some((vid, gateway)) = self.vlan {
            let members = host.bridge_vlan_members(vid)?;
            ports.retain(|port| Some(port.index) != gateway && members.contains(&port.index));
        }
        Ok(ports)
    }
}
