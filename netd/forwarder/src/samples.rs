//! Packets for tests.

use std::net::Ipv4Addr;

use crate::checksum::Sum;
use crate::packet::{HEADER, TCP, UDP, seal};

fn ip(source: &str, destination: &str, ttl: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv4Addr>().expect("address").octets();
    let mut packet = vec![0; HEADER];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&((HEADER + rest.len()) as u16).to_be_bytes());
    packet[6] = 0x40;
    packet[8] = ttl;
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&address(source));
    packet[16..20].copy_from_slice(&address(destination));
    seal(&mut packet);
    packet.extend(rest);
    packet
}

fn sealed(mut packet: Vec<u8>, protocol: u8, at: usize) -> Vec<u8> {
    let address = |at: usize| Ipv4Addr::from_octets(*packet[at..].first_chunk().expect("address"));
    let sum = Sum::default()
        .add_pseudo_header(address(12), address(16), protocol, packet.len() - HEADER)
        .add(&packet[HEADER..])
        .checksum();
    packet[HEADER + at..HEADER + at + 2].copy_from_slice(&sum);
    packet
}

/// From port 5000 to port 6000.
pub(crate) fn udp(source: &str, destination: &str, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x13, 0x88, 0x17, 0x70];
    datagram.extend(((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    sealed(ip(source, destination, ttl, UDP, &datagram), UDP, 6)
}

/// From port 5000 to port 6000, with time stamps, as Linux has them.
pub(crate) fn tcp(source: &str, destination: &str, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x13, 0x88, 0x17, 0x70];
    segment.extend(seq.to_be_bytes());
    segment.extend(77_u32.to_be_bytes());
    segment.extend([0x80, flags, 0x01, 0xf6, 0, 0, 0, 0]);
    segment.extend([1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]);
    segment.extend(payload);
    sealed(ip(source, destination, 64, TCP, &segment), TCP, 16)
}
