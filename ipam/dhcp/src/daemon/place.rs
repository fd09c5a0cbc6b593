//! Where a lease is used: an interface in a namespace.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::error::one_line;
use kernel::{Link, LinkChange, LinkIndex, MacAddr, NetNs, NetNsError, NetNsId, Netlink};
use tokio::time::{Instant, sleep};

use crate::protocol::{message::Mac, packet::CLIENT_PORT, wire::LinkWire};

/// How long a link may take to come up; the kernel drops what is sent before.
const LINK_LIMIT: Duration = Duration::from_secs(2);
const LINK_PAUSE: Duration = Duration::from_millis(2);

/// Why there is no such place, or nothing can be done there.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// The namespace is not there.
    #[error("error opening netns {path:?}: {problem}", path = path.display(), problem = one_line(source))]
    NetNs { path: PathBuf, source: NetNsError },
    /// The interface is not there. The reference's text.
    #[error("error looking up {0:?}: Link not found")]
    Link(String),
    /// The interface has no hardware address of Ethernet's kind.
    #[error("interface {0:?} has no Ethernet address: DHCP cannot be spoken on it")]
    Mac(String),
    /// Another namespace or another interface is where this one was.
    #[error("interface {0:?} is gone")]
    Gone(String),
    /// The kernel refused.
    #[error("{}", one_line(.0))]
    Kernel(#[from] kernel::Error),
}

/// An interface, known again although names and paths are given to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) netns: PathBuf,
    pub(super) id: NetNsId,
    /// What tells the namespace from a later one with the same number; `None`: nobody knows.
    pub(super) cookie: Option<u64>,
    pub(super) ifname: String,
    pub(super) link: LinkIndex,
}

/// A place with its namespace held open.
pub(super) struct Inside {
    ns: NetNs,
    netlink: Netlink,
    link: Link,
    pub(super) mac: Mac,
}

impl PlaceError {
    /// Whether namespace or interface are no longer there, for ever.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Link(_) | Self::Gone(_) => true,
            Self::NetNs { source, .. } => matches!(
                source,
                NetNsError::Missing { .. }
                    | NetNsError::NotANamespace { .. }
                    | NetNsError::OtherKind { .. }
            ),
            Self::Mac(_) | Self::Kernel(_) => false,
        }
    }
}

impl Place {
    /// The same interface, by whatever path its namespace is reached.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_in(other.id, other.cookie) && self.link == other.link && self.ifname == other.ifname
    }

    fn is_in(&self, id: NetNsId, cookie: Option<u64>) -> bool {
        self.id == id && (self.cookie.is_none() || self.cookie == cookie)
    }

    /// The interface of this name in the namespace at this path.
    pub(super) fn find(netns: &Path, ifname: &str) -> Result<Self, PlaceError> {
        let ns = open(netns)?;
        let not_found = || PlaceError::Link(ifname.to_owned());
        let name = ifname.parse().map_err(|_| not_found())?;
        let link = Netlink::open_in(&ns)?.link(&name)?.ok_or_else(not_found)?;
        Ok(Self {
            netns: netns.to_owned(),
            id: ns.id()?,
            cookie: ns.cookie()?,
            ifname: ifname.to_owned(),
            link: link.index,
        })
    }

    /// Holds the namespace open, if the interface still is there, whatever the pod calls it by now: one that runs a
    /// virtual machine gives it another name, and its own to another link.
    pub(super) fn enter(&self) -> Result<Inside, PlaceError> {
        let ns = open(&self.netns)?;
        let gone = || PlaceError::Gone(self.ifname.clone());
        if !self.is_in(ns.id()?, ns.cookie()?) {
            return Err(gone());
        }
        let netlink = Netlink::open_in(&ns)?;
        let link = netlink.link_by_index(self.link)?.ok_or_else(gone)?;
        let no_mac = || PlaceError::Mac(self.ifname.clone());
        let MacAddr(mac) = link.mac.ok_or_else(no_mac)?;
        Ok(Inside {
            netlink,
            ns,
            link,
            mac,
        })
    }
}

fn open(netns: &Path) -> Result<NetNs, PlaceError> {
    NetNs::open(netns).map_err(|source| PlaceError::NetNs {
        path: netns.to_owned(),
        source,
    })
}

impl Inside {
    /// Sets the link up where it is down, and waits until it carries something.
    pub(super) async fn set_up(&self) -> Result<(), PlaceError> {
        if !self.link.up {
            tracing::info!(link = %self.link.name, "link is down, setting it up");
            self.change(true)?;
        }
        let end = Instant::now() + LINK_LIMIT;
        while Instant::now() < end {
            let link = self.netlink.link_by_index(self.link.index)?;
            let link = link.ok_or_else(|| PlaceError::Gone(self.link.name.to_string()))?;
            if link.oper_up {
                break;
            }
            sleep(LINK_PAUSE).await;
        }
        Ok(())
    }

    /// Sets the link down: it has no address any more that it may use.
    pub(super) fn set_down(&self) -> Result<(), PlaceError> {
        self.change(false)
    }

    fn change(&self, up: bool) -> Result<(), PlaceError> {
        let change = LinkChange {
            up: Some(up),
            ..LinkChange::default()
        };
        Ok(self.netlink.set_link(self.link.index, &change)?)
    }

    /// Takes the client's port of an address, so that the pod's kernel does not answer the server
    /// that nobody listens there. `None` where the address is not there yet, or a program of the
    /// pod's has the port: then there is no such answer either, or it is not ours to keep back.
    pub(super) fn take_port(&self, address: Ipv4Addr) -> Option<UdpSocket> {
        let bound = self.ns.step_in(|| UdpSocket::bind((address, CLIENT_PORT)));
        bound.ok()?.ok()
    }

    pub(super) fn wire(&self) -> Result<LinkWire, PlaceError> {
        Ok(LinkWire::open(&self.ns, self.link.index)?)
    }
}
