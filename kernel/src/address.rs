//! Addresses of links: `ip address`.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::{LinkIndex, Netlink, Result};

/// An address as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link it is on.
    pub link: LinkIndex,
    /// The address itself with the prefix of its subnet.
    pub address: IpNetwork,
    /// Not yet known to be the only one (IPv6, RFC 4862 duplicate address detection).
    pub tentative: bool,
    /// Found to be taken by another host.
    pub dad_failed: bool,
    /// Not to be used for new connections.
    pub deprecated: bool,
    /// Has no lifetime.
    pub permanent: bool,
    /// A random one that is replaced from time to time (IPv6, RFC 8981).
    pub temporary: bool,
    /// How far it is valid: 0 universe, 253 link, 254 host.
    pub scope: u8,
}

/// An address with all that the kernel shows of it (label, flags, lifetimes), to be given back as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedAddress {
    /// The address.
    pub shown: Address,
    message: AddressMessage,
}

impl Netlink {
    /// The addresses of one link, or of all: `ip address show [dev LINK]`.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn addresses(&self, link: Option<LinkIndex>) -> Result<Vec<Address>> {
        match link {
            Some(link) => {
                let object = format_args!("addresses of {link}");
                self.dump("list", object, get_message(link.0), Address::from_answer)
            }
            None => self.dump("list", "addresses", get_message(0), Address::from_answer),
        }
    }

    /// The addresses of one link, in the kernel's order: `ip address save dev LINK`.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn save_addresses(&self, link: LinkIndex) -> Result<Vec<SavedAddress>> {
        let object = format_args!("addresses of {link}");
        let saved = |answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => SavedAddress::from_message(message),
            _ => None,
        };
        self.dump("list", object, get_message(link.0), saved)
    }

    /// Gives a link an address as it was: `ip address restore`. One that was in use needs no duplicate address
    /// detection again.
    ///
    /// # Errors
    /// [`is_exists`](crate::Error::is_exists) when the link has it.
    pub fn restore_address(&self, link: LinkIndex, saved: &SavedAddress) -> Result<()> {
        let object = format_args!("{} to {link}", saved.shown.address);
        let message = saved.add_message(link);
        self.request("add address", object, message, ADD_FLAGS)
            .map(drop)
    }

    /// Adds an address: `ip address add ADDRESS broadcast + dev LINK`. IPv4 gets the subnet's
    /// broadcast address up to /30 and none beyond, as the reference plugins set it.
    ///
    /// # Errors
    /// [`is_exists`](crate::Error::is_exists) when the link has it.
    pub fn add_address(&self, link: LinkIndex, address: IpNetwork) -> Result<()> {
        self.request_add(link, address, AddressHeaderFlags::empty())
    }

    /// As [`add_address`](Self::add_address), usable at once because nobody looks for duplicates:
    /// `ip address add … nodad`. No difference for IPv4.
    ///
    /// # Errors
    /// [`is_exists`](crate::Error::is_exists) when the link has it.
    pub fn add_address_nodad(&self, link: LinkIndex, address: IpNetwork) -> Result<()> {
        self.request_add(link, address, AddressHeaderFlags::Nodad)
    }

    fn request_add(
        &self,
        link: LinkIndex,
        address: IpNetwork,
        flags: AddressHeaderFlags,
    ) -> Result<()> {
        let object = format_args!("{address} to {link}");
        let message = add_message(link, address, flags);
        self.request("add address", object, message, ADD_FLAGS)
            .map(drop)
    }

    /// Removes an address: `ip address delete ADDRESS dev LINK`.
    ///
    /// # Errors
    /// [`is_gone`](crate::Error::is_gone) when the link does not have it.
    pub fn delete_address(&self, link: LinkIndex, address: IpNetwork) -> Result<()> {
        let object = format_args!("{address} from {link}");
        self.request("delete address", object, delete_message(link, address), 0)
            .map(drop)
    }
}

