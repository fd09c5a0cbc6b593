//! Which kinds of links the kernel has.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use nix::libc;

use super::{NewKind, NewLink};
use crate::{Netlink, Result, random};

/// A hardware address that no kind of link takes.
const NO_ADDRESS: [u8; 1] = [0];

impl Netlink {
    /// Whether the kernel can make links of this kind; it loads the module where that is to be had.
    /// Nothing is made: the kernel knows the kind before it refuses a link without a lower one, or
    /// with a hardware address of one byte (`rtnl_newlink`: EOPNOTSUPP before all else).
    ///
    /// Not for [`NewKind::Tap`], which is no matter of netlink.
    ///
    /// # Errors
    /// The kernel's answer cannot be had, or is another than to such a request; EPERM without
    /// CAP_NET_ADMIN.
    pub fn has_link_kind(&self, kind: &NewKind<'_>) -> Result<bool> {
        let name = format!("probe{:08x}", u32::from_ne_bytes(random::bytes()?));
        let name = name.parse().map_err(|error| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            crate::Error::new("ask for kind of link", kind.name(), source)
        })?;
        let mut message = NewLink::new(&name, kind.clone()).message();
        let address = LinkAttribute::Address(NO_ADDRESS.to_vec());
        message.attributes.push(address);
        let answer = self.request(
            "ask for kind of link",
            kind.name(),
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        );
        match answer {
            Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Ok(false),
            Err(error) if error.errno() == Some(libc::EINVAL) => Ok(true),
            Err(error) => Err(error),
            // A driver that takes such an address: away with the link.
            Ok(_) => {
                if let Some(made) = self.link(&name)? {
                    self.delete_link(made.index)?;
                }
                Ok(true)
            }
        }
    }
}
