//! From the tun device to the other nodes.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;

use kernel::{DatagramSocket, TunQueue};

use crate::counters::{Counters, Dropped};
use crate::packet::{Header, pass_hop};
use crate::split::split;
use crate::table::Table;
use crate::unreachable;
use crate::vnet::{self, Vnet};
use crate::worker::{self, Shared};

/// What one read may need: the longest packet and the kernel's header before it.
const ROOM: usize = vnet::LENGTH + 65_535;
/// So many bytes are read before they are sent: one packet of the longest, or many small ones.
const BATCH: usize = 65_536;

/// One queue of the device and the socket that its packets are sent by.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: TunQueue,
    socket: DatagramSocket,
    /// All nodes have the same.
    port: u16,
    buffer: Vec<u8>,
    batch: Batch,
}

/// Packets that are ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    heads: Vec<u8>,
    datagrams: Vec<Datagram>,
}

/// One packet: its first part in the buffer of heads, the other where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    to: Ipv4Addr,
    head: Range<usize>,
    body: Range<usize>,
}

impl Datagram {
    fn length(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

impl Outgoing {
    pub(crate) fn new(queue: TunQueue, socket: DatagramSocket, port: u16) -> Self {
        Self {
            queue,
            socket,
            port,
            buffer: vec![0; BATCH + ROOM],
            batch: Batch::default(),
        }
    }

    /// Until it is told to end.
    pub(crate) fn run(mut self, shared: &Shared) -> io::Result<()> {
        while !shared.is_ending() {
            let used = self.fill(shared)?;
            if used == 0 && !shared.wait(&self.queue)? {
                break;
            }
            self.send(&shared.counters);
        }
        Ok(())
    }

    /// Reads what is there; how many bytes.
    fn fill(&mut self, shared: &Shared) -> io::Result<usize> {
        let table = shared.table();
        let mut used = 0;
        while used < BATCH {
            let room = &mut self.buffer[used..];
            let Some(length) = worker::unless_waiting(self.queue.read(room))? else {
                break;
            };
            let at = used..used + length;
            let answer = self
                .batch
                .take(&mut self.buffer, at, &table, &shared.counters);
            if let Some(answer) = answer {
                let vnet = Vnet::default().bytes();
                // The answer to a packet is as good as its sender's chance to get it.
                let _ = self
                    .queue
                    .write(&[IoSlice::new(&vnet), IoSlice::new(&answer)]);
            }
            used += length;
        }
        Ok(used)
    }

    fn send(&mut self, counters: &Counters) {
        let mut rest = &self.batch.datagrams[..];
        while !rest.is_empty() {
            let (group, later) = rest.split_at(together(rest));
            self.send_group(group, counters);
            rest = later;
        }
        self.batch.datagrams.clear();
        self.batch.heads.clear();
    }

    fn send_group(&self, group: &[Datagram], counters: &Counters) {
        let size = group.first().map_or(0, Datagram::length);
        let segment = u16::try_from(size).ok().filter(|_| group.len() > 1);
        match self.send_at_once(group, segment) {
            Ok(bytes) => counters.sent(group.len(), bytes),
            // Not at once over this path or by this link: it may be narrower than its packets.
            Err(_) if segment.is_some() => {
                for datagram in group {
                    self.send_group(std::slice::from_ref(datagram), counters);
                }
            }
            Err(_) => counters.dropped(Dropped::Unsent, 1),
        }
    }

    /// Returns how many bytes they have.
    fn send_at_once(&self, group: &[Datagram], segment: Option<u16>) -> io::Result<usize> {
        let Some(first) = group.first() else {
            return Ok(0);
        };
        let to = SocketAddrV4::new(first.to, self.port);
        let parts = group.iter().flat_map(|datagram| {
            let head = &self.batch.heads[datagram.head.clone()];
            let body = &self.buffer[datagram.body.clone()];
            [head, body]
        });
        let parts: Vec<_> = parts
            .filter(|part| !part.is_empty())
            .map(IoSlice::new)
            .collect();
        self.socket.send(to, &parts, segment)?;
        Ok(parts.iter().map(|part| part.len()).sum())
    }
}

impl Batch {
    /// Takes what was read to `at`. What is to be answered to the sender, if something is.
    pub(crate) fn take(
        &mut self,
        buffer: &mut [u8],
        at: Range<usize>,
        table: &Table,
        counters: &Counters,
    ) -> Option<Vec<u8>> {
        let (vnet, rest) = buffer[at.clone()].split_first_chunk_mut()?;
        let vnet = Vnet::read(vnet);
        // Packets of IPv6, which the kernel sends on any link, are none for other nodes.
        let header = Header::read(rest).ok()?;
        let packet = &mut rest[..header.total];
        let Some(to) = table.node_of(header.destination) else {
            counters.dropped(Dropped::NoRoute, 1);
            return unreachable::answer(packet, &header, table.own_address());
        };
        if !pass_hop(packet) {
            counters.dropped(Dropped::Expired, 1);
            return None;
        }
        let from = at.start + vnet::LENGTH;
        let (heads, datagrams) = (&mut self.heads, &mut self.datagrams);
        let split = split(packet, &header, &vnet, heads, |piece| {
            datagrams.push(Datagram {
                to,
                head: piece.head,
                body: piece.body.start + from..piece.body.end + from,
            });
        });
        if split.is_err() {
            counters.dropped(Dropped::Misfit, 1);
        }
        None
    }

    /// The packets, for tests and fuzzing.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn packets(&self, buffer: &[u8]) -> Vec<(Ipv4Addr, Vec<u8>)> {
        let datagrams = self.datagrams.iter();
        let packet = |datagram: &Datagram| {
            let head = &self.heads[datagram.head.clone()];
            let body = &buffer[datagram.body.clone()];
            (datagram.to, [head, body].concat())
        };
        datagrams.map(packet).collect()
    }
}

/// How many of the first ones one call can send: all of the first's size, but for the last, to the same
/// node.
fn together(datagrams: &[Datagram]) -> usize {
    let Some(first) = datagrams.first() else {
        return 0;
    };
    let size = first.length();
    let mut bytes = size;
    let mut count = 1;
    for pair in datagrams.windows(2).take(DatagramSocket::MOST_SEGMENTS - 1) {
        let (before, next) = (&pair[0], &pair[1]);
        bytes += next.length();
        let fits = bytes <= DatagramSocket::MOST_BYTES && next.length() <= size;
        if next.to != first.to || before.length() != size || !fits {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::table::{Routes, Subnet};
    use crate::vnet::Segments;

    fn address(text: &str) -> Ipv4Addr {
        text.parse().expect("address")
    }

    fn table() -> Table {
        Table::from(Routes {
            own: Subnet(address("10.1.0.0"), address("10.1.0.255")),
            peers: vec![(
                Subnet(address("10.2.0.0"), address("10.2.0.255")),
                address("192.0.2.2"),
            )],
        })
    }

    /// What is sent to whom, what is answered, and what is counted.
    type Taken = (Vec<(Ipv4Addr, Vec<u8>)>, Option<Vec<u8>>, Counters);

    fn take(vnet: Vnet, packet: &[u8]) -> Taken {
        let counters = Counters::default();
        let mut batch = Batch::default();
        let mut buffer = [b"before", &vnet.bytes()[..], packet, b"behind"].concat();
        let at = 6..buffer.len() - 6;
        let answer = batch.take(&mut buffer, at, &table(), &counters);
        (batch.packets(&buffer), answer, counters)
    }

    #[test]
    fn a_packet_goes_to_the_node_of_its_destination_one_hop_older() {
        let packet = samples::udp("10.1.0.2", "10.2.0.3", 64, b"hello");
        let (sent, answer, _) = take(Vnet::default(), &packet);
        let expected = samples::udp("10.1.0.2", "10.2.0.3", 63, b"hello");
        assert_eq!(sent, [(address("192.0.2.2"), expected)]);
        assert_eq!(answer, None);
    }

    #[test]
    fn what_does_not_go_is_counted() {
        let (sent, answer, counters) = take(
            Vnet::default(),
            &samples::udp("10.1.0.2", "10.2.0.3", 1, b"x"),
        );
        assert!(sent.is_empty() && answer.is_none());
        assert_eq!(counters.read().dropped["expired"], 1);
        let (sent, answer, counters) = take(
            Vnet::default(),
            &samples::udp("10.1.0.2", "10.3.0.3", 64, b"x"),
        );
        assert!(sent.is_empty() && answer.is_some());
        assert_eq!(counters.read().dropped["no-route"], 1);
        let (sent, answer, counters) = take(Vnet::default(), &[0x60; 40]);
        assert!(sent.is_empty() && answer.is_none());
        assert_eq!(counters.read().dropped.values().sum::<u64>(), 0);
    }

    #[test]
    fn as_much_as_possible_is_sent_at_once() {
        let datagram = |to: u8, length: usize| Datagram {
            to: Ipv4Addr::new(192, 0, 2, to),
            head: 0..20,
            body: 100..80 + length,
        };
        let all = |count: usize, length| vec![datagram(2, length); count];
        for (datagrams, count) in [
            (vec![], 0),
            (all(1, 100), 1),
            (all(3, 100), 3),
            (all(100, 100), 64),
            (all(60, 1472), 44),
            ([all(2, 100), all(1, 60), all(1, 60)].concat(), 3),
            ([all(2, 100), all(1, 101)].concat(), 2),
            ([all(2, 100), vec![datagram(3, 100)]].concat(), 2),
        ] {
            assert_eq!(together(&datagrams), count);
        }
    }

    #[test]
    fn a_packet_of_several_segments_goes_as_several() {
        let packet = samples::tcp("10.1.0.2", "10.2.0.3", 1, 0x10, &[7; 250]);
        let vnet = Vnet {
            segments: Segments::Tcp,
            size: 100,
            headers: 52,
            checksum: Some((20, 16)),
        };
        let (sent, _, _) = take(vnet, &packet);
        let lengths: Vec<_> = sent.iter().map(|(_, packet)| packet.len()).collect();
        assert_eq!(lengths, [152, 152, 102]);
        assert!(sent.iter().all(|(_, packet)| packet[8] == 63));
    }
}
