//! UDP sockets that send and receive many datagrams at once: one call, one pass through the kernel.
//! udp(7): UDP_SEGMENT and UDP_GRO. No capabilities needed, but for large buffers CAP_NET_ADMIN.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn,
    bind, getsockname, recvmsg, sendmsg, setsockopt, socket, sockopt,
};

use crate::{Error, Result};

/// Room for what arrives or leaves faster than it is taken, bytes.
const BUFFER: usize = 4 << 20;

/// An IPv4 socket. Receiving does not wait, sending does.
#[derive(Debug)]
pub struct DatagramSocket(OwnedFd);

/// What one call received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// All bytes.
    pub length: usize,
    /// Each datagram's, but for the last, which may be shorter; `length` when there is one.
    pub segment: usize,
    /// Who sent them.
    pub from: SocketAddrV4,
}

impl DatagramSocket {
    /// So many datagrams can be sent at once (`UDP_MAX_SEGMENTS` of kernels before 6.9).
    pub const MOST_SEGMENTS: usize = 64;
    /// So many bytes can be sent at once: what an IPv4 packet holds.
    pub const MOST_BYTES: usize = 65_507;

    /// Opens `count` of them in the calling thread's namespace, at one address: a sender always meets the
    /// same one. Nobody else has the port then, not even with SO_REUSEPORT. From then on a program of this
    /// user that sets SO_REUSEPORT may bind it beside them.
    ///
    /// # Errors
    /// [`is_address_in_use`](Error::is_address_in_use): the port is another socket's; the address is
    /// not the node's (EADDRNOTAVAIL).
    pub fn open(local: SocketAddrV4, count: usize) -> Result<Vec<Self>> {
        let opened = open_all(local, count);
        let sockets = opened.map_err(|errno| Error::new("open UDP socket", local, errno.into()))?;
        Ok(sockets.into_iter().map(Self).collect())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// It is no IPv4 socket.
    pub fn local(&self) -> Result<SocketAddrV4> {
        let local = getsockname::<SockaddrIn>(self.0.as_raw_fd());
        let failed = |errno: Errno| Error::new("get", "address of a UDP socket", errno.into());
        Ok(local.map_err(failed)?.into())
    }

    /// The datagrams of one sender that are next, of one size. `buffer` has room for 65,535 bytes.
    ///
    /// # Errors
    /// `WouldBlock`.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = cmsg_space!(i32);
        let flags = MsgFlags::MSG_DONTWAIT;
        let socket = self.0.as_raw_fd();
        let message = recvmsg::<SockaddrIn>(socket, &mut parts, Some(&mut control), flags)?;
        let size = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
            _ => None,
        });
        let from = message.address.ok_or(io::ErrorKind::InvalidData)?;
        let length = message.bytes;
        let size = size.filter(|size| (1..=length).contains(size));
        Ok(Received {
            length,
            segment: size.unwrap_or(length),
            from: from.into(),
        })
    }

    /// Sends the bytes of all parts: as datagrams of `segment` bytes, of which the last may be
    /// shorter, or as one.
    ///
    /// # Errors
    /// A datagram is too long for the path (EMSGSIZE, EINVAL when there are several); there is no way
    /// there.
    pub fn send(
        &self,
        to: SocketAddrV4,
        parts: &[IoSlice<'_>],
        segment: Option<u16>,
    ) -> io::Result<()> {
        let to = SockaddrIn::from(to);
        let control = segment.as_ref().map(ControlMessage::UdpGsoSegments);
        let control = control.as_slice();
        let flags = MsgFlags::empty();
        sendmsg(self.0.as_raw_fd(), parts, control, flags, Some(&to))?;
        Ok(())
    }

    /// The same socket once more.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl From<OwnedFd> for DatagramSocket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The kernel lets a socket that shares its port (SO_REUSEPORT) beside another one that does: the first
/// does so only when it has the port.
fn open_all(local: SocketAddrV4, count: usize) -> nix::Result<Vec<OwnedFd>> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = unbound()?;
        let is_first = sockets.is_empty();
        if !is_first {
            setsockopt(&socket, sockopt::ReusePort, &true)?;
        }
        bind(socket.as_raw_fd(), &SockaddrIn::from(local))?;
        if is_first {
            setsockopt(&socket, sockopt::ReusePort, &true)?;
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

fn unbound() -> nix::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // Before Linux 5.0 there is none, and each call receives one datagram.
    let _ = setsockopt(&socket, sockopt::UdpGroSegment, &true);
    // Without CAP_NET_ADMIN the usual room has to do.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
    let _ = setsockopt(&socket, sockopt::SndBufForce, &BUFFER);
    Ok(socket)
}