/// Of the link of this number, of all for 0.
fn get_message(link: u32) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.index = link;
    RouteNetlinkMessage::GetAddress(message)
}

/// Beyond request and acknowledge.
pub(crate) const ADD_FLAGS: u16 = NLM_F_CREATE | NLM_F_EXCL;

pub(crate) fn add_message(
    link: LinkIndex,
    address: IpNetwork,
    flags: AddressHeaderFlags,
) -> RouteNetlinkMessage {
    let mut message = message(link, address);
    message.header.flags = flags;
    if let Some(broadcast) = broadcast(address) {
        message
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    RouteNetlinkMessage::NewAddress(message)
}

pub(crate) fn delete_message(link: LinkIndex, address: IpNetwork) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(message(link, address))
}

fn message(link: LinkIndex, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.ip());
    message.header.prefix_len = address.prefix();
    message.header.index = link.0;
    // The peer is the address itself.
    message
        .attributes
        .push(AddressAttribute::Local(address.ip()));
    message
        .attributes
        .push(AddressAttribute::Address(address.ip()));
    message
}

/// A point-to-point subnet has no broadcast address (RFC 3021).
fn broadcast(address: IpNetwork) -> Option<std::net::Ipv4Addr> {
    match address {
        IpNetwork::V4(subnet) if subnet.prefix() <= 30 => Some(subnet.broadcast()),
        _ => None,
    }
}

/// The netlink family of an address.
pub(crate) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

impl SavedAddress {
    fn from_message(message: AddressMessage) -> Option<Self> {
        let shown = Address::from_message(&message)?;
        Some(Self { shown, message })
    }

    /// Of the flags the kernel takes those that somebody can ask for, and leaves out what it finds out itself.
    fn add_message(&self, link: LinkIndex) -> RouteNetlinkMessage {
        let mut message = self.message.clone();
        message.header.index = link.0;
        if !self.shown.tentative {
            message.header.flags |= AddressHeaderFlags::Nodad;
            for attribute in &mut message.attributes {
                if let AddressAttribute::Flags(flags) = attribute {
                    *flags |= AddressFlags::Nodad;
                }
            }
        }
        RouteNetlinkMessage::NewAddress(message)
    }
}

impl Address {
    /// The address in an answer; `None` for any other object.
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        match answer {
            RouteNetlinkMessage::NewAddress(message) => Self::from_message(&message),
            _ => None,
        }
    }

    fn from_message(message: &AddressMessage) -> Option<Self> {
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        let (mut local, mut peer) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(address) => local = Some(*address),
                AddressAttribute::Address(address) => peer = Some(*address),
                AddressAttribute::Flags(all) => flags = *all,
                _ => {}
            }
        }
        // IPv6 gives IFA_LOCAL only where the peer is another address.
        let ip = local.or(peer)?;
        let secondary = flags.contains(AddressFlags::Secondary);
        Some(Self {
            link: LinkIndex(message.header.index),
            address: IpNetwork::new(ip, message.header.prefix_len).ok()?,
            tentative: flags.contains(AddressFlags::Tentative),
            dad_failed: flags.contains(AddressFlags::Dadfailed),
            deprecated: flags.contains(AddressFlags::Deprecated),
            permanent: flags.contains(AddressFlags::Permanent),
            // The same bit says "secondary" for IPv4, which is no matter of time.
            temporary: secondary && ip.is_ipv6(),
            scope: message.header.scope.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_addresses() {
        let table = [
            ("10.1.2.3/8", Some("10.255.255.255")),
            ("10.1.2.3/24", Some("10.1.2.255")),
            ("10.1.2.1/30", Some("10.1.2.3")),
            ("10.1.2.1/31", None),
            ("10.1.2.1/32", None),
            ("fd00::1/64", None),
        ];
        for (address, expected) in table {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(broadcast(address.parse().unwrap()), expected, "{address}");
        }
    }
}
