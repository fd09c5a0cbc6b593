//! What the kernel hands over unfinished becomes packets as they go out: checksums are made, and a packet
//! of several TCP segments or UDP datagrams becomes one for each.

use std::ops::Range;

use crate::checksum::Sum;
use crate::packet::{Header, TCP, UDP, seal};
use crate::vnet::{Segments, Vnet};

/// The kernel's header and the packet do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

/// A packet as it goes out: `head` lies in the buffer for heads, `body` in the packet that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) head: Range<usize>,
    pub(crate) body: Range<usize>,
}

/// Hands `each` all packets that `packet`, which has exactly the length that its header says, stands
/// for. New heads are put behind those that are in `heads`.
pub(crate) fn split(
    packet: &mut [u8],
    header: &Header,
    vnet: &Vnet,
    heads: &mut Vec<u8>,
    each: impl FnMut(Piece),
) -> Result<(), Misfit> {
    match (vnet.segments, header.protocol) {
        (Segments::None, _) => whole(packet, header, vnet, heads.len(), each),
        (Segments::Tcp, TCP) => segments(packet, header, vnet, heads, each),
        (Segments::Udp, UDP) => segments(packet, header, vnet, heads, each),
        _ => Err(Misfit),
    }
}

fn whole(
    packet: &mut [u8],
    header: &Header,
    vnet: &Vnet,
    heads: usize,
    mut each: impl FnMut(Piece),
) -> Result<(), Misfit> {
    if let Some((start, offset)) = vnet.checksum {
        let start = usize::from(start);
        // IP's own checksum is always finished.
        if start < header.length {
            return Err(Misfit);
        }
        finish_checksum(packet, header.protocol, start, offset.into())?;
    }
    each(Piece {
        head: heads..heads,
        body: 0..packet.len(),
    });
    Ok(())
}

/// What stands there is the sum of what the checksum is of besides these bytes.
fn finish_checksum(
    packet: &mut [u8],
    protocol: u8,
    start: usize,
    offset: usize,
) -> Result<(), Misfit> {
    let part = packet.get_mut(start..).ok_or(Misfit)?;
    let sum = Sum::default().add(part).checksum();
    let place = part.get_mut(offset..offset + 2).ok_or(Misfit)?;
    place.copy_from_slice(&told(protocol, sum));
    Ok(())
}

/// 0 says of a UDP datagram that it has no checksum, so that one that is 0 is told as its other form (RFC
/// 768); of a TCP segment it is one like any other.
fn told(protocol: u8, sum: [u8; 2]) -> [u8; 2] {
    match (protocol, sum) {
        (UDP, [0, 0]) => [0xff; 2],
        (_, sum) => sum,
    }
}

/// Of TCP's flags.
const CWR: u8 = 0x80;
const LAST_ONLY: u8 = FIN | PSH;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;

/// Where things stand in the headers of TCP and UDP.
pub(crate) mod place {
    pub(crate) const TCP_SEQUENCE: usize = 4;
    pub(crate) const TCP_LENGTH: usize = 12;
    pub(crate) const TCP_FLAGS: usize = 13;
    pub(crate) const TCP_CHECKSUM: usize = 16;
    pub(crate) const UDP_LENGTH: usize = 4;
    pub(crate) const UDP_CHECKSUM: usize = 6;
}

/// The length of the header behind IP's, if it is whole.
pub(crate) fn transport_header(packet: &[u8], header: &Header) -> Option<usize> {
    let behind = packet.get(header.length..)?;
    let length = match header.protocol {
        TCP => usize::from(behind.get(place::TCP_LENGTH)? >> 4) * 4,
        _ => 8,
    };
    let least = if header.protocol == TCP { 20 } else { 8 };
    (length >= least && length <= behind.len()).then_some(length)
}

fn segments(
    packet: &[u8],
    header: &Header,
    vnet: &Vnet,
    heads: &mut Vec<u8>,
    mut each: impl FnMut(Piece),
) -> Result<(), Misfit> {
    let transport = transport_header(packet, header).ok_or(Misfit)?;
    let headers = header.length + transport;
    let size = usize::from(vnet.size);
    if size == 0 || header.is_fragment {
        return Err(Misfit);
    }
    let mut from = headers;
    let mut number = 0;
    loop {
        let to = (from + size).min(packet.len());
        let place = heads.len();
        heads.extend(&packet[..headers]);
        let segment = Segment {
            number,
            offset: from - headers,
            is_last: to == packet.len(),
        };
        segment.finish(&mut heads[place..], header, &packet[from..to]);
        each(Piece {
            head: place..heads.len(),
            body: from..to,
        });
        if segment.is_last {
            return Ok(());
        }
        from = to;
        number += 1;
    }
}

