//! The namespace that a socket is in.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use crate::{Error, NetNs, Result};

/// `SIOCGSKNS` of linux/sockios.h.
const GET_NAMESPACE: u16 = 0x894c;

/// What stands in errors for the path that such a namespace has not.
const PATH: &str = "of a socket";

mod request {
    nix::ioctl_none_bad!(get_namespace, super::GET_NAMESPACE);
}

impl NetNs {
    /// The namespace in which a socket was opened. Needs CAP_NET_ADMIN in it.
    ///
    /// # Errors
    /// EPERM without that; no descriptors left.
    pub(crate) fn of_socket(socket: &impl AsRawFd) -> Result<Self> {
        let failed = |source| Error::new("open network namespace", PATH, source);
        let file = open(socket.as_raw_fd()).map_err(failed)?;
        Ok(Self {
            file,
            path: PathBuf::from(PATH),
        })
    }
}

fn open(socket: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: `socket` is open while its owner is borrowed; this request takes no argument.
    let file = unsafe { request::get_namespace(socket) }?;
    // SAFETY: the kernel has just opened this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}
