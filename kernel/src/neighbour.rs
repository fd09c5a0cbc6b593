//! Neighbours: `ip neighbour`, permanent entries only.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteType;

use crate::address::family;
use crate::{LinkIndex, MacAddr, Netlink, Result};

/// Whom an address on a link belongs to, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Neighbour {
    /// The link.
    pub link: LinkIndex,
    /// The neighbour's address.
    pub address: IpAddr,
    /// The neighbour's hardware address.
    pub mac: MacAddr,
}

/// As `ip neighbour` prints it.
impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} lladdr {}", self.address, self.link, self.mac)
    }
}

impl Netlink {
    /// The permanent neighbours of `link`, both families: `ip neighbour show nud permanent dev
    /// LINK`. They are changed with [`apply`](Self::apply).
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn neighbours(&self, link: LinkIndex) -> Result<Vec<Neighbour>> {
        self.list_neighbours(link, Neighbour::from_answer)
    }

    /// The permanent neighbours of `link` that are marked with `protocol`: `ip neighbour show nud
    /// permanent dev LINK protocol N`. A kernel before Linux 5.0 has no such mark.
    ///
    /// # Errors
    /// As [`neighbours`](Self::neighbours).
    pub fn neighbours_by(&self, link: LinkIndex, protocol: u8) -> Result<Vec<Neighbour>> {
        let mark = NeighbourAttribute::Protocol(protocol.into());
        let marked = move |answer| {
            let RouteNetlinkMessage::NewNeighbour(message) = &answer else {
                return None;
            };
            let is_marked = message.attributes.contains(&mark);
            Neighbour::from_answer(answer).filter(|_| is_marked)
        };
        self.list_neighbours(link, marked)
    }

    fn list_neighbours(
        &self,
        link: LinkIndex,
        read: impl FnMut(RouteNetlinkMessage) -> Option<Neighbour>,
    ) -> Result<Vec<Neighbour>> {
        let mut message = NeighbourMessage::default();
        message.attributes.push(NeighbourAttribute::IfIndex(link.0));
        let message = RouteNetlinkMessage::GetNeighbour(message);
        let object = format_args!("neighbours of {link}");
        self.dump("list", object, message, read)
    }
}

/// Beyond request and acknowledge; also for FDB entries, which are neighbours to netlink.
pub(crate) const REPLACE_FLAGS: u16 = NLM_F_CREATE | NLM_F_REPLACE;

impl Neighbour {
    pub(crate) fn replace_message(&self) -> RouteNetlinkMessage {
        RouteNetlinkMessage::NewNeighbour(self.permanent())
    }

    pub(crate) fn replace_message_by(&self, protocol: u8) -> RouteNetlinkMessage {
        let mut message = self.permanent();
        let mark = NeighbourAttribute::Protocol(protocol.into());
        message.attributes.push(mark);
        RouteNetlinkMessage::NewNeighbour(message)
    }

    fn permanent(&self) -> NeighbourMessage {
        let mut message = self.message();
        message.header.state = NeighbourState::Permanent;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec()));
        message
    }

    pub(crate) fn delete_message(&self) -> RouteNetlinkMessage {
        RouteNetlinkMessage::DelNeighbour(self.message())
    }

    fn message(&self) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = family(self.address);
        message.header.ifindex = self.link.0;
        message.header.kind = RouteType::Unicast;
        let address = NeighbourAddress::from(self.address);
        message
            .attributes
            .push(NeighbourAttribute::Destination(address));
        message
    }

    /// The permanent neighbour in an answer; `None` for any other object.
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewNeighbour(message) = answer else {
            return None;
        };
        if message.header.state != NeighbourState::Permanent {
            return None;
        }
        let (mut address, mut mac) = (None, None);
        for attribute in message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                    address = Some(ip.into());
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                    address = Some(ip.into());
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
                _ => {}
            }
        }
        let link = LinkIndex(message.header.ifindex);
        Some(Self {
            link,
            address: address?,
            mac: MacAddr(mac?),
        })
    }
}
