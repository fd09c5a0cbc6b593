//! Who else relies on what an ADD changed of the bridge or its gateway.

use kernel::{LinkIndex, Netlink};

use crate::{device, error::Result};

/// The pods that share a gateway: those of the bridge, of a VLAN of it if it is a VLAN's. Each ADD
/// makes its port, in its VLANs, before it looks at addresses, so whoever relies on them can be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing {
    pub bridge: LinkIndex,
    /// The port of the pod that is attached.
    pub own: LinkIndex,
    /// The VLAN, and the port of its gateway.
    pub vlan: Option<(u16, Option<LinkIndex>)>,
}

impl Sharing {
    /// Whether there are others.
    ///
    /// # Errors
    /// The ports or their VLANs cannot be read.
    pub(crate) fn has_others(self, host: &Netlink) -> Result<bool> {
        let Some((vid, gateway)) = self.vlan else {
            return device::in_use(host, self.bridge, Some(self.own));
        };
        let members = host.bridge_vlan_members(vid)?;
        let ports = device::ports(host, self.bridge)?;
        let mut others = ports
            .iter()
            .map(|port| port.index)
            .filter(|port| *port != self.own && Some(*port) != gateway);
        Ok(others.any(|port| members.contains(&port)))
    }
}
