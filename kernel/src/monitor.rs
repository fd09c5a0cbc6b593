//! What others change: `ip monitor link address route neigh`.
//!
//! No capabilities needed.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;

use crate::netlink::is_overrun;
use crate::packet::{attach, step};
use crate::{Error, IfName, LinkIndex, MacAddr, Netlink, Result, Route, answer, fdb};

/// What is listened to. FDB entries of devices are announced as neighbours.
const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];

/// Bytes of announcements that may wait: some 1,000. More is [`Event::StateLost`], which costs one
/// look at everything.
const WAITING: usize = 1024 * 1024;

/// One announcement does not exceed this many bytes.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Something has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link came, changed or went.
    Link {
        /// Which.
        index: LinkIndex,
        /// Its name, if announced.
        name: Option<IfName>,
        /// It went.
        removed: bool,
    },
    /// An address came, changed or went.
    Address {
        /// On which link.
        link: LinkIndex,
        /// It went.
        removed: bool,
    },
    /// A route came, changed or went. The kernel does not announce the IPv4 routes that go with a
    /// link: the link's event stands for them.
    Route {
        /// Which.
        route: Route,
        /// It went.
        removed: bool,
    },
    /// A neighbour or an FDB entry came, changed or went.
    Neighbour {
        /// On which link.
        link: LinkIndex,
        /// Which, as far as that can be read.
        entry: Option<Entry>,
        /// It went.
        removed: bool,
    },
    /// Announcements were lost or cannot be read: look at everything again.
    StateLost,
}

/// A neighbour or an FDB entry, as it is announced. One that goes need not be called permanent any more,
/// and a neighbour then has no MAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A neighbour.
    Neighbour {
        /// Its address.
        address: IpAddr,
        /// Its hardware address.
        mac: Option<MacAddr>,
        /// Whether it stays until somebody removes it.
        permanent: bool,
    },
    /// An FDB entry.
    Fdb {
        /// The inner hardware address.
        mac: MacAddr,
        /// The outer address of the VTEP, if it names one.
        dst: Option<IpAddr>,
        /// Whether it stays until somebody removes it.
        permanent: bool,
    },
}

/// A socket that hears of changes in one network namespace.
pub struct Monitor {
    socket: TokioSocket,
    buffer: Vec<u8>,
    waiting: VecDeque<Event>,
}

impl Monitor {
    /// Listens in the calling thread's namespace, to links, addresses, routes of both families,
    /// neighbours and FDB entries, from now on: open it before the first look at the state.
    ///
    /// # Errors
    /// No descriptors or memory left.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<Self> {
        Self::without(None)
    }

    /// The same, but for the addresses, routes, neighbours and links that are changed through `own`: who changes
    /// thousands of them knows. (Of FDB entries the kernel does not say who changed them.)
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn of_others(own: &Netlink) -> Result<Self> {
        let port = own.port();
        Self::without(Some(port.map_err(failed)?))
    }

    fn without(port: Option<u32>) -> Result<Self> {
        let socket = open_socket(port).map_err(|source| Error::new("open", "monitor", source))?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(RECEIVE_BUFFER),
            waiting: VecDeque::new(),
        })
    }

    /// Waits for the next change. Nothing is lost when the future is dropped early.
    ///
    /// # Errors
    /// The socket fails; overruns are not errors but [`Event::StateLost`].
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer).await {
                Ok(()) => self.waiting.extend(events(&self.buffer)),
                Err(error) if is_overrun(&error) => {
                    self.drain().map_err(failed)?;
                    return Ok(Event::StateLost);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Throws away what waits. After an overrun the kernel drops announcements, and says so only
    /// once, until the socket was empty: a look at the state is good only after that.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self
                .socket
                .socket_ref()
                .recv(&mut self.buffer, libc::MSG_DONTWAIT)
            {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if !is_overrun(&error) => return Err(error),
                _ => {}
            }
        }
    }
}

fn failed(source: io::Error) -> Error {
    Error::new("read", "monitor", source)
}

