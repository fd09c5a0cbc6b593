//! Packet forwarding of the host: [`kernel::forwarding`] with this crate's errors.

use kernel::{IfName, sysctl::Sysctls};

use crate::{Error, Result};

/// See [`kernel::forwarding::enable_in`].
///
/// # Errors
/// A sysctl that cannot be read or written.
pub fn enable(host: &Sysctls, ipv4: bool, ipv6: bool) -> Result<()> {
    kernel::forwarding::enable_in(host, ipv4, ipv6).map_err(|source| Error::Forwarding { source })
}

/// Lets a new link of the host, by which it reaches pods, use its link-local address as soon as the kernel gives
/// it one, with the carrier: nobody looks for duplicates of it, which is made of a random MAC address. As long as
/// it may be another's, no neighbour is asked for in its name, and a packet that comes from elsewhere for a pod
/// waits for a second or two.
///
/// Advice only: a kernel without IPv6 has no such file, and `conf/all/accept_dad` may ask for it all the same.
pub fn at_once(host: &Sysctls, link: &IfName) {
    let _ = host.write(&format!("net/ipv6/conf/{link}/accept_dad"), "0");
}

/// See [`kernel::forwarding::disabled`].
///
/// # Errors
/// A sysctl that cannot be read.
pub fn disabled(ipv4: bool, ipv6: bool) -> Result<Option<&'static str>> {
    kernel::forwarding::disabled(ipv4, ipv6).map_err(|source| Error::Forwarding { source })
}
