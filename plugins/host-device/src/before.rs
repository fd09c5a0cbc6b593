//! The device as it was on the host: the kernel takes most of it away when the link moves, and an ADD
//! that fails gives it back.

use attach::holdings::Holdings;
use kernel::{Link, LinkChange, NetNs, Netlink, link};

use crate::error::Error;

/// A link of the host's, with what it loses on the way.
#[derive(Debug)]
pub(crate) struct Before {
    pub link: Link,
    held: Holdings,
}

impl Before {
    /// Looks at the link.
    ///
    /// # Errors
    /// Addresses or routes cannot be read.
    pub(crate) fn read(host: &Netlink, link: Link) -> Result<Self, kernel::Error> {
        let held = Holdings::read(host, &link)?;
        Ok(Self { link, held })
    }

    /// Moves the link back from the pod and gives it what it had.
    ///
    /// # Errors
    /// It cannot move back. What else cannot be had again is logged.
    pub(crate) fn restore(
        &self,
        pod: &NetNs,
        moved: &Link,
        host: &NetNs,
        netlink: &Netlink,
    ) -> Result<(), Error> {
        let home = link::Arrival {
            ns: host,
            name: &self.link.name,
            alias: self.link.alias.as_deref().unwrap_or_default(),
            up: false,
        };
        let back = link::move_link(pod, moved, home)?;
        let master = LinkChange {
            master: self.link.master.map(Some),
            ..LinkChange::default()
        };
        let up = LinkChange {
            up: self.link.up.then_some(true),
            ..LinkChange::default()
        };
        for (what, change) in [("master", master), ("state", up)] {
            if change != LinkChange::default()
                && let Err(error) = netlink.set_link(back.index, &change)
            {
                tracing::warn!(what, %error, "the device does not have this again");
            }
        }
        let addresses = self.held.restore_addresses(netlink, back.index);
        let routes = self
            .held
            .restore_routes(netlink, back.index, |table| table)?;
        for (change, error) in addresses.iter().chain(&routes) {
            tracing::warn!(%change, %error, "the device does not have this again");
        }
        Ok(())
    }
}
