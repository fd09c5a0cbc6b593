//! From the other nodes to the tun device.

use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;

use kernel::{DatagramSocket, Received, TunQueue};

use crate::coalesce::Coalescer;
use crate::counters::{Counters, Dropped};
use crate::packet::{Fault, Header, pass_hop};
use crate::table::Table;
use crate::worker::{self, Shared};

/// What one call may receive.
const ROOM: usize = 65_535;
/// So many bytes are received before they are given to the kernel,
const BATCH: usize = 65_536;
/// or so many datagrams, of which one call receives some dozens at most: tiny ones cost as much as large ones.
const MOST_DATAGRAMS: usize = 1024;

/// One socket, and the queue that its packets are given to.
#[derive(Debug)]
pub(crate) struct Incoming {
    socket: DatagramSocket,
    queue: TunQueue,
    buffer: Vec<u8>,
    coalescer: Coalescer,
}

impl Incoming {
    pub(crate) fn new(socket: DatagramSocket, queue: TunQueue) -> Self {
        let udp = queue.takes_udp_segments();
        Self {
            socket,
            queue,
            buffer: vec![0; BATCH + ROOM],
            coalescer: Coalescer::new(udp),
        }
    }

    /// Until it is told to end.
    pub(crate) fn run(mut self, shared: &Shared) -> io::Result<()> {
        while !shared.is_ending() {
            if self.fill(shared)? == 0 && !shared.wait(&self.socket)? {
                break;
            }
            self.deliver(&shared.counters)?;
        }
        Ok(())
    }

    /// Receives what is there; how many datagrams.
    fn fill(&mut self, shared: &Shared) -> io::Result<usize> {
        let table = shared.table();
        let (buffer, coalescer) = (&mut self.buffer, &mut self.coalescer);
        let receive = |room: &mut [u8]| worker::unless_waiting(self.socket.receive(room));
        fill(buffer, receive, |buffer, arrival| {
            arrival.take(buffer, coalescer, &table, &shared.counters);
        })
    }

    fn deliver(&mut self, counters: &Counters) -> io::Result<()> {
        let mut gone = Ok(());
        let queue = &self.queue;
        self.coalescer
            .flush(&self.buffer, |parts, written| match queue.write(parts) {
                Ok(()) => counters.received(written.packets, written.bytes),
                Err(error) => {
                    counters.dropped(Dropped::Untaken, written.packets);
                    if worker::is_gone(&error) {
                        gone = Err(error);
                    }
                }
            });
        gone
    }
}

/// Receives until nothing is there, or enough is; how many datagrams.
fn fill(
    buffer: &mut [u8],
    mut receive: impl FnMut(&mut [u8]) -> io::Result<Option<Received>>,
    mut take: impl FnMut(&mut [u8], &Arrival),
) -> io::Result<usize> {
    let (mut used, mut datagrams) = (0, 0);
    while used < BATCH && datagrams < MOST_DATAGRAMS {
        let Some(received) = receive(&mut buffer[used..used + ROOM])? else {
            break;
        };
        let arrival = Arrival {
            node: *received.from.ip(),
            at: used..used + received.length,
            segment: received.segment,
        };
        take(buffer, &arrival);
        used += received.length;
        datagrams += arrival.datagrams();
    }
    Ok(datagrams)
}

/// What one call received: datagrams of one node.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) node: Ipv4Addr,
    pub(crate) at: Range<usize>,
    pub(crate) segment: usize,
}

impl Arrival {
    /// An empty one is one, too.
    fn datagrams(&self) -> usize {
        self.at.len().div_ceil(self.segment.max(1)).max(1)
    }

    /// Takes the packets that may come in.
    pub(crate) fn take(
        &self,
        buffer: &mut [u8],
        coalescer: &mut Coalescer,
        table: &Table,
        counters: &Counters,
    ) {
        let segment = self.segment.max(1);
        if !table.knows(self.node) {
            counters.stranger(self.node, self.datagrams());
            return;
        }
        if self.at.is_empty() {
            counters.dropped(Fault::Short.into(), 1);
        }
        for start in self.at.clone().step_by(segment) {
            let datagram = start..(start + segment).min(self.at.end);
            match vetted(&mut buffer[datagram.clone()], self.node, table) {
                Ok(header) => coalescer.add(buffer, start..start + header.total, &header),
                Err(why) => counters.dropped(why, 1),
            }
        }
    }
}

