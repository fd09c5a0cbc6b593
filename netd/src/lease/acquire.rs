//! How a node comes to its lease: the one it has, the one it had, or any free one.

use std::time::Duration;

use backend::Family;
use cluster::{LeaseAttrs, NetworkConfig, Pool, Subnets};
use ipnetwork::IpNetwork;

use super::{Acquired, LeaseError, OwnLease, Timing};
use crate::retry::{Backoff, Trouble};
use crate::store::{Holding, Listing, Malformed, Record, Store, StoreError};

/// How often others may be faster before this node gives up.
const ATTEMPTS: u32 = 10;
/// The longest first pause after losing a race; it doubles each time.
const RACE: Duration = Duration::from_millis(50);

/// Acquires a lease for the node with `attrs`. In this order: the lease that carries the node's
/// public address, the `previous` subnets (from `subnet.env`) where they are free, and a random
/// choice among all free ones. A lease of this node that the configuration does not allow is
/// removed.
///
/// # Errors
/// No subnet is free, others were faster ten times in a row, or the store refuses. An unreachable
/// store is waited for.
pub async fn acquire(
    store: &dyn Store,
    config: &NetworkConfig,
    attrs: &LeaseAttrs,
    previous: Option<Subnets>,
    timing: &Timing,
) -> Result<Acquired, LeaseError> {
    let mut trouble = Trouble::new("acquire a lease");
    let mut backoff = timing.backoff();
    let mut races = Backoff::between(RACE, RACE * 32);
    let mut lost = 0;
    loop {
        match attempt(store, config, attrs, previous, timing.ttl).await {
            Ok(Some((holding, listing))) => {
                trouble.end();
                let attrs = attrs.clone();
                let lease = OwnLease { holding, attrs };
                return Ok(Acquired { lease, listing });
            }
            Ok(None) if lost + 1 == ATTEMPTS => return Err(LeaseError::Contended(ATTEMPTS)),
            Ok(None) => {
                lost += 1;
                tokio::time::sleep(races.pause()).await;
            }
            Err(LeaseError::Store(error)) if error.is_passing() => {
                trouble.begin(&error);
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// One attempt; `None` when someone else was faster.
async fn attempt(
    store: &dyn Store,
    config: &NetworkConfig,
    attrs: &LeaseAttrs,
    previous: Option<Subnets>,
    ttl: Duration,
) -> Result<Option<(Holding, Option<Listing>)>, LeaseError> {
    if let Some(assignment) = store.assignment().await? {
        let holding = take_given(store, config, attrs, &assignment.subnets, ttl).await?;
        return Ok(holding.map(|holding| (holding, None)));
    }
    let mut listing = store.list().await?;
    let holding = take_one(store, config, attrs, previous, ttl, &mut listing).await?;
    Ok(holding.map(|holding| {
        listing.put(Record::of(&holding, attrs));
        (holding, Some(listing))
    }))
}

/// The lease that this node has, or a free one; what is removed of others is taken from the list, too.
async fn take_one(
    store: &dyn Store,
    config: &NetworkConfig,
    attrs: &LeaseAttrs,
    previous: Option<Subnets>,
    ttl: Duration,
    listing: &mut Listing,
) -> Result<Option<Holding>, LeaseError> {
    if let Some(record) = own(listing, config, attrs, previous) {
        if config.accepts(&record.subnets) {
            tracing::info!(subnets = %record.subnets, "found this node's lease, reusing it");
            return Ok(store.adopt(record, attrs, ttl).await?);
        }
        let (subnets, revision) = (record.subnets, record.revision);
        tracing::warn!(%subnets, "this node's lease does not fit the network configuration");
        if !store.delete(subnets, revision).await? {
            return Ok(None);
        }
        listing.records.retain(|other| other.subnets != subnets);
    }
    let subnets = choose(config, previous, listing)?;
    if store.has_forgetful_readers() {
        warn_of_flanneld(&subnets, listing);
    }
    Ok(store.create(subnets, attrs, ttl).await?)
}

/// What the cluster gave to this node, if the configuration allows it.
async fn take_given(
    store: &dyn Store,
    config: &NetworkConfig,
    attrs: &LeaseAttrs,
    given: &Subnets,
    ttl: Duration,
) -> Result<Option<Holding>, LeaseError> {
    for family in Family::enabled_in(config) {
        check_given(config, given, family)?;
    }
    Ok(match store.get(*given).await? {
        Some(record) => store.adopt(&record, attrs, ttl).await?,
        None => store.create(*given, attrs, ttl).await?,
    })
}

fn check_given(config: &NetworkConfig, given: &Subnets, family: Family) -> Result<(), LeaseError> {
    let (name, key) = match family {
        Family::V4 => ("IPv4", "Network"),
        Family::V6 => ("IPv6", "IPv6Network"),
    };
    let given = *given;
    let Some(subnet) = family.subnet(&given) else {
        let family = name;
        return Err(LeaseError::NoFamily { given, family });
    };
    match family.network(config) {
        Some(network)
            if !(network.contains(subnet.ip()) && network.prefix() <= subnet.prefix()) =>
        {
            Err(LeaseError::Outside {
                subnet,
                key,
                network,
            })
        }
        _ => Ok(()),
    }
}

/// This node's lease: one that the configuration allows rather than another, the previous subnets
/// rather than others.
fn own<'a>(
    listing: &'a Listing,
    config: &NetworkConfig,
    attrs: &LeaseAttrs,
    previous: Option<Subnets>,
) -> Option<&'a Record> {
    listing
        .records
        .iter()
        .filter(|record| record.odd_key.is_none() && is_same_node(&record.attrs, attrs))
        .min_by_key(|record| {
            (
                !config.accepts(&record.subnets),
                Some(record.subnets) != previous,
            )
        })
}

/// What this node published before, known by its public address where nodes draw their subnets.
///
/// # Errors
/// The store does not answer.
pub async fn published(
    store: &dyn Store,
    attrs: &LeaseAttrs,
) -> Result<Option<LeaseAttrs>, StoreError> {
    if let Some(assignment) = store.assignment().await? {
        return Ok(assignment.published);
    }
    let listing = store.list().await?;
    let mut records = listing.records.iter();
    let own = records.find(|record| is_same_node(&record.attrs, attrs));
    Ok(own.map(|record| record.attrs.as_ref().clone()))
}

/// Whether both are of one node: the same public IPv4 address, or without one the same IPv6 address.
pub(super) fn is_same_node(a: &LeaseAttrs, b: &LeaseAttrs) -> bool {
    a.public_ip == b.public_ip
        && (!a.public_ip.is_unspecified()
            || a.public_ipv6.is_some() && a.public_ipv6 == b.public_ipv6)
}

/// Free subnets: per family the previous one, or any.
fn choose(
    config: &NetworkConfig,
    previous: Option<Subnets>,
    listing: &Listing,
) -> Result<Subnets, LeaseError> {
    let previous = |v4: bool| {
        previous
            .iter()
            .flat_map(Subnets::iter)
            .find(|n| n.is_ipv4() == v4)
    };
    let v4 = config
        .v4
        .map(|pool| choose_one(&pool, previous(true), listing))
        .transpose()?;
    let v6 = config
        .v6
        .map(|pool| choose_one(&pool, previous(false), listing))
        .transpose()?;
    Ok([v4, v6].into_iter().flatten().collect())
}

fn choose_one(
    pool: &Pool,
    previous: Option<IpNetwork>,
    listing: &Listing,
) -> Result<IpNetwork, LeaseError> {
    // A key whose value cannot be read takes its subnet all the same.
    let unreadable: Vec<_> = listing
        .malformed
        .iter()
        .filter_map(Malformed::subnets)
        .collect();
    let taken = pool.taken(
        listing
            .records
            .iter()
            .map(|r| &r.subnets)
            .chain(&unreadable),
    );
    if let Some(subnet) = previous.filter(|subnet| pool.is_free(&taken, *subnet)) {
        return Ok(subnet);
    }
    let free = pool.free(&taken);
    let chosen = if free == 0 {
        None
    } else {
        pool.nth_free(&taken, fastrand::u128(..free))
    };
    chosen.ok_or_else(|| LeaseError::OutOfSubnets {
        total: pool.size(),
        first: pool.first(),
        last: pool.last(),
    })
}

/// What daemons of flannel in the same cluster cannot bear. One with an IPv4 configuration stops
/// following its peers, without a word, when it sees the first key of both families; one without
/// IPv4 takes every lease for its own, because all carry the public address 0.0.0.0.
fn warn_of_flanneld(subnets: &Subnets, listing: &Listing) {
    let v4_only = listing
        .records
        .iter()
        .filter(|record| record.subnets.v6.is_none())
        .count();
    if subnets.v4.is_none() {
        tracing::warn!("flanneld cannot share a cluster without IPv4: every node must run netd");
    } else if subnets.v6.is_some() && v4_only > 0 {
        tracing::warn!(
            "{v4_only} nodes lease IPv4 only: if flanneld runs there with a configuration without \
             IPv6, it stops following the cluster when this node publishes {subnets}"
        );
    }
}
