//! A queue of a tun device: what a program reads from it the kernel sends, what it writes the kernel
//! receives.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::libc;

use super::{Tap, attach, checked, flags, open, set};
use crate::{Error, IfName, Result};

/// One of the queues of a tun device with virtio's header and several queues. It does not wait: where
/// there is nothing to read, reading fails with `WouldBlock`.
///
/// Attaching needs CAP_NET_ADMIN; reading and writing need none.
#[derive(Debug)]
pub struct TunQueue(File);

/// What a device with such queues is made with.
const DEVICE: Tap = Tap {
    is_tun: true,
    multi_queue: true,
    packet_information: false,
    vnet_header: true,
    owner: None,
    group: None,
    is_temporary: false,
};
/// The kernel hands over packets with unfinished checksums, and TCP's of several segments in one.
const TCP: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
/// UDP's, too: Linux 6.2 and later, for both families or for none.
const UDP: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

impl TunQueue {
    /// The kind of device that has such queues.
    pub const DEVICE: Tap = DEVICE;

    /// A further queue of a device that is there, in the calling thread's namespace. Where there is none the
    /// kernel makes one, which goes with the queue: who means a certain device compares its index then.
    ///
    /// # Errors
    /// There is no such device and none can be made; it is of another kind (EINVAL) or another program's
    /// alone (EBUSY).
    pub fn attach(name: &IfName) -> Result<Self> {
        let failed = |source| Error::new("attach to", name, source);
        let file = open()?;
        attach(&file, name, flags(DEVICE)).map_err(failed)?;
        let queue = Self(file);
        queue.set_nonblocking().map_err(failed)?;
        let offered = set(&queue.0, libc::TUNSETOFFLOAD, (TCP | UDP).into());
        offered
            .or_else(|_| set(&queue.0, libc::TUNSETOFFLOAD, TCP.into()))
            .map_err(failed)?;
        Ok(queue)
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&self.0, nix::fcntl::FcntlArg::F_SETFL(flags))?;
        Ok(())
    }

    /// Whether several UDP datagrams can be written as one packet.
    pub fn takes_udp_segments(&self) -> bool {
        // It is there if it can be set again.
        set(&self.0, libc::TUNSETOFFLOAD, (TCP | UDP).into()).is_ok()
    }

    /// The device; `None` when it is gone.
    ///
    /// # Errors
    /// It is no queue (ENOTTY).
    pub fn device(&self) -> Result<Option<IfName>> {
        match self.name() {
            // It is of no device any more.
            Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Ok(None),
            name => name
                .map(Some)
                .map_err(|source| Error::new("get", "device of a queue", source)),
        }
    }

    fn name(&self) -> io::Result<IfName> {
        let mut request = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
        };
        // SAFETY: the file is open, and TUNGETIFF writes the structure that it is given.
        let answer =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TUNGETIFF as _, &raw mut request) };
        checked(answer)?;
        let bytes = request.ifr_name.map(|byte| byte as u8);
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(io::Error::other)?;
        name.parse().map_err(io::Error::other)
    }

    /// The next packet, with virtio's header before it: how many bytes both have.
    ///
    /// # Errors
    /// `WouldBlock`; the device is gone (EBADFD).
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }

    /// Has the kernel receive a packet, in parts, of which the first begins with virtio's header.
    ///
    /// # Errors
    /// The kernel does not take it (EINVAL); the device is down (EIO) or gone (EBADFD).
    pub fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        (&self.0).write_vectored(parts).map(drop)
    }

    /// The same queue once more.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl From<OwnedFd> for TunQueue {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl AsFd for TunQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
