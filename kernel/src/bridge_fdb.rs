//! Forwarding database of a bridge: `bridge fdb`, `master static sticky` entries.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use std::fmt;

use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::{LinkIndex, MacAddr, Netlink, Result, if_there};

/// Which port a hardware address is behind, whatever frames say. It goes with the port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BridgeFdbEntry {
    /// The port.
    pub port: LinkIndex,
    /// The hardware address.
    pub mac: MacAddr,
}

/// As `bridge fdb` prints it.
impl fmt::Display for BridgeFdbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} master", self.mac, self.port)
    }
}

impl Netlink {
    /// The static sticky entries of a port: `bridge fdb show brport PORT`. They are changed with
    /// [`apply`](Self::apply).
    ///
    /// # Errors
    /// The kernel's answer cannot be had. A link that is no port has no entries.
    pub fn port_fdb(&self, port: LinkIndex) -> Result<Vec<BridgeFdbEntry>> {
        self.static_fdb(NeighbourAttribute::IfIndex(port.0), port)
    }

    /// The static sticky entries of all ports of a bridge: `bridge fdb show br BRIDGE`. The kernel
    /// walks through all entries once for each port.
    ///
    /// # Errors
    /// The kernel's answer cannot be had. A link that is no bridge has no entries.
    pub fn bridge_fdb(&self, bridge: LinkIndex) -> Result<Vec<BridgeFdbEntry>> {
        self.static_fdb(NeighbourAttribute::Controller(bridge.0), bridge)
    }

    fn static_fdb(
        &self,
        filter: NeighbourAttribute,
        link: LinkIndex,
    ) -> Result<Vec<BridgeFdbEntry>> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.attributes.push(filter);
        let message = RouteNetlinkMessage::GetNeighbour(message);
        let object = format_args!("FDB entries of {link}");
        let entries = self.dump("list", object, message, BridgeFdbEntry::from_answer);
        Ok(if_there(entries)?.unwrap_or_default())
    }
}

impl BridgeFdbEntry {
    pub(crate) fn replace_message(&self) -> RouteNetlinkMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = self.port.0;
        // NUD_NOARP is what `static` means: it does not age. Sticky: nor does it move to another
        // port when that one sends from the address.
        message.header.state = NeighbourState::Noarp;
        message.header.flags = NeighbourFlags::Controller | NeighbourFlags::Sticky;
        let mac = NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec());
        message.attributes.push(mac);
        RouteNetlinkMessage::NewNeighbour(message)
    }

    /// The entry in an answer; `None` for any other object.
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewNeighbour(message) = answer else {
            return None;
        };
        let header = message.header;
        let fixed =
            header.state == NeighbourState::Noarp && header.flags.contains(NeighbourFlags::Sticky);
        let mac = message.attributes.into_iter().find_map(|attribute| {
            let NeighbourAttribute::LinkLayerAddress(bytes) = attribute else {
                return None;
            };
            bytes.try_into().ok().map(MacAddr)
        });
        Some(Self {
            port: LinkIndex(header.ifindex),
            mac: mac.filter(|_| fixed)?,
        })
    }
}
