//! What a link's driver does for the kernel: `ethtool -k`, `ethtool -K`. Route netlink does not tell.
//!
//! Asking needs nothing, changing CAP_NET_ADMIN.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::libc;

use crate::{Error, IfName, Netlink, Result};

/// `ETHTOOL_GTXCSUM` and `ETHTOOL_STXCSUM` of linux/ethtool.h.
const GET_CHECKSUMS: u32 = 0x16;
const SET_CHECKSUMS: u32 = 0x17;

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

impl Netlink {
    /// Whether packets that leave by a link get their checksums from its driver (`tx-checksumming` of
    /// `ethtool -k`): a tunnel's driver passes that on to the link below.
    ///
    /// # Errors
    /// There is no such link; it knows no such thing.
    pub fn offloads_checksums(&self, link: &IfName) -> Result<bool> {
        let data = self.ethtool(link, GET_CHECKSUMS, 0);
        let data = data.map_err(|source| Error::new("ask tx-checksumming of", link, source))?;
        Ok(data != 0)
    }

    /// `ethtool -K LINK tx on`, or `off`: then the kernel computes the checksums before the link
    /// has the packet, and segments large packets before that, too.
    ///
    /// # Errors
    /// There is no such link; the driver cannot do otherwise.
    pub fn set_checksum_offload(&self, link: &IfName, on: bool) -> Result<()> {
        let set = self.ethtool(link, SET_CHECKSUMS, on.into());
        set.map_err(|source| Error::new("set tx-checksumming of", link, source))?;
        Ok(())
    }

    fn ethtool(&self, link: &IfName, command: u32, data: u32) -> io::Result<u32> {
        ask(self.lock().socket().as_raw_fd(), link, command, data)
    }
}

/// Any socket will do; the link is one of its namespace.
fn ask(socket: RawFd, link: &IfName, command: u32, data: u32) -> io::Result<u32> {
    let mut value = Value { command, data };
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: std::ptr::from_mut(&mut value).cast(),
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(link.as_str().bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: `socket` is open while its owner is locked; `request` is the structure that SIOCETHTOOL
    // reads, its name ends in a zero because an IfName has at most 15 bytes, and `value`, which it
    // points to, lives until the call has ended and is what these two commands read and write.
    let answer = unsafe { libc::ioctl(socket, libc::SIOCETHTOOL as _, &mut request) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value.data)
}
