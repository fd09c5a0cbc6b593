//! Packet forwarding of the host.

use crate::{Error, Result};

/// Lets the calling thread's namespace forward packets of the families given. Never switched
/// off again: others may rely on it (kernel: ip-sysctl, `ip_forward` and `conf/all/forwarding`).
///
/// # Errors
/// A sysctl that cannot be read or written.
pub fn enable(ipv4: bool, ipv6: bool) -> Result<()> {
    let families = [
        (ipv4, "net/ipv4/ip_forward"),
        (ipv6, "net/ipv6/conf/all/forwarding"),
    ];
    for (_, key) in families.into_iter().filter(|(wanted, _)| *wanted) {
        kernel::sysctl::set(key, "1").map_err(|source| Error::Forwarding { source })?;
    }
    Ok(())
}
