//! How a request lies in a netlink datagram, whatever the protocol.

use netlink_packet_core::{Emitable, NLM_F_REQUEST, NetlinkHeader, NetlinkSerializable};

/// Appends one serialised request; the kernel wants each to begin at a multiple of four bytes.
pub(crate) fn append(
    buffer: &mut Vec<u8>,
    message: &impl NetlinkSerializable,
    flags: u16,
    sequence: u32,
) {
    let mut header = NetlinkHeader::default();
    let body = header.buffer_len();
    let length = body + message.buffer_len();
    header.length = length as u32;
    header.message_type = message.message_type();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let start = buffer.len();
    buffer.resize(start + length.next_multiple_of(4), 0);
    header.emit(&mut buffer[start..start + body]);
    message.serialize(&mut buffer[start + body..start + length]);
}
