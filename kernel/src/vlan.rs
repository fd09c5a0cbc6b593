//! VLANs of a bridge and of its ports: `bridge vlan`.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN. They have an effect when the
//! bridge filters VLANs ([`NewKind`]).

use std::fmt;
use std::io;
use std::ops::RangeInclusive;

use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask,
    LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use nix::libc;

use crate::netns::in_new_namespace;
use crate::{Error, LinkIndex, Netlink, NewKind, NewLink, Result};

/// That a bridge, or a port of one, is a member of VLANs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BridgeVlan {
    /// The port, or the bridge.
    pub link: LinkIndex,
    /// Which of both `link` is.
    pub member: Member,
    /// The VLANs, 1 to 4094; one that was read is alone.
    pub vids: RangeInclusive<u16>,
    /// Packets that arrive untagged belong to this VLAN, which is no range then.
    pub pvid: bool,
    /// Packets leave untagged.
    pub untagged: bool,
}

/// Who is a member of a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Member {
    /// A port, by its bridge: `master`.
    Port,
    /// The bridge's own device: `self`.
    Bridge,
}

/// As `bridge vlan add` takes it.
impl fmt::Display for BridgeVlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dev {} vid {}", self.link, self.vids.start())?;
        if self.vids.start() != self.vids.end() {
            write!(f, "-{}", self.vids.end())?;
        }
        if self.pvid {
            f.write_str(" pvid")?;
        }
        if self.untagged {
            f.write_str(" untagged")?;
        }
        match self.member {
            Member::Port => f.write_str(" master"),
            Member::Bridge => f.write_str(" self"),
        }
    }
}

impl Netlink {
    /// The VLANs of `link`, one by one: `bridge vlan show dev LINK`. A link that is neither bridge
    /// nor port has none.
    ///
    /// # Errors
    /// The kernel's answer cannot be had.
    pub fn bridge_vlans(&self, link: LinkIndex) -> Result<Vec<BridgeVlan>> {
        let object = format_args!("VLANs of {link}");
        // The kernel sends those of all links whatever is asked for.
        let of_link = |answer| Some(from_answer(answer, link)).filter(|vlans| !vlans.is_empty());
        let vlans = self.dump("list", object, vlans_message(), of_link)?;
        Ok(vlans.into_iter().flatten().collect())
    }

    /// The ports and bridges that are members of the VLAN.
    ///
    /// # Errors
    /// The kernel's answer cannot be had.
    pub fn bridge_vlan_members(&self, vid: u16) -> Result<Vec<LinkIndex>> {
        let object = format_args!("members of VLAN {vid}");
        let of_member = |answer| {
            let link = match &answer {
                RouteNetlinkMessage::NewLink(message) => LinkIndex(message.header.index),
                _ => return None,
            };
            let mut vlans = from_answer(answer, link).into_iter();
            vlans.any(|vlan| vlan.vids.contains(&vid)).then_some(link)
        };
        self.dump("list", object, vlans_message(), of_member)
    }

    /// Makes a member: `bridge vlan add`. Flags of a VLAN that is there already are changed.
    ///
    /// # Errors
    /// EINVAL for a number that is no VLAN, an empty range or a range as PVID; EOPNOTSUPP when
    /// `link` is not what `member` says, or the kernel cannot filter VLANs;
    /// [`is_gone`](crate::Error::is_gone) when there is no such link.
    pub fn add_bridge_vlan(&self, vlan: &BridgeVlan) -> Result<()> {
        let message = RouteNetlinkMessage::SetLink(vlan.message());
        self.request("add VLAN", vlan, message, 0)?;
        Ok(())
    }

    /// Ends a membership, whatever its flags: `bridge vlan del`. One that is not there is no error
    /// to the kernel.
    ///
    /// # Errors
    /// As [`add_bridge_vlan`](Self::add_bridge_vlan).
    pub fn delete_bridge_vlan(&self, vlan: &BridgeVlan) -> Result<()> {
        let message = RouteNetlinkMessage::DelLink(vlan.message());
        self.request("delete VLAN", vlan, message, 0)?;
        Ok(())
    }
}

/// Asks for the VLANs of all ports and bridges.
fn vlans_message() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    let mask = vec![LinkExtentMask::Brvlan];
    message.attributes.push(LinkAttribute::ExtMask(mask));
    RouteNetlinkMessage::GetLink(message)
}

/// Whether bridges of this kernel can filter VLANs. Only a bridge tells; it is made in a network
/// namespace of its own, which goes with it. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// Neither namespace nor bridge can be made.
pub fn has_bridge_vlans() -> Result<bool> {
    let make = || {
        let name = "probe".parse().map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            Error::new("make", "bridge", source)
        })?;
        let kind = NewKind::Bridge {
            vlan_filtering: true,
        };
        Netlink::open()?.add_link(&NewLink::new(&name, kind))
    };
    match in_new_namespace(make)? {
        Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Ok(false),
        made => made.map(|_| true),
    }
}