struct Segment {
    number: u16,
    /// Of its data in that of all.
    offset: usize,
    is_last: bool,
}

impl Segment {
    /// Makes the headers of the whole those of this segment.
    fn finish(&self, head: &mut [u8], header: &Header, body: &[u8]) {
        let total = head.len() + body.len();
        let (ip, transport) = head.split_at_mut(header.length);
        ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(self.number);
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        seal(ip);
        let checksum = match header.protocol {
            TCP => self.finish_tcp(transport),
            _ => {
                let length = (transport.len() + body.len()) as u16;
                transport[place::UDP_LENGTH..][..2].copy_from_slice(&length.to_be_bytes());
                place::UDP_CHECKSUM
            }
        };
        transport[checksum..checksum + 2].fill(0);
        let length = transport.len() + body.len();
        let sum = Sum::default()
            .add_pseudo_header(header.source, header.destination, header.protocol, length)
            .add(transport)
            .add(body);
        transport[checksum..checksum + 2].copy_from_slice(&told(header.protocol, sum.checksum()));
    }

    /// Returns where the checksum stands.
    fn finish_tcp(&self, transport: &mut [u8]) -> usize {
        let [a, b, c, d] = [0, 1, 2, 3].map(|n| transport[place::TCP_SEQUENCE + n]);
        let sequence = u32::from_be_bytes([a, b, c, d]).wrapping_add(self.offset as u32);
        transport[place::TCP_SEQUENCE..][..4].copy_from_slice(&sequence.to_be_bytes());
        if !self.is_last {
            transport[place::TCP_FLAGS] &= !LAST_ONLY;
        }
        if self.number > 0 {
            transport[place::TCP_FLAGS] &= !CWR;
        }
        place::TCP_CHECKSUM
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;

    const A: &str = "10.1.0.2";
    const B: &str = "10.2.0.3";
    const ACK: u8 = 0x10;

    fn split_all(packet: &mut [u8], vnet: Vnet) -> Result<Vec<Vec<u8>>, Misfit> {
        let header = Header::read(packet).expect("header");
        let mut heads = vec![1, 2, 3];
        let mut pieces = Vec::new();
        split(packet, &header, &vnet, &mut heads, |piece| {
            pieces.push(piece)
        })?;
        let whole =
            |piece: &Piece| [&heads[piece.head.clone()], &packet[piece.body.clone()]].concat();
        Ok(pieces.iter().map(whole).collect())
    }

    fn vnet(segments: Segments, size: u16) -> Vnet {
        Vnet {
            segments,
            size,
            ..Vnet::default()
        }
    }

    fn numbered(mut packet: Vec<u8>, id: u16) -> Vec<u8> {
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        seal(&mut packet[..20]);
        packet
    }

    #[test]
    fn segments_of_tcp_are_what_the_sender_would_have_sent_one_by_one() {
        let data: Vec<u8> = (0..250).collect();
        let seq = u32::MAX - 150;
        let mut packet = numbered(
            samples::tcp(A, B, seq, ACK | PSH | FIN | CWR, &data),
            0xffff,
        );
        let split = split_all(&mut packet, vnet(Segments::Tcp, 100)).expect("split");
        let part = |n: u16, flags, data: &[u8]| {
            let seq = seq.wrapping_add(u32::from(n) * 100);
            numbered(
                samples::tcp(A, B, seq, flags, data),
                0xffff_u16.wrapping_add(n),
            )
        };
        assert_eq!(
            split,
            [
                part(0, ACK | CWR, &data[..100]),
                part(1, ACK, &data[100..200]),
                part(2, ACK | PSH | FIN, &data[200..]),
            ]
        );
    }

    /// One segment in 65,536 has it.
    #[test]
    fn a_checksum_of_zero_is_told_as_its_other_form_with_udp_alone() {
        let seq = 1;
        let checksum = |packet: &[u8], at: usize| [packet[at], packet[at + 1]];
        let with = |last: u16| [vec![7; 100], last.to_be_bytes().to_vec()].concat();
        let tcp = |last: u16| samples::tcp(A, B, seq + 100, ACK, &with(last)[100..]);
        let last = (0..=u16::MAX).find(|last| checksum(&tcp(*last), 36) == [0, 0]);
        let last = last.expect("one has it");
        let mut packet = samples::tcp(A, B, seq, ACK, &with(last));
        let split = split_all(&mut packet, vnet(Segments::Tcp, 100)).expect("split");
        assert_eq!(split[1][20..], tcp(last)[20..]);

        let udp = |last: u16| samples::udp(A, B, 64, &with(last)[100..]);
        let last = (0..=u16::MAX).find(|last| checksum(&udp(*last), 26) == [0, 0]);
        let mut packet = samples::udp(A, B, 64, &with(last.expect("one has it")));
        let split = split_all(&mut packet, vnet(Segments::Udp, 100)).expect("split");
        assert_eq!(checksum(&split[1], 26), [0xff, 0xff]);
    }

    #[test]
    fn datagrams_of_udp_are_split_too() {
        let data: Vec<u8> = (0..200).collect();
        let mut packet = samples::udp(A, B, 64, &data);
        let split = split_all(&mut packet, vnet(Segments::Udp, 100)).expect("split");
        let part = |n: u16, data: &[u8]| numbered(samples::udp(A, B, 64, data), n);
        assert_eq!(split, [part(0, &data[..100]), part(1, &data[100..])]);
    }

    #[test]
    fn an_unfinished_checksum_is_finished() {
        for (whole, protocol, offset) in [
            (samples::tcp(A, B, 7, ACK, b"abc"), TCP, 16),
            (samples::udp(A, B, 64, b"abcd"), UDP, 6),
        ] {
            let mut packet = whole.clone();
            let header = Header::read(&packet).expect("header");
            let length = packet.len() - 20;
            let sum = Sum::default().add_pseudo_header(
                header.source,
                header.destination,
                protocol,
                length,
            );
            packet[20 + offset..20 + offset + 2].copy_from_slice(&sum.folded());
            let unfinished = Vnet {
                checksum: Some((20, offset as u16)),
                ..Vnet::default()
            };
            assert_eq!(split_all(&mut packet, unfinished), Ok(vec![whole]));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let tcp = samples::tcp(A, B, 7, ACK, b"abc");
        for (segments, size) in [
            (Segments::Udp, 100),
            (Segments::Other, 100),
            (Segments::Tcp, 0),
        ] {
            let split = split_all(&mut tcp.clone(), vnet(segments, size));
            assert_eq!(split, Err(Misfit), "{segments:?} {size}");
        }
        let mut long_header = tcp.clone();
        long_header[32] = 0xf0;
        assert_eq!(
            split_all(&mut long_header, vnet(Segments::Tcp, 9)),
            Err(Misfit)
        );
        let mut short_header = tcp.clone();
        short_header[32] = 0x40;
        assert_eq!(
            split_all(&mut short_header, vnet(Segments::Tcp, 9)),
            Err(Misfit)
        );
        for checksum in [
            (54, 1),
            (56, 0),
            (0, 10),
            (19, 0),
            (0, u16::MAX),
            (u16::MAX, u16::MAX),
        ] {
            let far = Vnet {
                checksum: Some(checksum),
                ..Vnet::default()
            };
            assert_eq!(
                split_all(&mut tcp.clone(), far),
                Err(Misfit),
                "{checksum:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_byte_is_sent_once_in_order_with_right_checksums(
            data in proptest::collection::vec(any::<u8>(), 1..5000),
            size in 1..2000_u16,
            seq: u32,
        ) {
            let mut packet = samples::tcp(A, B, seq, ACK, &data);
            let split = split_all(&mut packet, vnet(Segments::Tcp, size)).expect("split");
            let mut sent: Vec<u8> = Vec::new();
            for packet in split {
                let at = seq.wrapping_add(sent.len() as u32);
                prop_assert_eq!(&packet[24..28], &at.to_be_bytes());
                let header = Header::read(&packet).expect("header");
                prop_assert_eq!(header.total, packet.len());
                let sum = Sum::default()
                    .add_pseudo_header(header.source, header.destination, TCP, packet.len() - 20)
                    .add(&packet[20..]);
                prop_assert!(sum.is_right());
                sent.extend(&packet[52..]);
            }
            prop_assert_eq!(sent, data);
        }
    }
}