/// The header of a packet that may come in, which is one hop older then. What follows the packet is none
/// of it.
fn vetted(datagram: &mut [u8], node: Ipv4Addr, table: &Table) -> Result<Header, Dropped> {
    let header = Header::read(datagram)?;
    table.admit(node, header.source, header.destination)?;
    match pass_hop(datagram) {
        true => Ok(header),
        false => Err(Dropped::Expired),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::table::{Routes, Subnet};

    fn address(text: &str) -> Ipv4Addr {
        text.parse().expect("address")
    }

    fn table() -> Table {
        let peer = |n: u8, node| {
            let subnet = Subnet(Ipv4Addr::new(10, n, 0, 0), Ipv4Addr::new(10, n, 0, 255));
            (subnet, address(node))
        };
        Table::from(Routes {
            own: Subnet(address("10.1.0.0"), address("10.1.0.255")),
            peers: vec![peer(2, "192.0.2.2"), peer(3, "192.0.2.3")],
        })
    }

    /// What the kernel gets, without its own header.
    fn delivered(node: &str, segment: usize, bytes: &[u8]) -> (Vec<Vec<u8>>, Counters) {
        let (mut coalescer, counters) = (Coalescer::new(true), Counters::default());
        let mut buffer = [b"before", bytes].concat();
        let arrival = Arrival {
            node: address(node),
            at: 6..buffer.len(),
            segment,
        };
        arrival.take(&mut buffer, &mut coalescer, &table(), &counters);
        let mut all = Vec::new();
        coalescer.flush(&buffer, |parts, _| {
            all.push(parts[1..].iter().flat_map(|part| part.to_vec()).collect());
        });
        (all, counters)
    }

    /// How many calls receive that always have something, and how many datagrams that makes.
    fn filled(length: usize, segment: usize) -> (usize, usize) {
        let mut calls = 0;
        let mut buffer = vec![0; BATCH + ROOM];
        let receive = |_: &mut [u8]| {
            calls += 1;
            Ok(Some(Received {
                length,
                segment,
                from: "192.0.2.2:8285".parse().expect("address"),
            }))
        };
        let datagrams = fill(&mut buffer, receive, |_, _| {}).expect("fill");
        (calls, datagrams)
    }

    #[test]
    fn what_is_received_at_once_has_a_bound_in_bytes_and_in_datagrams() {
        assert_eq!(filled(1472, 1472), (45, 45));
        assert_eq!(filled(1472 * 44, 1472), (2, 88));
        assert_eq!(filled(1, 1), (1024, 1024));
        assert_eq!(filled(0, 0), (1024, 1024));
        assert_eq!(filled(64, 1), (16, 1024));
        let nothing = fill(&mut vec![0; BATCH + ROOM], |_| Ok(None), |_, _| {});
        assert_eq!(nothing.expect("fill"), 0);
    }

    #[test]
    fn packets_come_in_one_hop_older_and_without_what_follows_them() {
        let mut bytes = samples::udp("10.2.0.3", "10.1.0.2", 63, b"hello");
        bytes.extend(b"more");
        let (all, _) = delivered("192.0.2.2", bytes.len(), &bytes);
        assert_eq!(all, [samples::udp("10.2.0.3", "10.1.0.2", 62, b"hello")]);
    }

    #[test]
    fn datagrams_that_came_together_are_told_apart() {
        let a = samples::udp("10.2.0.3", "10.1.0.2", 63, b"12345");
        let b = samples::udp("10.2.0.4", "10.1.0.2", 63, b"123");
        let (all, _) = delivered("192.0.2.2", a.len(), &[a.clone(), a.clone(), b].concat());
        let lengths: Vec<_> = all.iter().map(Vec::len).collect();
        assert_eq!(lengths, [38, 31]);
    }

    #[test]
    fn what_may_not_come_in_is_counted_by_its_reason() {
        let packet = |source, destination, ttl| samples::udp(source, destination, ttl, b"x");
        let good = packet("10.2.0.3", "10.1.0.2", 63);
        let changed = |at: usize, to| {
            let mut packet = good.clone();
            packet[at] = to;
            packet
        };
        for (node, bytes, reason) in [
            ("192.0.2.9", good.clone(), "stranger"),
            ("192.0.2.9", vec![], "stranger"),
            ("192.0.2.2", vec![], "malformed"),
            ("192.0.2.2", good[..19].to_vec(), "malformed"),
            ("192.0.2.2", good[..28].to_vec(), "malformed"),
            ("192.0.2.2", vec![0xa5; 20], "malformed"),
            ("192.0.2.2", changed(0, 0x65), "malformed"),
            ("192.0.2.2", changed(3, 100), "malformed"),
            ("192.0.2.2", changed(10, 0), "malformed"),
            ("192.0.2.3", good.clone(), "spoofed"),
            ("192.0.2.2", packet("10.1.0.9", "10.1.0.2", 63), "spoofed"),
            ("192.0.2.2", packet("10.2.0.3", "10.3.0.2", 63), "not-ours"),
            ("192.0.2.2", packet("10.2.0.3", "192.0.2.1", 63), "not-ours"),
            ("192.0.2.2", packet("10.2.0.3", "10.1.0.2", 1), "expired"),
        ] {
            let (all, counters) = delivered(node, bytes.len(), &bytes);
            assert!(all.is_empty(), "{reason}");
            let counts = counters.read();
            assert_eq!(counts.dropped[reason], 1, "{reason}");
            assert_eq!(counts.dropped.values().sum::<u64>(), 1, "{reason}");
            let stranger = (reason == "stranger").then(|| address("192.0.2.9"));
            assert_eq!(counts.stranger, stranger);
        }
    }
}