impl BridgeVlan {
    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.header.index = self.link.0;
        let side = match self.member {
            Member::Port => BridgeFlag::Controller,
            Member::Bridge => BridgeFlag::LowerDev,
        };
        let mut specification = vec![AfSpecBridge::Flags(side)];
        specification.extend(self.infos().into_iter().map(AfSpecBridge::VlanInfo));
        let specification = LinkAttribute::AfSpecBridge(specification);
        message.attributes.push(specification);
        message
    }

    /// One VLAN, or begin and end of a range.
    fn infos(&self) -> Vec<BridgeVlanInfo> {
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, self.pvid);
        flags.set(BridgeVlanInfoFlags::Untagged, self.untagged);
        let info = |vid: &u16, mark| BridgeVlanInfo {
            flags: flags | mark,
            vid: *vid,
        };
        let (first, last) = (self.vids.start(), self.vids.end());
        if first == last {
            return vec![info(first, BridgeVlanInfoFlags::empty())];
        }
        vec![
            info(first, BridgeVlanInfoFlags::RangeBegin),
            info(last, BridgeVlanInfoFlags::RangeEnd),
        ]
    }
}

/// The VLANs of `link` in an answer; none in any other object.
fn from_answer(answer: RouteNetlinkMessage, link: LinkIndex) -> Vec<BridgeVlan> {
    let message = match answer {
        RouteNetlinkMessage::NewLink(message) if message.header.index == link.0 => message,
        _ => return Vec::new(),
    };
    // A bridge is its own master in this answer.
    let own = LinkAttribute::Controller(link.0);
    let member = match message.attributes.contains(&own) {
        true => Member::Bridge,
        false => Member::Port,
    };
    let vlan = |specification| match specification {
        AfSpecBridge::VlanInfo(info) => Some(BridgeVlan {
            link,
            member,
            vids: info.vid..=info.vid,
            pvid: info.flags.contains(BridgeVlanInfoFlags::Pvid),
            untagged: info.flags.contains(BridgeVlanInfoFlags::Untagged),
        }),
        _ => None,
    };
    let attributes = message.attributes.into_iter();
    attributes
        .flat_map(specifications)
        .filter_map(vlan)
        .collect()
}

fn specifications(attribute: LinkAttribute) -> Vec<AfSpecBridge> {
    match attribute {
        LinkAttribute::AfSpecBridge(specifications) => specifications,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::serialise;

    fn vlan(member: Member, vids: RangeInclusive<u16>, pvid: bool, untagged: bool) -> BridgeVlan {
        BridgeVlan {
            link: LinkIndex(7),
            member,
            vids,
            pvid,
            untagged,
        }
    }

    /// What follows nlmsghdr and ifinfomsg, which are 32 bytes: as 16-bit words.
    fn attributes(vlan: &BridgeVlan) -> Vec<u16> {
        let bytes = serialise(&RouteNetlinkMessage::SetLink(vlan.message()), 0);
        assert_eq!(bytes[16], 7, "AF_BRIDGE");
        assert_eq!(bytes[20], 7, "the link");
        let words = bytes[32..].chunks(2);
        words
            .map(|word| u16::from_ne_bytes([word[0], word[1]]))
            .collect()
    }

    #[test]
    fn bytes_as_the_kernel_wants_them() {
        // IFLA_AF_SPEC (26): IFLA_BRIDGE_FLAGS (0): 1 master, 2 self; IFLA_BRIDGE_VLAN_INFO (2).
        let one = attributes(&vlan(Member::Port, 100..=100, true, true));
        assert_eq!(one, [20, 26, 6, 0, 1, 0, 8, 2, 0b110, 100]);
        let range = attributes(&vlan(Member::Bridge, 200..=210, false, false));
        let expected = [28, 26, 6, 0, 2, 0, 8, 2, 0b1000, 200, 8, 2, 0b1_0000, 210];
        assert_eq!(range, expected);
    }

    #[test]
    fn answers_are_read() {
        let mut message = vlan(Member::Port, 5..=5, true, true).message();
        message.attributes.push(LinkAttribute::Controller(3));
        let answer = |message: &LinkMessage| RouteNetlinkMessage::NewLink(message.clone());
        let read = from_answer(answer(&message), LinkIndex(7));
        assert_eq!(read, [vlan(Member::Port, 5..=5, true, true)]);
        assert_eq!(from_answer(answer(&message), LinkIndex(8)), []);
        message.attributes.push(LinkAttribute::Controller(7));
        let read = from_answer(answer(&message), LinkIndex(7));
        assert_eq!(read, [vlan(Member::Bridge, 5..=5, true, true)]);
    }

    #[test]
    fn printed_as_bridge_takes_it() {
        let table = [
            (
                vlan(Member::Port, 5..=5, true, true),
                "dev 7 vid 5 pvid untagged master",
            ),
            (
                vlan(Member::Bridge, 5..=9, false, false),
                "dev 7 vid 5-9 self",
            ),
        ];
        for (vlan, text) in table {
            assert_eq!(vlan.to_string(), text);
        }
    }
}