/// The classic filter for what a netlink socket did not ask for (linux Documentation/networking/filter.rst): it
/// loads in network byte order.
fn not_by(port: u32) -> [libc::sock_filter; 4] {
    const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    /// `nlmsg_pid` in the message's header.
    const PORT: u32 = 12;
    [
        step(LOAD_WORD, 0, 0, PORT),
        step(IF_EQUAL, 0, 1, port.to_be()),
        step(RETURN, 0, 0, 0),
        step(RETURN, 0, 0, u32::MAX),
    ]
}

fn open_socket(without: Option<u32>) -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    let inner = socket.socket_mut();
    // Beyond the machine's limit with CAP_NET_ADMIN, else up to it.
    if setsockopt(inner, sockopt::RcvBufForce, &WAITING).is_err() {
        inner.set_rx_buf_sz(WAITING as libc::c_int)?;
    }
    if let Some(port) = without {
        attach(inner, &mut not_by(port))?;
    }
    let groups = GROUPS.iter().map(|group| 1 << (*group as u32 - 1)).sum();
    inner.bind(&SocketAddr::new(0, groups))?;
    Ok(socket)
}

fn events(datagram: &[u8]) -> impl Iterator<Item = Event> {
    answer::messages(datagram).filter_map(|message| match message {
        Ok(message) => match message.payload {
            NetlinkPayload::InnerMessage(object) => Event::from_message(object),
            NetlinkPayload::Overrun(_) => Some(Event::StateLost),
            _ => None,
        },
        Err(error) => {
            tracing::debug!(%error, "announcement cannot be read");
            Some(Event::StateLost)
        }
    })
}

impl Event {
    fn from_message(message: RouteNetlinkMessage) -> Option<Self> {
        use RouteNetlinkMessage as Message;
        Some(match message {
            Message::NewLink(link) => Self::from_link(link, false),
            Message::DelLink(link) => Self::from_link(link, true),
            Message::NewAddress(address) => Self::Address {
                link: LinkIndex(address.header.index),
                removed: false,
            },
            Message::DelAddress(address) => Self::Address {
                link: LinkIndex(address.header.index),
                removed: true,
            },
            Message::NewNeighbour(neighbour) => Self::from_neighbour(neighbour, false),
            Message::DelNeighbour(neighbour) => Self::from_neighbour(neighbour, true),
            Message::NewRoute(_) => Self::Route {
                route: Route::from_answer(message)?,
                removed: false,
            },
            Message::DelRoute(_) => Self::Route {
                route: Route::from_answer(message)?,
                removed: true,
            },
            _ => return None,
        })
    }

    fn from_neighbour(message: NeighbourMessage, removed: bool) -> Self {
        Self::Neighbour {
            link: LinkIndex(message.header.ifindex),
            entry: Entry::from_message(message),
            removed,
        }
    }

    /// A bridge announces in its own family what becomes of its ports: "removed" means that the
    /// link is a port no more.
    fn from_link(message: LinkMessage, removed: bool) -> Self {
        let name = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => name.parse().ok(),
                _ => None,
            });
        Self::Link {
            index: LinkIndex(message.header.index),
            name,
            removed: removed && message.header.interface_family != AddressFamily::Bridge,
        }
    }
}

impl Entry {
    fn from_message(message: NeighbourMessage) -> Option<Self> {
        let permanent = u16::from(message.header.state) & fdb::PERMANENT != 0;
        let of_device = message.header.family == AddressFamily::Bridge;
        let (mut address, mut mac) = (None, None);
        for attribute in message.attributes {
            match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
                NeighbourAttribute::Destination(to) => address = fdb::outer(to),
                _ => {}
            }
        }
        let mac = mac.map(MacAddr);
        Some(match of_device {
            true => Self::Fdb {
                mac: mac?,
                dst: address,
                permanent,
            },
            false => Self::Neighbour {
                address: address?,
                mac,
                permanent,
            },
        })
    }
}
