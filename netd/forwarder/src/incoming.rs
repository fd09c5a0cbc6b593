//! From the other nodes to the tun device.

use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;

use kernel::{DatagramSocket, TunQueue};

use crate::coalesce::Coalescer;
use crate::counters::{Counters, Dropped};
use crate::packet::{Fault, Header, pass_hop};
use crate::table::Table;
use crate::worker::{self, Shared};

/// What one call may receive.
const ROOM: usize = 65_535;
/// So many bytes are received before they are given to the kernel.
const BATCH: usize = 65_536;

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
            let used = self.fill(shared)?;
            if used == 0 && !shared.wait(&self.socket)? {
                break;
            }
            self.deliver(&shared.counters)?;
        }
        Ok(())
    }

    /// Receives what is there; how many bytes, or 1 for none at all.
    fn fill(&mut self, shared: &Shared) -> io::Result<usize> {
        let table = shared.table();
        let mut used = 0;
        while used < BATCH {
            let room = &mut self.buffer[used..used + ROOM];
            let Some(received) = worker::unless_waiting(self.socket.receive(room))? else {
                break;
            };
            let arrival = Arrival {
                node: *received.from.ip(),
                at: used..used + received.length,
                segment: received.segment,
            };
            let counters = &shared.counters;
            arrival.take(&mut self.buffer, &mut self.coalescer, &table, counters);
            // An empty datagram is something, too.
            used += received.length.max(1);
        }
        Ok(used)
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

/// What one call received: datagrams of one node.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) node: Ipv4Addr,
    pub(crate) at: Range<usize>,
    pub(crate) segment: usize,
}

impl Arrival {
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
            let datagrams = self.at.len().div_ceil(segment).max(1);
            counters.stranger(self.node, datagrams);
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
