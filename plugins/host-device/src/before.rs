//! The device as it was on the host: the kernel takes most of it away when the link moves, and an ADD
//! that fails gives it back.

use std::net::IpAddr;

use kernel::{Address, Change, Link, LinkChange, NetNs, Netlink, Route, RouteFilter, link};

use crate::error::Error;

/// The protocol of routes that router advertisements made (linux/rtnetlink.h, `RTPROT_RA`).
const PROTOCOL_RA: u8 = 9;

/// A link of the host's, with what it loses on the way.
#[derive(Debug)]
pub(crate) struct Before {
    pub link: Link,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

impl Before {
    /// Looks at the link.
    ///
    /// # Errors
    /// Addresses or routes cannot be read.
    pub(crate) fn read(host: &Netlink, link: Link) -> Result<Self, kernel::Error> {
        let filter = RouteFilter {
            link: Some(link.index),
            ..RouteFilter::default()
        };
        let mut addresses = host.addresses(Some(link.index))?;
        addresses.retain(|address| address.permanent && !is_kernels(address.address.ip()));
        let mut routes = host.routes(&filter)?;
        routes.retain(|route| ![Route::PROTOCOL_KERNEL, PROTOCOL_RA].contains(&route.protocol));
        Ok(Self {
            link,
            addresses,
            routes,
        })
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
        let change = LinkChange {
            master: self.link.master.map(Some),
            up: self.link.up.then_some(true),
            ..LinkChange::default()
        };
        netlink.set_link(back.index, &change)?;
        let address = |address: &Address| Change::AddAddress(back.index, address.address);
        let route = |route: &Route| {
            Change::AddRoute(Route {
                link: Some(back.index),
                ..route.clone()
            })
        };
        let addresses = self.addresses.iter().map(address);
        let changes: Vec<Change> = addresses.chain(self.routes.iter().map(route)).collect();
        for (change, outcome) in changes.iter().zip(netlink.apply(&changes)?) {
            if let Err(error) = outcome
                && !error.is_exists()
            {
                tracing::warn!(%change, %error, "the device does not have this again");
            }
        }
        Ok(())
    }
}

/// The kernel gives every link such an address by itself.
fn is_kernels(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
