//! Packet forwarding of the host: [`kernel::forwarding`] with this crate's errors.

use kernel::sysctl::Sysctls;

use crate::{Error, Result};

/// See [`kernel::forwarding::enable_in`].
///
/// # Errors
/// A sysctl that cannot be read or written.
pub fn enable(host: &Sysctls, ipv4: bool, ipv6: bool) -> Result<()> {
    kernel::forwarding::enable_in(host, ipv4, ipv6).map_err(|source| Error::Forwarding { source })
}

/// See [`kernel::forwarding::disabled`].
///
/// # Errors
/// A sysctl that cannot be read.
pub fn disabled(ipv4: bool, ipv6: bool) -> Result<Option<&'static str>> {
    kernel::forwarding::disabled(ipv4, ipv6).map_err(|source| Error::Forwarding { source })
}
