//! The answer to a packet that leads to no node (RFC 792), as flannel gives it.

use std::net::Ipv4Addr;

use crate::checksum::Sum;
use crate::packet::{HEADER, Header, ICMP, seal};

/// Of the answer; it goes no further than this node.
const TIME_TO_LIVE: u8 = 8;
const ICMP_HEADER: usize = 8;
const DESTINATION_UNREACHABLE: u8 = 3;
/// So much of what follows the header is sent back.
const QUOTED: usize = 8;

/// "Net unreachable" from `from`, with the header and eight bytes of the packet. None to ICMP and to
/// later fragments.
pub(crate) fn answer(packet: &[u8], header: &Header, from: Ipv4Addr) -> Option<Vec<u8>> {
    if header.protocol == ICMP || header.is_later_fragment {
        return None;
    }
    let quoted = packet.get(..(header.length + QUOTED).min(header.total))?;
    let total = HEADER + ICMP_HEADER + quoted.len();
    let mut answer = vec![0; HEADER + ICMP_HEADER];
    answer[0] = 0x45;
    answer[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    answer[8] = TIME_TO_LIVE;
    answer[9] = ICMP;
    answer[12..16].copy_from_slice(&from.octets());
    answer[16..20].copy_from_slice(&header.source.octets());
    seal(&mut answer[..HEADER]);
    answer[HEADER] = DESTINATION_UNREACHABLE;
    answer.extend(quoted);
    let sum = Sum::default().add(&answer[HEADER..]).checksum();
    answer[HEADER + 2..HEADER + 4].copy_from_slice(&sum);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        let digits = hex.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(text, 16).expect("hex")
        };
        digits.map(byte).collect()
    }

    /// Both as they were recorded of flannel.
    #[test]
    fn it_is_flannel_s_byte_for_byte() {
        let packet = bytes(
            "4500 0024 273b 4000 4011 cbc4 0a64 3900 0a64 fa01 d34e 0009 0010 02cb 7878 7878 7878
             7878",
        );
        let expected = bytes(
            "4500 0038 0000 0000 0801 2bfe 0a64 3900 0a64 3900 0300 26cd 0000 0000 4500 0024 273b
             4000 4011 cbc4 0a64 3900 0a64 fa01 d34e 0009 0010 02cb",
        );
        let header = Header::read(&packet).expect("header");
        let from = Ipv4Addr::new(10, 100, 57, 0);
        assert_eq!(answer(&packet, &header, from), Some(expected));
    }

    #[test]
    fn some_packets_get_none() {
        let packet = crate::samples::udp("10.1.0.2", "10.2.0.3", 64, b"12345678");
        let mut header = Header::read(&packet).expect("header");
        let from = Ipv4Addr::new(10, 1, 0, 0);
        assert!(answer(&packet, &header, from).is_some());
        header.protocol = ICMP;
        assert_eq!(answer(&packet, &header, from), None);
        header.protocol = 17;
        header.is_later_fragment = true;
        assert_eq!(answer(&packet, &header, from), None);
    }
}
