//! This node's lease, and everybody else's: acquire, keep, follow.

mod acquire;
mod assigned;
mod config;
mod fight;
mod follow;
mod keep;
mod table;

use std::time::Duration;

use cluster::{ConfigError, LeaseAttrs, Subnets};
use ipnetwork::IpNetwork;

use crate::retry::Backoff;
use crate::store::{Holding, Listing, StoreError};

pub use acquire::{acquire, published};
pub use assigned::{announce, wait_for_assignment};
pub use config::{Missing, wait_for_config};
pub use follow::watch_peers;
pub use keep::{Keeping, OwnStatus, keep};
pub use table::{LeaseTable, OwnRecord, Sync};

/// A lease that this node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnLease {
    /// As the store knows it.
    pub holding: Holding,
    /// As it was written.
    pub attrs: LeaseAttrs,
}

/// What came of looking for a lease.
#[derive(Debug)]
pub struct Acquired {
    /// This node's.
    pub lease: OwnLease,
    /// All leases, as they were listed for that, with this node's as it was written then; none where the store
    /// gives nodes their subnets.
    pub listing: Option<Listing>,
}

impl OwnLease {
    /// What is leased.
    pub fn subnets(&self) -> Subnets {
        self.holding.subnets
    }
}

/// When things happen. The default is what a cluster wants; demos and tests are more hasty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease lasts without renewal.
    pub ttl: Duration,
    /// A lease is renewed at the latest this long before it ends, and never later than after a
    /// third of its time.
    pub renew_margin: Duration,
    /// The own lease is written a second time this long after it was registered: flanneld up to
    /// 0.20 misses events of nodes that start together.
    pub settle: Duration,
    /// The same after the store was unreachable.
    pub settle_after_outage: Duration,
    /// Everything is listed anew this often, whatever the watch says.
    pub relist: Duration,
    /// While another node writes the own lease again and again, it is put back this often.
    pub truce: Duration,
    /// The first pause after a failure; it doubles up to `max_backoff`.
    pub min_backoff: Duration,
    /// The longest pause after failures.
    pub max_backoff: Duration,
}

impl Timing {
    /// Pauses after failures.
    fn backoff(&self) -> Backoff {
        Backoff::between(self.min_backoff, self.max_backoff)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(24 * 60 * 60),
            renew_margin: Duration::from_secs(60 * 60),
            settle: Duration::from_secs(5),
            settle_after_outage: Duration::from_secs(60),
            relist: Duration::from_secs(10 * 60),
            truce: Duration::from_secs(60),
            min_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// Why this node has no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The store failed in a way that trying again does not help.
    #[error("the store does not work")]
    Store(#[from] StoreError),
    /// The network configuration can never become right.
    #[error("the network configuration cannot be used")]
    Config(#[from] ConfigError),
    /// Every subnet of the pool is leased.
    #[error("out of subnets: all {total} from {first} to {last} are leased")]
    OutOfSubnets {
        /// How many there are.
        total: u128,
        /// The first.
        first: std::net::IpAddr,
        /// The last.
        last: std::net::IpAddr,
    },
    /// Others were faster, again and again.
    #[error("no subnet could be leased in {0} attempts: other nodes were faster each time")]
    Contended(u32),
    /// The cluster gave a subnet that is not in the network of the configuration.
    #[error(
        "the cluster gives this node {subnet}, which is not in {key} {network}: the network \
         configuration must name the network that the nodes' subnets are taken from"
    )]
    Outside {
        /// What this node has.
        subnet: IpNetwork,
        /// `Network` or `IPv6Network`.
        key: &'static str,
        /// Its value.
        network: IpNetwork,
    },
    /// The cluster gave no subnet of a family that is on.
    #[error(
        "the cluster gives this node {given} and so no {family} subnet, and the network \
         configuration has {family} on: give the nodes subnets of both families, or turn it off"
    )]
    NoFamily {
        /// What this node has.
        given: Subnets,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// The cluster gives this node other subnets now.
    #[error("the cluster gives this node {now} in place of {before}: it must start anew with them")]
    Moved {
        /// What this node had.
        before: Subnets,
        /// What it has.
        now: Subnets,
    },
    /// The own subnets belong to another node now.
    #[error("the lease of {subnets} is lost: {holder} holds {taken}")]
    Lost {
        /// What this node had.
        subnets: Subnets,
        /// Who has it now.
        holder: std::net::IpAddr,
        /// What the other node holds.
        taken: Subnets,
    },
}
