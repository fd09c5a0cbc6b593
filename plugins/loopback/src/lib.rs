//! The CNI plugin `loopback`: sets `lo` up in the container's namespace and reports its
//! addresses. It owns nothing, so DEL has nothing to do. `CNI_IFNAME` is not looked at: the
//! interface is always `lo`. Needs CAP_NET_ADMIN in the container's namespace and CAP_SYS_ADMIN to
//! enter it.

mod add;
mod check;
mod config;
mod error;

use cni::{AddResult, Attachment, Call, Detachment, Plugin, PluginSchema, ValidAttachment};
use kernel::{IfName, Link, LinkChange, NetNs, Netlink};

use crate::error::Error;

/// The plugin as it runs on a node.
pub static LOOPBACK: Loopback = Loopback;

/// Sets `lo` up.
#[derive(Clone, Copy, Debug)]
pub struct Loopback;

impl Plugin for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn role(&self) -> cni::Role {
        cni::Role::Interface
    }

    fn schema(&self) -> PluginSchema {
        PluginSchema::of::<config::Config>(
            "sets the pod's loopback interface up",
            include_str!("../example.conflist"),
        )
    }

    fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
        add::add(call, attachment)
    }

    /// Leaves `lo` alone: it goes with the namespace, and a path that was recycled leads to a
    /// container that lives.
    fn del(&self, _: &Call<'_>, _: &Detachment) -> Result<(), cni::Error> {
        Ok(())
    }

    fn check(&self, _: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
        Ok(check::check(attachment)?)
    }

    /// Nothing of this plugin outlives its container.
    fn gc(&self, _: &Call<'_>, _: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
        Ok(())
    }

    /// Every kernel has `lo`.
    fn status(&self, _: &Call<'_>) -> Result<(), cni::Error> {
        attach::status::may_change_networks()
    }
}

/// `lo` of a namespace, and the socket to speak of it.
struct Lo {
    netlink: Netlink,
    link: Link,
}

impl Lo {
    fn find(ns: &NetNs) -> Result<Self, Error> {
        let netlink = Netlink::open_in(ns)?;
        let name: IfName = "lo".parse()?;
        let link = netlink.link(&name)?.ok_or(Error::NoLoopback)?;
        Ok(Self { netlink, link })
    }

    fn set_up(&self) -> Result<(), Error> {
        let change = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        Ok(self.netlink.set_link(self.link.index, &change)?)
    }
}
