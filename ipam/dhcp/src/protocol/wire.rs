//! Messages on a link.

use std::io;
use std::net::Ipv4Addr;

use kernel::{LinkIndex, MacAddr, NetNs, PacketChannel, PacketSocket};

use super::{
    message::{Mac, Message},
    packet::{self, CLIENT_PORT},
};

/// More than any server sends: the client says what it takes.
const BUFFER: usize = 4096;

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: Mac,
}

/// Everybody on the link.
pub(crate) const EVERYBODY: Destination = Destination {
    address: Ipv4Addr::BROADCAST,
    mac: [0xff; 6],
};

/// What carries messages: a link, or a test's idea of one.
pub(crate) trait Wire {
    /// Sends a message from an address that the client may not have yet.
    async fn send(&self, message: &Message, from: Ipv4Addr, to: Destination) -> io::Result<()>;

    /// The next message to a client, and who sent it. Nothing is lost when the future is dropped.
    async fn receive(&self) -> io::Result<(Message, Mac)>;
}

/// A link in a pod.
pub(crate) struct LinkWire(PacketChannel);

impl LinkWire {
    /// As long as it is open, so is the pod's namespace.
    pub(crate) fn open(ns: &NetNs, link: LinkIndex) -> kernel::Result<Self> {
        let socket = ns.step_in(|| PacketSocket::open(link, CLIENT_PORT))??;
        PacketChannel::new(socket).map(Self)
    }
}

impl Wire for LinkWire {
    async fn send(&self, message: &Message, from: Ipv4Addr, to: Destination) -> io::Result<()> {
        let packet = packet::to_server(from, to.address, &message.encode());
        self.0.send(&packet, MacAddr(to.mac)).await
    }

    async fn receive(&self) -> io::Result<(Message, Mac)> {
        let mut buffer = [0; BUFFER];
        loop {
            let (length, MacAddr(from)) = self.0.receive(&mut buffer).await?;
            let message = buffer.get(..length).and_then(packet::to_client);
            if let Some(message) = message.and_then(Message::decode) {
                return Ok((message, from));
            }
        }
    }
}
