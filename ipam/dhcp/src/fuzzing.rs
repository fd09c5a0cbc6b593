//! What comes from strangers, for whoever feeds it with anything (crate `fuzz`): the server's packets,
//! and what processes say on the daemon's socket.

use std::net::Ipv4Addr;

use crate::{
    gob::Reader,
    protocol::{lease::Lease, message::Message, packet},
};

/// An IP packet from the interface, and all that an answer is asked for.
pub fn packet(bytes: &[u8]) {
    let datagram = packet::to_client(bytes).unwrap_or(bytes);
    let Some(message) = Message::decode(datagram) else {
        return;
    };
    let _ = (message.kind(), message.encode());
    let lease = Lease::new(message, [2, 0, 0, 0, 0, 1], Ipv4Addr::LOCALHOST);
    let _ = (lease.times(), lease.network(), lease.result(0));
}

/// A stream on the daemon's socket.
pub fn stream(bytes: &[u8]) {
    let (mut reader, mut bytes) = (Reader::default(), bytes.to_vec());
    while let Ok(Some(_)) = reader.next(&mut bytes) {}
}
