//! What limits a TCP stream where nothing is lost: the congestion control of its sender (tcp(7)).

use std::ffi::OsString;
use std::net::TcpStream;

use nix::sys::socket::{setsockopt, sockopt};

use crate::{Error, Result, sysctl};

/// What streams have that choose none.
///
/// # Errors
/// It cannot be read.
pub fn default() -> Result<String> {
    sysctl::get("net/ipv4/tcp_congestion_control")
}

/// Has the namespace's streams that choose none have reno, which every kernel has, allows to all and never paces.
///
/// # Errors
/// It cannot be written.
pub fn begin_unpaced() -> Result<()> {
    sysctl::set("net/ipv4/tcp_congestion_control", "reno").map(drop)
}

/// What there is without loading modules, by name.
///
/// # Errors
/// It cannot be read.
pub fn available() -> Result<Vec<String>> {
    let names = sysctl::get("net/ipv4/tcp_available_congestion_control")?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

/// Chooses it for what `stream` sends. Other ones than those of `tcp_allowed_congestion_control` want
/// CAP_NET_ADMIN, also where the namespace's default could not be set to them. A connected stream that one which paces
/// had before (bbr) is paced by the kernel's timer as long as it lives.
///
/// # Errors
/// The kernel has none of that name, or allows it to nobody without the capability.
pub fn choose(name: &str, stream: &TcpStream) -> Result<()> {
    let name = OsString::from(name);
    setsockopt(stream, sockopt::TcpCongestion, &name)
        .map_err(|errno| Error::new("choose congestion control", name.display(), errno.into()))
}
