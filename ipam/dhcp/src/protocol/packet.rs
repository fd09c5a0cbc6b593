//! The datagram around a message: IPv4 and UDP.

use std::net::Ipv4Addr;

use etherparse::{Ipv4Slice, PacketBuilder, UdpSlice, ip_number};

/// Where clients listen (RFC 2131, section 4.1).
pub(crate) const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;
const TIME_TO_LIVE: u8 = 64;

/// A message on its way to a server.
pub(crate) fn to_server(from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let builder =
        PacketBuilder::ipv4(from.octets(), to.octets(), TIME_TO_LIVE).udp(CLIENT_PORT, SERVER_PORT);
    let mut packet = Vec::with_capacity(builder.size(message.len()));
    // Writing into memory fails for messages beyond 64 KiB alone, and ours have one KiB.
    match builder.write(&mut packet, message) {
        Ok(()) => packet,
        Err(_) => Vec::new(),
    }
}

/// The message in a packet to a client; `None` for another packet, and for a fragment. Checksums
/// are not looked at: that of a datagram from this machine may be unfinished.
pub(crate) fn to_client(packet: &[u8]) -> Option<&[u8]> {
    let packet = Ipv4Slice::from_slice(packet).ok()?;
    let payload = packet.payload();
    if payload.fragmented || payload.ip_number != ip_number::UDP {
        return None;
    }
    let datagram = UdpSlice::from_slice(payload.payload).ok()?;
    (datagram.destination_port() == CLIENT_PORT).then(|| datagram.payload())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const TO: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    /// The same to port 68.
    fn answer(message: &[u8]) -> Vec<u8> {
        let mut packet = to_server(FROM, TO, message);
        packet[22..24].copy_from_slice(&CLIENT_PORT.to_be_bytes());
        packet
    }

    #[test]
    fn a_message_is_found_in_its_packet_alone() {
        let packet = answer(b"message");
        assert_eq!(to_client(&packet), Some(&b"message"[..]));
        assert_eq!(to_client(&to_server(FROM, TO, b"message")), None);
        assert_eq!(to_client(&packet[..packet.len() - 1]), None);
        // Padding of a short frame is not part of it.
        assert_eq!(
            to_client(&[&packet[..], &[0; 9]].concat()),
            Some(&b"message"[..])
        );
        for (place, byte) in [(0, 0x65), (6, 0x20), (9, 6), (25, 7), (25, 200)] {
            let mut bytes = packet.clone();
            bytes[place] = byte;
            assert_eq!(to_client(&bytes), None, "{place}: {byte}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = to_client(&bytes);
        }

        #[test]
        fn a_damaged_packet_never_panics(place in 0_usize..36, byte: u8) {
            let mut packet = answer(b"message!");
            packet[place] = byte;
            let _ = to_client(&packet);
        }
    }
}
