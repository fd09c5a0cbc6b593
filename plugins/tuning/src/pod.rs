//! The pod's namespace and its interface.

use attach::{Refusal, apply::IPV6_MIN_MTU, netns};
use kernel::{IfName, Link, NetNs, Netlink};

use crate::{attributes::Attributes, error::Error, kept::HostEnd};

/// One pod.
pub(crate) struct Pod {
    /// Its namespace.
    pub ns: NetNs,
    /// A socket in there.
    pub netlink: Netlink,
    name: IfName,
}

impl Pod {
    /// Opens the namespace.
    ///
    /// # Errors
    /// It cannot be entered; no name for an interface.
    pub(crate) fn new(ns: NetNs, ifname: &str) -> Result<Self, Error> {
        Ok(Self {
            netlink: netns::socket(&ns)?,
            name: netns::interface_name(ifname)?,
            ns,
        })
    }

    /// The interface, if it is there.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(crate) fn link(&self) -> Result<Option<Link>, Error> {
        self.netlink
            .link(&self.name)
            .map_err(|source| Error::LookUp {
                name: self.name.to_string(),
                source: Refusal::from(source),
            })
    }

    /// The interface's name.
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }
}

/// The host's end of the pair that was kept, if it still is the interface's other end.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn kept_host_end(
    host: &Netlink,
    kept: &HostEnd,
    link: &Link,
) -> Result<Option<Link>, Error> {
    let Ok(name) = kept.name.parse() else {
        return Ok(None);
    };
    let found = host.link(&name)?;
    Ok(found.filter(|found| attach::chained::is_other_end(found, link)))
}

/// What the host's end of a pair has where the pod's has this MTU. A bridge follows its smallest port: with less
/// than IPv6 needs all its pods would lose their IPv6 gateway.
pub(crate) fn host_end_mtu(end: &Link, mtu: u32) -> Attributes {
    match end.master {
        Some(_) => self::mtu(mtu.max(IPV6_MIN_MTU)),
        None => self::mtu(mtu),
    }
}

/// An MTU alone.
pub(crate) fn mtu(mtu: u32) -> Attributes {
    Attributes {
        mtu: Some(mtu),
        ..Attributes::default()
    }
}
