//! The reverse of [`split`](crate::split): packets of one flow that follow each other are given to the
//! kernel as one, which goes through it once. What it cannot be sure of goes alone, as it came.

use std::io::IoSlice;
use std::ops::Range;

use crate::checksum::Sum;
use crate::packet::{HEADER, Header, TCP, UDP, seal};
use crate::split::{place, transport_header};
use crate::vnet::{Segments, Vnet};

/// The longest packet.
const LONGEST: usize = 65_535;
/// So many packets are made one: the kernel takes no more of UDP's (`UDP_MAX_SEGMENTS`).
const MOST: usize = 64;
/// So many flows are looked at for the one that a packet belongs to.
const FLOWS: usize = 8;
/// The longest headers of IP, without options, and TCP.
const HEADERS: usize = HEADER + 60;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Packets that wait for those that follow them.
#[derive(Debug)]
pub(crate) struct Coalescer {
    /// The kernel takes UDP datagrams together.
    udp: bool,
    runs: Vec<Run>,
}

/// Packets that become one. What they say apart from their place is what the first says.
#[derive(Debug)]
struct Run {
    /// The first packet.
    first: Range<usize>,
    protocol: u8,
    /// Of IP and what follows.
    headers: usize,
    /// Data of each packet but the last.
    size: usize,
    /// Data of those that follow the first.
    rest: Vec<Range<usize>>,
    /// Of the whole packet.
    length: usize,
    /// The sequence number that continues it.
    next: u32,
    pushed: bool,
    /// Nothing may follow.
    is_closed: bool,
}

impl Coalescer {
    pub(crate) fn new(udp: bool) -> Self {
        Self {
            udp,
            runs: Vec::new(),
        }
    }

    /// Takes a packet that lies in `buffer` at `at`, which has the length that its header says.
    pub(crate) fn add(&mut self, buffer: &[u8], at: Range<usize>, header: &Header) {
        let candidate = self.candidate(&buffer[at.clone()], header);
        let of_flow = |run: &&mut Run| same_flow(&buffer[run.first.clone()], &buffer[at.clone()]);
        let latest = self.runs.iter_mut().rev().take(FLOWS).find(of_flow);
        if let (Some(run), Some(candidate)) = (latest, &candidate)
            && run.continues(buffer, &buffer[at.clone()], candidate)
        {
            run.append(at, candidate);
            return;
        }
        self.runs.push(Run::begin(at, header.protocol, candidate));
    }

    /// What a packet must be that may be one of several.
    fn candidate(&self, packet: &[u8], header: &Header) -> Option<Candidate> {
        let is_taken = header.protocol == TCP || (header.protocol == UDP && self.udp);
        if !is_taken || header.length != HEADER || header.is_fragment {
            return None;
        }
        let transport = transport_header(packet, header)?;
        let headers = HEADER + transport;
        let size = packet.len() - headers;
        let (sequence, pushed) = match header.protocol {
            TCP => {
                let flags = packet[HEADER + place::TCP_FLAGS];
                let sequence = packet[HEADER + place::TCP_SEQUENCE..].first_chunk()?;
                let sequence = u32::from_be_bytes(*sequence);
                (flags & !PSH == ACK).then_some((sequence, flags & PSH != 0))?
            }
            _ => {
                let behind = &packet[HEADER..];
                let length = behind[place::UDP_LENGTH..].first_chunk()?;
                let is_whole = usize::from(u16::from_be_bytes(*length)) == behind.len();
                let has_checksum = behind[place::UDP_CHECKSUM..][..2] != [0, 0];
                (is_whole && has_checksum).then_some((0, false))?
            }
        };
        let sum = Sum::default()
            .add_pseudo_header(
                header.source,
                header.destination,
                header.protocol,
                packet.len() - HEADER,
            )
            .add(&packet[HEADER..]);
        (size > 0 && sum.is_right()).then_some(Candidate {
            headers,
            size,
            sequence,
            pushed,
        })
    }

