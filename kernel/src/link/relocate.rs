//! Moving links between namespaces: `ip link set DEV netns NS name NAME alias ALIAS`.
//!
//! Needs CAP_NET_ADMIN in both namespaces and CAP_SYS_ADMIN to enter them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use nix::libc;
use rtnetlink::LinkUnspec;

use crate::{Error, IfName, Link, NetNs, Netlink, Result};

/// What a link is called where it comes to be.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The namespace.
    pub ns: &'a NetNs,
    /// Its name there.
    pub name: &'a IfName,
    /// Its alias there; empty removes it.
    pub alias: &'a str,
    /// Comes up there; else it is down.
    pub up: bool,
}

const OPERATION: &str = "move link";

/// Moves `link` from the namespace `from`, and says what it is there. The kernel takes addresses,
/// routes and master from it on the way. One request: whoever is killed leaves the link at one of
/// the two places, with name and alias that belong there.
///
/// # Errors
/// [`is_exists`](Error::is_exists) when the name is taken there; a kind of link that cannot move
/// (EINVAL). The link stays where it was.
pub fn move_link(from: &NetNs, link: &Link, to: Arrival<'_>) -> Result<Link> {
    let failed = |errno| Error::new(OPERATION, &link.name, io::Error::from_raw_os_error(errno));
    let (here, there) = (Netlink::open_in(from)?, Netlink::open_in(to.ns)?);
    if there.link(to.name)?.is_some() {
        return Err(failed(libc::EEXIST));
    }
    if let Err(error) = here.send_away(link, to) {
        put_back(&here, &there, from, link);
        return Err(error);
    }
    there.link(to.name)?.ok_or_else(|| failed(libc::ENODEV))
}

/// The kernel moves before it renames: where it then refuses the name, the link is there already,
/// under its old one.
fn put_back(here: &Netlink, there: &Netlink, from: &NetNs, link: &Link) {
    let is_here = |seen: Option<Link>| seen.is_some_and(|seen| seen.name == link.name);
    if here.link_by_index(link.index).is_ok_and(is_here) {
        return;
    }
    let back = Arrival {
        ns: from,
        name: &link.name,
        alias: link.alias.as_deref().unwrap_or_default(),
        up: link.up,
    };
    match there.link(&link.name) {
        Ok(Some(moved)) => {
            if let Err(error) = there.send_away(&moved, back) {
                tracing::warn!(%error, "the link stays where it was moved");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the link that was moved cannot be found"),
    }
}

impl Netlink {
    fn send_away(&self, link: &Link, to: Arrival<'_>) -> Result<()> {
        let message = LinkUnspec::new_with_index(link.index.0)
            .setns_by_fd(to.ns.as_fd().as_raw_fd())
            .name(to.name.as_str())
            .alias(to.alias);
        let message = if to.up { message.up() } else { message.down() };
        let message = RouteNetlinkMessage::SetLink(message.build());
        self.request(OPERATION, &link.name, message, 0).map(drop)
    }
}
