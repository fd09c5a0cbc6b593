//! What was carried and what was not, counted by all threads.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::packet::Fault;
use crate::table::Refusal;

/// Why a packet is dropped. Of those that come in: what a stranger may have made goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Came from an address of no node.
    Stranger,
    /// Came and was no IPv4 packet.
    Malformed,
    /// Came, to no pod of this node.
    NotOurs,
    /// Came from a node that does not have its source address.
    Spoofed,
    /// Its time to live ended here.
    Expired,
    /// Leads to no node.
    NoRoute,
    /// Could not be sent.
    Unsent,
    /// Came, and the kernel did not take it.
    Untaken,
    /// The kernel handed it over in a way that was not agreed.
    Misfit,
}

impl Dropped {
    const ALL: [Self; 9] = [
        Self::Stranger,
        Self::Malformed,
        Self::NotOurs,
        Self::Spoofed,
        Self::Expired,
        Self::NoRoute,
        Self::Unsent,
        Self::Untaken,
        Self::Misfit,
    ];

    /// In metrics.
    fn label(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Malformed => "malformed",
            Self::NotOurs => "not-ours",
            Self::Spoofed => "spoofed",
            Self::Expired => "expired",
            Self::NoRoute => "no-route",
            Self::Unsent => "unsent",
            Self::Untaken => "untaken",
            Self::Misfit => "misfit",
        }
    }
}

impl From<Fault> for Dropped {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Short | Fault::Version | Fault::Checksum => Self::Malformed,
        }
    }
}

impl From<Refusal> for Dropped {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stranger => Self::Stranger,
            Refusal::NotOurs => Self::NotOurs,
            Refusal::Spoofed => Self::Spoofed,
        }
    }
}

/// Packets and their bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// IP packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a forwarder has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// To other nodes.
    pub sent: Carried,
    /// From other nodes, and given to the kernel.
    pub received: Carried,
    /// Packets that were dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// The last address of no node that sent something.
    pub stranger: Option<Ipv4Addr>,
}

#[derive(Debug, Default)]
struct Meter {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    fn add(&self, packets: usize, bytes: usize) {
        self.packets.fetch_add(packets as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn read(&self) -> Carried {
        Carried {
            packets: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sent: Meter,
    received: Meter,
    dropped: [AtomicU64; Dropped::ALL.len()],
    /// 0: none.
    stranger: AtomicU32,
}

impl Counters {
    pub(crate) fn sent(&self, packets: usize, bytes: usize) {
        self.sent.add(packets, bytes);
    }

    pub(crate) fn received(&self, packets: usize, bytes: usize) {
        self.received.add(packets, bytes);
    }

    pub(crate) fn dropped(&self, why: Dropped, packets: usize) {
        self.dropped[why as usize].fetch_add(packets as u64, Relaxed);
    }

    pub(crate) fn stranger(&self, from: Ipv4Addr, packets: usize) {
        self.dropped(Dropped::Stranger, packets);
        self.stranger.store(from.to_bits(), Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let dropped = Dropped::ALL.into_iter().zip(&self.dropped);
        let stranger = Ipv4Addr::from_bits(self.stranger.load(Relaxed));
        Counts {
            sent: self.sent.read(),
            received: self.received.read(),
            dropped: dropped
                .map(|(why, count)| (why.label().to_owned(), count.load(Relaxed)))
                .collect(),
            stranger: Some(stranger).filter(|stranger| !stranger.is_unspecified()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        for (n, why) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, n);
            let counters = Counters::default();
            counters.dropped(why, 3);
            let counts = counters.read();
            assert_eq!(counts.dropped.len(), Dropped::ALL.len());
            assert_eq!(counts.dropped[why.label()], 3);
            assert_eq!(counts.dropped.values().sum::<u64>(), 3);
        }
    }
}
