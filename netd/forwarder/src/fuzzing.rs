//! What strangers may send, as a function of bytes, and what the kernel hands over.

use std::net::Ipv4Addr;

use crate::checksum::Sum;
use crate::coalesce::Coalescer;
use crate::counters::Counters;
use crate::incoming::Arrival;
use crate::outgoing::Batch;
use crate::packet::{Fault, Header, seal};
use crate::table::{Routes, Subnet, Table};

const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn table() -> Table {
    let subnet = |n| Subnet(Ipv4Addr::new(10, n, 0, 0), Ipv4Addr::new(10, n, 255, 255));
    Table::from(Routes {
        own: subnet(1),
        peers: vec![(subnet(2), NODE)],
    })
}

/// Datagrams that came together, each of as many bytes as the first two say (the last of fewer): what is
/// given to the kernel are packets, and as many as are counted. Wrong checksums of headers are put right
/// first: what comes after them is looked at, too.
///
/// # Panics
/// They are not.
pub fn datagrams(data: &[u8]) {
    let Some((size, rest)) = data.split_first_chunk() else {
        return;
    };
    let mut buffer = rest.to_vec();
    let segment = usize::from(u16::from_be_bytes(*size)).max(1);
    buffer.chunks_mut(segment).for_each(mend);
    let (mut coalescer, counters) = (Coalescer::new(true), Counters::default());
    let arrival = Arrival {
        node: NODE,
        at: 0..buffer.len(),
        segment,
    };
    arrival.take(&mut buffer, &mut coalescer, &table(), &counters);
    let mut packets = 0;
    coalescer.flush(&buffer, |parts, written| {
        let packet: Vec<u8> = parts[1..].iter().flat_map(|part| part.to_vec()).collect();
        let header = Header::read(&packet);
        assert!(header.is_ok_and(|header| header.total == packet.len()));
        packets += written.packets as u64;
    });
    let came = buffer.len().div_ceil(segment).max(1) as u64;
    let dropped: u64 = counters.read().dropped.values().sum();
    assert_eq!(packets + dropped, came);
}

fn mend(packet: &mut [u8]) {
    if Header::read(packet) == Err(Fault::Checksum) {
        let length = usize::from(packet[0] & 0xf) * 4;
        seal(&mut packet[..length]);
    }
}

/// A packet with the kernel's header before it: each that goes out is one. A wrong checksum of its header
/// is put right first, since the kernel's are.
///
/// # Panics
/// One is none.
pub fn outgoing(data: &[u8]) {
    let mut buffer = data.to_vec();
    mend(buffer.get_mut(10..).unwrap_or_default());
    let counters = Counters::default();
    let mut batch = Batch::default();
    let at = 0..buffer.len();
    if let Some(answer) = batch.take(&mut buffer, at, &table(), &counters) {
        assert!(Header::read(&answer).is_ok());
        assert!(Sum::default().add(&answer[20..]).is_right());
    }
    for (to, packet) in batch.packets(&buffer) {
        assert_eq!(to, NODE);
        let header = Header::read(&packet);
        assert!(header.is_ok_and(|header| header.total == packet.len()));
    }
}
