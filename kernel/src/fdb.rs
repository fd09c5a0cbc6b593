//! Forwarding database of a VXLAN device: `bridge fdb`, `self permanent` entries.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::{LinkIndex, MacAddr, Netlink, Result};

/// `NUD_PERMANENT`, which the device combines with other states.
pub(crate) const PERMANENT: u16 = 0x80;

/// Which VTEP a hardware address is behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdbEntry {
    /// The VXLAN device.
    pub link: LinkIndex,
    /// The inner hardware address.
    pub mac: MacAddr,
    /// The outer address of the VTEP.
    pub dst: IpAddr,
}

/// As `bridge fdb` prints it.
impl fmt::Display for FdbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} dst {}", self.mac, self.link, self.dst)
    }
}

impl Netlink {
    /// The permanent entries of `link` that have a destination, at the device's own port and VNI:
    /// `bridge fdb show dev LINK self permanent`. They are changed with [`apply`](Self::apply).
    ///
    /// # Errors
    /// The kernel's answer cannot be had. A link that does not exist has no entries.
    pub fn fdb(&self, link: LinkIndex) -> Result<Vec<FdbEntry>> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.attributes.push(NeighbourAttribute::IfIndex(link.0));
        let message = RouteNetlinkMessage::GetNeighbour(message);
        let object = format_args!("FDB entries of {link}");
        let of_link = |answer| FdbEntry::from_answer(answer).filter(|entry| entry.link == link);
        self.dump("list", object, message, of_link)
    }
}

impl FdbEntry {
    pub(crate) fn replace_message(&self) -> RouteNetlinkMessage {
        let mut message = self.message();
        message.header.state = NeighbourState::Permanent;
        RouteNetlinkMessage::NewNeighbour(message)
    }

    pub(crate) fn delete_message(&self) -> RouteNetlinkMessage {
        RouteNetlinkMessage::DelNeighbour(self.message())
    }

    fn message(&self) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = self.link.0;
        // NTF_SELF: the device's own table, not that of a bridge it is a port of.
        message.header.flags = NeighbourFlags::Own;
        message.attributes = vec![
            NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec()),
            NeighbourAttribute::Destination(self.dst.into()),
        ];
        message
    }

    /// The entry in an answer; `None` for any other object.
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewNeighbour(message) = answer else {
            return None;
        };
        let header = message.header;
        if u16::from(header.state) & PERMANENT == 0 || !header.flags.contains(NeighbourFlags::Own) {
            return None;
        }
        let (mut mac, mut dst) = (None, None);
        for attribute in message.attributes {
            match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
                NeighbourAttribute::Destination(address) => dst = outer(address),
                // Goes elsewhere than our entries do, in spite of equal addresses.
                NeighbourAttribute::Port(_)
                | NeighbourAttribute::Vni(_)
                | NeighbourAttribute::IfIndex(_) => return None,
                _ => {}
            }
        }
        Some(Self {
            link: LinkIndex(header.ifindex),
            mac: MacAddr(mac?),
            dst: dst?,
        })
    }
}

/// The family of the entry is AF_BRIDGE, so the length tells the family of the address.
pub(crate) fn outer(address: NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some(address.into()),
        NeighbourAddress::Inet6(address) => Some(address.into()),
        NeighbourAddress::Other(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
            _ => None,
        },
        _ => None,
    }
}