    /// Hands `write` all packets, each with the kernel's header before it, in the order in which they
    /// or the first of them came.
    pub(crate) fn flush(&mut self, buffer: &[u8], mut write: impl FnMut(&[IoSlice<'_>], Written)) {
        for run in self.runs.drain(..) {
            run.write(buffer, &mut write);
        }
    }
}

/// What a packet that is written stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Packets.
    pub(crate) packets: usize,
    /// Their bytes, as they came.
    pub(crate) bytes: usize,
}

struct Candidate {
    headers: usize,
    size: usize,
    sequence: u32,
    pushed: bool,
}

/// Protocol, addresses, and what for TCP and UDP are ports.
fn same_flow(a: &[u8], b: &[u8]) -> bool {
    let ports = HEADER..HEADER + 4;
    a[9] == b[9] && a[12..HEADER] == b[12..HEADER] && a.get(ports.clone()) == b.get(ports)
}

impl Run {
    fn begin(at: Range<usize>, protocol: u8, candidate: Option<Candidate>) -> Self {
        let length = at.len();
        let mut run = Self {
            first: at,
            protocol,
            headers: 0,
            size: 0,
            rest: Vec::new(),
            length,
            next: 0,
            pushed: false,
            is_closed: true,
        };
        if let Some(candidate) = candidate {
            run.headers = candidate.headers;
            run.size = candidate.size;
            run.next = candidate.sequence.wrapping_add(candidate.size as u32);
            run.is_closed = candidate.pushed;
        }
        run
    }

    fn continues(&self, buffer: &[u8], packet: &[u8], candidate: &Candidate) -> bool {
        let first = &buffer[self.first.clone()];
        !self.is_closed
            && candidate.size <= self.size
            && candidate.headers == self.headers
            && self.length + candidate.size <= LONGEST
            && self.rest.len() + 1 < MOST
            && same_ip(first, packet)
            && (self.protocol != TCP
                || (candidate.sequence == self.next && same_tcp(first, packet, self.headers)))
    }

    fn append(&mut self, at: Range<usize>, candidate: &Candidate) {
        self.rest.push(at.start + self.headers..at.end);
        self.length += candidate.size;
        self.next = self.next.wrapping_add(candidate.size as u32);
        self.pushed = candidate.pushed;
        self.is_closed = candidate.pushed || candidate.size < self.size;
    }

