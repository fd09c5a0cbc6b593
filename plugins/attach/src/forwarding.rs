//! Packet forwarding of the host.

use crate::{Error, Result};

/// Lets the calling thread's namespace forward packets of the families given. Never switched
/// off again: others may rely on it (kernel: ip-sysctl, `ip_forward` and `conf/all/forwarding`).
///
/// # Errors
/// A sysctl that cannot be read or written.
pub fn enable(ipv4: bool, ipv6: bool) -> Result<()> {
    for key in keys(ipv4, ipv6) {
        kernel::sysctl::set(key, "1").map_err(|source| Error::Forwarding { source })?;
    }
    Ok(())
}

/// The first sysctl of the families given that does not let the calling thread's namespace
/// forward their packets.
///
/// # Errors
/// A sysctl that cannot be read.
pub fn disabled(ipv4: bool, ipv6: bool) -> Result<Option<&'static str>> {
    for key in keys(ipv4, ipv6) {
        let value = kernel::sysctl::get(key).map_err(|source| Error::Forwarding { source })?;
        if value.trim() == "0" {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn keys(ipv4: bool, ipv6: bool) -> impl Iterator<Item = &'static str> {
    let families = [
        (ipv4, "net/ipv4/ip_forward"),
        (ipv6, "net/ipv6/conf/all/forwarding"),
    ];
    families
        .into_iter()
        .filter_map(|(wanted, key)| wanted.then_some(key))
}
