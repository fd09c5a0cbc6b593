//! What others change: `nft monitor`.

use std::io;

use netlink_sys::{
    AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER,
};
use nix::libc;

use crate::{Error, Result, netlink::is_overrun};

/// NFNLGRP_NFTABLES of `linux/netfilter/nfnetlink.h`, as a bit.
const GROUP: u32 = 1 << (7 - 1);

/// What announcements say is not looked at: the first bytes are enough to know that there was one.
const BUFFER: usize = 64;

/// A socket that hears when the ruleset of one network namespace changes, whoever changes it.
///
/// Needs CAP_NET_ADMIN over the namespace, without which the kernel announces nothing.
pub struct Watch {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Watch {
    /// Listens in the calling thread's namespace from now on: open it before the first look at the
    /// ruleset.
    ///
    /// # Errors
    /// EPROTONOSUPPORT where the kernel has no netfilter netlink; no descriptors or memory left.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<Self> {
        let socket =
            open_socket().map_err(|source| Error::new("open", "nftables watch", source))?;
        let buffer = Vec::with_capacity(BUFFER);
        Ok(Self { socket, buffer })
    }

    /// Waits for a change, and takes all that is announced by then as one. Nothing is lost when the
    /// future is dropped early.
    ///
    /// # Errors
    /// The socket fails; announcements that were too many to wait are a change.
    pub async fn changed(&mut self) -> Result<()> {
        self.buffer.clear();
        let heard = self.socket.recv(&mut self.buffer).await;
        let drained = heard.or_else(overrun_is_none).and_then(|()| self.drain());
        drained.map_err(|source| Error::new("read", "nftables watch", source))
    }

    fn drain(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            let socket = self.socket.socket_ref();
            match socket.recv(&mut self.buffer, libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                heard => heard.map(drop).or_else(overrun_is_none)?,
            }
        }
    }
}

fn overrun_is_none(error: io::Error) -> io::Result<()> {
    match is_overrun(&error) {
        true => Ok(()),
        false => Err(error),
    }
}

fn open_socket() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
    socket.socket_mut().bind(&SocketAddr::new(0, GROUP))?;
    Ok(socket)
}
