//! Packet forwarding of the calling thread's network namespace, and what must not be lost by it.
//!
//! Never switched off again: others may rely on it (kernel: ip-sysctl, `ip_forward` and
//! `conf/all/forwarding`). Reading needs nothing, writing CAP_NET_ADMIN.

use std::fs;

use crate::{
    Error, IfName, Result, if_there,
    sysctl::{self, Sysctls},
};

/// Lets the namespace forward packets of the families given. IPv6 is switched on only after
/// [`keep_router_advertisements`].
///
/// # Errors
/// A sysctl that cannot be read or written.
pub fn enable(ipv4: bool, ipv6: bool) -> Result<()> {
    enable_in(&Sysctls::open(), ipv4, ipv6)
}

/// [`enable`] for who has the calling thread's sysctls open already.
///
/// # Errors
/// As [`enable`].
pub fn enable_in(own: &Sysctls, ipv4: bool, ipv6: bool) -> Result<()> {
    if ipv6 {
        keep_advertisements(own)?;
    }
    for key in keys(ipv4, ipv6) {
        own.set(key, "1")?;
    }
    Ok(())
}

/// The first sysctl of the families given that does not let the namespace forward their packets.
///
/// # Errors
/// A sysctl that cannot be read.
pub fn disabled(ipv4: bool, ipv6: bool) -> Result<Option<&'static str>> {
    for key in keys(ipv4, ipv6) {
        if sysctl::get(key)? == "0" {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Lets the links that take router advertisements go on with that when the namespace forwards
/// IPv6: `accept_ra` 1 means "unless forwarding", and switching forwarding on throws the default
/// routes away that came by advertisement, unless it is 2 by then. Said once in the log: from then
/// on it is 2, or forwarding is on. Returns the links that it changed.
///
/// A link that forwards already ignores advertisements, and goes on to.
///
/// # Errors
/// A sysctl that cannot be read or written. Links that vanish meanwhile, and a kernel without
/// IPv6, are no errors.
pub fn keep_router_advertisements() -> Result<Vec<String>> {
    keep_advertisements(&Sysctls::open())
}

fn keep_advertisements(own: &Sysctls) -> Result<Vec<String>> {
    if if_there(own.get(IPV6))?.is_none_or(|on| on != "0") {
        return Ok(Vec::new());
    }
    let mut kept = Vec::new();
    for link in links()? {
        if if_there(keep_on(own, &link))?.unwrap_or(false) {
            kept.push(link);
        }
    }
    if !kept.is_empty() {
        tracing::warn!(
            links = kept.join(" "),
            "accept_ra raised from 1 to 2: with IPv6 forwarding these links would lose what router \
             advertisements gave them, such as the default route"
        );
    }
    Ok(kept)
}

/// Whether the link had to be changed.
fn keep_on(own: &Sysctls, link: &str) -> Result<bool> {
    if own.get(&key(link, "forwarding"))? != "0" {
        return Ok(false);
    }
    raise(own, link)
}

/// Whether the link takes router advertisements, and goes on with that when the namespace forwards
/// IPv6.
///
/// # Errors
/// A sysctl that cannot be read. A link that is gone, and a kernel without IPv6, are no errors.
pub fn takes_router_advertisements(link: &IfName) -> Result<bool> {
    let accepts = if_there(sysctl::get(&key(link.as_str(), "accept_ra")))?;
    Ok(accepts.is_some_and(|accepts| accepts == "2"))
}

/// Lets a link take router advertisements though it forwards: one that was made anew in place of
/// one that did. A link that was told to take none, goes on to take none. Returns whether it had to be
/// changed.
///
/// # Errors
/// As [`takes_router_advertisements`].
pub fn take_router_advertisements(link: &IfName) -> Result<bool> {
    let raised = if_there(raise(&Sysctls::open(), link.as_str()))?;
    Ok(raised.unwrap_or(false))
}

fn raise(own: &Sysctls, link: &str) -> Result<bool> {
    let key = key(link, "accept_ra");
    let is_one = own.get(&key)? == "1";
    if is_one {
        own.write(&key, "2")?;
    }
    Ok(is_one)
}

fn key(link: &str, name: &str) -> String {
    format!("net/ipv6/conf/{link}/{name}")
}

/// Links that can hear a router; the loopback interface cannot.
fn links() -> Result<Vec<String>> {
    let directory = "/proc/sys/net/ipv6/conf";
    let failed = |source| Error::new("list", directory, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if !["all", "default", "lo"].contains(&&*name) {
            names.push(name.into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

const IPV4: &str = "net/ipv4/ip_forward";
const IPV6: &str = "net/ipv6/conf/all/forwarding";

fn keys(ipv4: bool, ipv6: bool) -> impl Iterator<Item = &'static str> {
    let families = [(ipv4, IPV4), (ipv6, IPV6)];
    families
        .into_iter()
        .filter_map(|(wanted, key)| wanted.then_some(key))
}
