//! UDP sockets that find out what a path carries. No capabilities needed for ports from 1024 on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt, socket,
    sockopt::Ipv6V6Only,
};

use crate::{Error, Family, Result};

/// A socket on `port` of every address of one family. Nobody may break its packets into pieces, and
/// what the kernel believes of a path is not asked (IP_PMTUDISC_PROBE, ip(7)): a packet that is larger
/// than the device carries is refused (EMSGSIZE), one that is too large further on is lost. It does
/// not wait.
///
/// # Errors
/// Another socket has the port; the kernel has no such family.
pub fn probing(family: Family, port: u16) -> Result<UdpSocket> {
    let opened = open(family, port);
    let socket = opened.map_err(|errno| {
        Error::new("open", format!("UDP port {port} of {family}"), errno.into())
    })?;
    Ok(socket.into())
}

fn open(family: Family, port: u16) -> nix::Result<OwnedFd> {
    let domain = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(domain, SockType::Datagram, flags, None)?;
    match family {
        Family::V4 => {
            let probe = libc::IP_PMTUDISC_PROBE;
            set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, probe)?;
            let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            bind(socket.as_raw_fd(), &SockaddrIn::from(any))?;
        }
        Family::V6 => {
            setsockopt(&socket, Ipv6V6Only, &true)?;
            let probe = libc::IPV6_PMTUDISC_PROBE;
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, probe)?;
            let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
            bind(socket.as_raw_fd(), &SockaddrIn6::from(any))?;
        }
    }
    Ok(socket)
}

/// nix has no names for these options.
fn set(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> nix::Result<()> {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes at the address of `value`, which is so large and lives until
    // the call returns.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size,
        )
    };
    Errno::result(outcome).map(drop)
}
