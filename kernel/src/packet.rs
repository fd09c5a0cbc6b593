//! Packet sockets: IPv4 datagrams to and from a link that need not have an address (packet(7)).
//!
//! Opening needs CAP_NET_RAW in the user namespace that owns the network namespace.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, recvfrom, sendto,
    socket,
};
use tokio::io::unix::AsyncFd;

use crate::{Error, LinkIndex, MacAddr, Result};

const IPV4: u16 = libc::ETH_P_IP as u16;
/// Before a bridge takes what comes in by its port, which those who listen to IPv4 alone never see.
const ALL: u16 = libc::ETH_P_ALL as u16;

/// A socket that sends IPv4 packets by one link, and receives the UDP datagrams to one port that
/// come in by it, whatever their destination address, also where the link is a bridge's port; not those of its
/// VLANs. It does not wait: where nothing can be had,
/// calls fail with `WouldBlock`.
///
/// It belongs to the namespace in which it was opened, and keeps that alive.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    link: LinkIndex,
}

impl PacketSocket {
    /// Opens one in the calling thread's namespace. Everything but UDP to `port` is left out by
    /// the kernel, so that a busy link does not push out what is waited for.
    ///
    /// # Errors
    /// No such link (ENODEV); no right to do so.
    pub fn open(link: LinkIndex, port: u16) -> Result<Self> {
        let opened = open_socket(link, port);
        let socket =
            opened.map_err(|errno| Error::new("open packet socket on", link, errno.into()))?;
        Ok(Self { socket, link })
    }

    /// Sends an IPv4 packet to whoever has this hardware address on the link.
    ///
    /// # Errors
    /// `WouldBlock`; the link is down (ENETDOWN) or gone (ENXIO, ENODEV).
    pub fn send(&self, packet: &[u8], to: MacAddr) -> io::Result<()> {
        let address = link_address(self.link, IPV4, Some(to))?;
        let sent = sendto(self.socket.as_raw_fd(), packet, &address, MsgFlags::empty());
        Ok(sent.map(drop)?)
    }

    /// The next IPv4 packet, as much of it as `buffer` holds: its length, and who sent it. The
    /// checksum of a datagram that never left the machine may be unfinished.
    ///
    /// # Errors
    /// `WouldBlock`; once, that the link went down (ENETDOWN).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, MacAddr)> {
        let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer)?;
        let from = from.and_then(|address| address.addr()).unwrap_or_default();
        Ok((length, MacAddr(from)))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The same for tasks: its calls wait.
#[derive(Debug)]
pub struct PacketChannel(AsyncFd<PacketSocket>);

impl PacketChannel {
    /// Watches a socket for the calling task's runtime.
    ///
    /// # Errors
    /// No descriptors or memory left.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[allow(unsafe_code, reason = "tokio cannot know whose descriptor it watches")]
    pub fn new(socket: PacketSocket) -> Result<Self> {
        let link = socket.link;
        // SAFETY: the descriptor that as_raw_fd() gives is an OwnedFd of the socket's own, always
        // the same, open for as long as the socket is there.
        let watched = unsafe { AsyncFd::register(socket) };
        watched
            .map(Self)
            .map_err(|error| Error::new("watch packet socket on", link, error.into()))
    }

    /// As [`PacketSocket::send`].
    ///
    /// # Errors
    /// The link is down (ENETDOWN) or gone (ENXIO, ENODEV).
    pub async fn send(&self, packet: &[u8], to: MacAddr) -> io::Result<()> {
        loop {
            let mut ready = self.0.writable().await?;
            if let Ok(sent) = ready.try_io(|socket| socket.get_ref().send(packet, to)) {
                return sent;
            }
        }
    }

    /// As [`PacketSocket::receive`]. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Once, that the link went down (ENETDOWN).
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, MacAddr)> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(received) = ready.try_io(|socket| socket.get_ref().receive(buffer)) {
                return received;
            }
        }
    }
}

/// Nothing is received before the last step, so that the filter misses nothing.
fn open_socket(link: LinkIndex, port: u16) -> nix::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Datagram,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    attach(&socket, &mut udp_to(port))?;
    bind(socket.as_raw_fd(), &link_address(link, ALL, None)?)?;
    Ok(socket)
}

#[allow(unsafe_code, reason = "nix makes no link addresses to send to")]
fn link_address(link: LinkIndex, protocol: u16, mac: Option<MacAddr>) -> nix::Result<LinkAddr> {
    let mut address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(link.0).map_err(|_| Errno::ENODEV)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    if let Some(MacAddr(mac)) = mac {
        address.sll_halen = mac.len() as u8;
        address.sll_addr[..mac.len()].copy_from_slice(&mac);
    }
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer leads to a whole sockaddr_ll of the length told, which is copied.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    address.ok_or(Errno::EINVAL)
}

/// The classic filter for UDP over IPv4 to `port` that comes in, not a later fragment, without a VLAN (linux
/// Documentation/networking/filter.rst). Offsets count from the IP header.
fn udp_to(port: u16) -> [libc::sock_filter; 15] {
    // About the packet, in place of an offset.
    const ABOUT: u32 = libc::SKF_AD_OFF as u32;
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const LOAD_HALF_BEHIND: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
    const LOAD_HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const PROTOCOL: u32 = 9;
    const FRAGMENT: u32 = 6;
    const OFFSET_BITS: u32 = 0x1fff;
    const DESTINATION_PORT: u32 = 2;
    const VLAN_ID: u32 = 0xfff;
    [
        step(LOAD, 0, 0, ABOUT + libc::SKF_AD_PROTOCOL as u32),
        step(IF_EQUAL, 0, 12, u32::from(IPV4)),
        step(LOAD, 0, 0, ABOUT + libc::SKF_AD_PKTTYPE as u32),
        step(IF_EQUAL, 10, 0, u32::from(libc::PACKET_OUTGOING)),
        step(LOAD, 0, 0, ABOUT + libc::SKF_AD_VLAN_TAG as u32),
        step(IF_ANY_BIT, 8, 0, VLAN_ID),
        step(LOAD_BYTE, 0, 0, PROTOCOL),
        step(IF_EQUAL, 0, 6, libc::IPPROTO_UDP as u32),
        step(LOAD_HALF, 0, 0, FRAGMENT),
        step(IF_ANY_BIT, 4, 0, OFFSET_BITS),
        step(LOAD_HEADER_LENGTH, 0, 0, 0),
        step(LOAD_HALF_BEHIND, 0, 0, DESTINATION_PORT),
        step(IF_EQUAL, 0, 1, u32::from(port)),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ]
}

/// One instruction of a classic filter.
pub(crate) fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

/// What arrives at a socket from now on passes a classic filter first.
#[allow(unsafe_code, reason = "nix has no SO_ATTACH_FILTER")]
pub(crate) fn attach(socket: &impl AsRawFd, filter: &mut [libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the descriptor is open; the program and the instructions that it points to live
    // until the call returns, and the kernel copies them and writes nothing.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    Errno::result(outcome).map(drop)
}