    fn write(&self, buffer: &[u8], write: &mut impl FnMut(&[IoSlice<'_>], Written)) {
        let first = &buffer[self.first.clone()];
        if self.rest.is_empty() {
            let vnet = Vnet::default().bytes();
            let written = Written {
                packets: 1,
                bytes: first.len(),
            };
            write(&[IoSlice::new(&vnet), IoSlice::new(first)], written);
            return;
        }
        let (head, data) = first.split_at(self.headers);
        let mut room = [0; HEADERS];
        let merged = &mut room[..self.headers];
        merged.copy_from_slice(head);
        let vnet = self.finish(merged).bytes();
        let mut parts = Vec::with_capacity(self.rest.len() + 3);
        parts.extend([&vnet[..], merged, data].map(IoSlice::new));
        let rest = self.rest.iter().map(|body| &buffer[body.clone()]);
        parts.extend(rest.map(IoSlice::new));
        let packets = 1 + self.rest.len();
        let written = Written {
            packets,
            bytes: self.length + (packets - 1) * self.headers,
        };
        write(&parts, written);
    }

    /// Makes the headers of the first those of all, with the sum that the kernel's begins with in place of
    /// a checksum.
    fn finish(&self, head: &mut [u8]) -> Vnet {
        let (ip, transport) = head.split_at_mut(HEADER);
        ip[2..4].copy_from_slice(&(self.length as u16).to_be_bytes());
        seal(ip);
        let length = self.length - HEADER;
        let (segments, checksum) = match self.protocol {
            TCP => {
                transport[place::TCP_FLAGS] |= if self.pushed { PSH } else { 0 };
                (Segments::Tcp, place::TCP_CHECKSUM)
            }
            _ => {
                let length = (length as u16).to_be_bytes();
                transport[place::UDP_LENGTH..][..2].copy_from_slice(&length);
                (Segments::Udp, place::UDP_CHECKSUM)
            }
        };
        let mut addresses = [0; 8];
        addresses.copy_from_slice(&ip[12..HEADER]);
        let [a, b, c, d, e, f, g, h] = addresses;
        let sum = Sum::default()
            .add_pseudo_header(
                [a, b, c, d].into(),
                [e, f, g, h].into(),
                self.protocol,
                length,
            )
            .folded();
        transport[checksum..checksum + 2].copy_from_slice(&sum);
        Vnet {
            segments,
            size: self.size as u16,
            headers: self.headers as u16,
            checksum: Some((HEADER as u16, checksum as u16)),
        }
    }
}

/// Type of service, flags, time to live.
fn same_ip(a: &[u8], b: &[u8]) -> bool {
    a[1] == b[1] && a[6..9] == b[6..9]
}

/// What is acknowledged, window, urgent pointer, options.
fn same_tcp(a: &[u8], b: &[u8], headers: usize) -> bool {
    let same = |part: Range<usize>| a[part.clone()] == b[part];
    let tcp = |from: usize, to: usize| HEADER + from..HEADER + to;
    same(tcp(8, 13)) && same(tcp(14, 16)) && same(HEADER + 18..headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::split::split;
    use proptest::prelude::*;

    const A: &str = "10.1.0.2";
    const B: &str = "10.2.0.3";

    /// What is written for packets that came one after the other: kernel's header and packet.
    fn written(packets: &[Vec<u8>], udp: bool) -> Vec<(Vnet, Vec<u8>)> {
        let mut coalescer = Coalescer::new(udp);
        let buffer = packets.concat();
        let mut start = 0;
        for packet in packets {
            let header = Header::read(packet).expect("header");
            let end = start + packet.len();
            coalescer.add(&buffer, start..end, &header);
            start = end;
        }
        let mut all = Vec::new();
        coalescer.flush(&buffer, |parts, _| {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
            let (vnet, packet) = bytes.split_first_chunk().expect("header");
            all.push((Vnet::read(vnet), packet.to_vec()));
        });
        all
    }

    /// The lengths of their data.
    fn lengths(packets: &[Vec<u8>]) -> Vec<usize> {
        let all = written(packets, true);
        let headers = |packet: &[u8]| if packet[9] == TCP { 52 } else { 28 };
        let data = all.iter().map(|(_, packet)| packet.len() - headers(packet));
        data.collect()
    }

    fn tcp(seq: u32, flags: u8, length: usize) -> Vec<u8> {
        samples::tcp(A, B, seq, flags, &vec![7; length])
    }

    #[test]
    fn segments_that_follow_each_other_become_one() {
        let packets = [
            tcp(1, ACK, 100),
            tcp(101, ACK, 100),
            tcp(201, ACK | PSH, 50),
        ];
        let all = written(&packets, true);
        let [(vnet, packet)] = &all[..] else {
            panic!("{} packets", all.len());
        };
        let expected = Vnet {
            segments: Segments::Tcp,
            size: 100,
            headers: 52,
            checksum: Some((20, 16)),
        };
        assert_eq!(*vnet, expected);
        assert_eq!(packet[33], ACK | PSH);
        assert_eq!(Header::read(packet).expect("header").total, 302);
    }

    #[test]
    fn what_does_not_continue_goes_alone() {
        let other_port = |mut packet: Vec<u8>| {
            // The sum of both ports stays, and so does the checksum.
            packet[21] -= 1;
            packet[23] += 1;
            packet
        };
        let with_ttl = |mut packet: Vec<u8>| {
            packet[8] = 9;
            seal(&mut packet[..HEADER]);
            packet
        };
        let corrupt = |mut packet: Vec<u8>| {
            let last = packet.len() - 1;
            packet[last] ^= 1;
            packet
        };
        let full = |seq| tcp(seq, ACK, 100);
        for (packets, expected) in [
            (vec![full(1), full(201)], vec![100, 100]),
            (vec![full(101), full(1)], vec![100, 100]),
            (vec![full(1), full(101), full(201)], vec![300]),
            (vec![tcp(1, ACK, 50), full(51)], vec![50, 100]),
            (vec![full(1), tcp(101, ACK, 50), full(151)], vec![150, 100]),
            (vec![tcp(1, ACK | PSH, 100), full(101)], vec![100, 100]),
            (vec![full(1), tcp(101, 0x11, 100)], vec![100, 100]),
            (
                vec![full(1), tcp(101, ACK, 0), full(101)],
                vec![100, 0, 100],
            ),
            (vec![full(1), with_ttl(full(101))], vec![100, 100]),
            (
                vec![full(1), corrupt(full(101)), full(201)],
                vec![100, 100, 100],
            ),
            (
                vec![
                    full(1),
                    other_port(full(7)),
                    full(101),
                    other_port(full(107)),
                ],
                vec![200, 200],
            ),
        ] {
            assert_eq!(lengths(&packets), expected);
        }
    }

    #[test]
    fn nothing_longer_than_a_packet_is_made() {
        let packets: Vec<_> = (0..100).map(|n| tcp(1 + n * 1400, ACK, 1400)).collect();
        assert_eq!(lengths(&packets), [46 * 1400, 46 * 1400, 8 * 1400]);
        let packets: Vec<_> = (0..100).map(|n| tcp(1 + n * 10, ACK, 10)).collect();
        assert_eq!(lengths(&packets), [640, 360]);
    }

    #[test]
    fn datagrams_become_one_where_the_kernel_takes_that() {
        let udp = |length| samples::udp(A, B, 64, &vec![7; length]);
        let packets = [udp(100), udp(100), udp(30), udp(100), udp(200)];
        assert_eq!(lengths(&packets), [230, 100, 200]);
        let all = written(&packets, true);
        assert_eq!(all[0].0.segments, Segments::Udp);
        assert_eq!(all[0].1[24..26], 238_u16.to_be_bytes());
        assert_eq!(written(&packets, false).len(), 5);
        let mut unchecked = udp(100);
        unchecked[26..28].fill(0);
        assert_eq!(lengths(&[unchecked.clone(), unchecked]), [100, 100]);
    }

    proptest! {
        /// The kernel, which splits what it was given, gets all packets as they came, but for the IDs.
        #[test]
        fn splitting_gives_what_came(
            steps in proptest::collection::vec((0..3_u8, 1..400_usize, any::<bool>()), 1..60),
        ) {
            let mut next = [1_u32, 1];
            let mut packets = Vec::new();
            for (flow, length, pushed) in steps {
                let flags = if pushed { ACK | PSH } else { ACK };
                let target = ["10.2.0.3", "10.2.0.4"];
                let packet = match flow {
                    2 => samples::udp(A, B, 64, &vec![3; length / 100 * 100]),
                    flow => {
                        let flow = usize::from(flow);
                        let seq = next[flow];
                        next[flow] += length as u32;
                        samples::tcp(A, target[flow], seq, flags, &vec![flow as u8; length])
                    }
                };
                packets.push(packet);
            }
            let mut after = Vec::new();
            for (vnet, mut packet) in written(&packets, true) {
                let header = Header::read(&packet).expect("header");
                let mut heads = Vec::new();
                let mut pieces = Vec::new();
                split(&mut packet, &header, &vnet, &mut heads, |piece| pieces.push(piece))
                    .expect("split");
                for piece in pieces {
                    let mut whole = [&heads[piece.head], &packet[piece.body]].concat();
                    whole[4..6].fill(0);
                    seal(&mut whole[..HEADER]);
                    after.push(whole);
                }
            }
            // The order within each flow is what counts.
            packets.sort_by_key(|packet| (packet[9], packet[19]));
            after.sort_by_key(|packet| (packet[9], packet[19]));
            prop_assert_eq!(after, packets);
        }
    }
}
