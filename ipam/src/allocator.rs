//! Which addresses an attachment gets: one per range set, requested ones first, else round robin.
use std::{collections::HashSet, net::IpAddr};

use ipnetwork::IpNetwork;

use crate::{Error, Owner, RangeSet, Store};

/// How many taken addresses in a row are tried one by one. A longer run is searched in memory.
const TRIES: usize = 8;

/// One allocated address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// With the subnet's prefix length.
    pub address: IpNetwork,
    /// The subnet's gateway.
    pub gateway: IpAddr,
}

/// Takes one address from every set for `owner`, `requested` ones where a set contains one.
/// All or nothing: on failure what was taken is given back, and only that; the sets' last
/// reserved addresses stay.
pub fn allocate(
    store: &mut dyn Store,
    sets: &[RangeSet],
    requested: &[IpAddr],
    owner: &Owner<'_>,
) -> Result<Vec<Allocation>, Error> {
    let mut taking = Taking {
        store,
        owner,
        allocated: Vec::with_capacity(sets.len()),
    };
    taking.take_all(sets, requested)?;
    Ok(std::mem::take(&mut taking.allocated))
}

/// What was taken so far; dropped before its end, by an error or a panic, it is given back.
struct Taking<'a> {
    store: &'a mut dyn Store,
    owner: &'a Owner<'a>,
    allocated: Vec<Allocation>,
}

impl Taking<'_> {
    fn take_all(&mut self, sets: &[RangeSet], requested: &[IpAddr]) -> Result<(), Error> {
        let mut unserved = requested.to_vec();
        for (position, set) in sets.iter().enumerate() {
            let wanted = unserved
                .iter()
                .position(|address| set.range_of(*address).is_some());
            let allocation = match wanted.map(|at| unserved.remove(at)) {
                Some(address) => take_requested(self.store, set, address, self.owner),
                None => take_free(self.store, set, position, self.owner),
            };
            let failed = |source| Error::Allocate {
                set: position,
                source: Box::new(source),
            };
            let allocation = allocation.map_err(failed)?;
            let address = allocation.address.ip();
            self.allocated.push(allocation);
            self.store
                .set_last_reserved(position, address)
                .map_err(failed)?;
        }
        if unserved.is_empty() {
            return Ok(());
        }
        Err(Error::Unserved(
            unserved
                .iter()
                .map(|address| format!(" {address}"))
                .collect(),
        ))
    }
}

impl Drop for Taking<'_> {
    /// The failure that led here is the one to report; what cannot be given back is released by
    /// the runtime's DEL.
    fn drop(&mut self) {
        for allocation in self.allocated.iter().rev() {
            let address = allocation.address.ip();
            if let Err(error) = self.store.unreserve(address, self.owner) {
                tracing::warn!(%address, container = self.owner.container, error = error.text(),
                    "could not give back the address of a failed allocation");
            }
        }
    }
}

fn take_requested(
    store: &mut dyn Store,
    set: &RangeSet,
    address: IpAddr,
    owner: &Owner<'_>,
) -> Result<Allocation, Error> {
    if !set.can_serve(address) {
        return Err(Error::Gateway(address));
    }
    if !store.reserve(address, owner)? {
        let holder = store.holder(address);
        return Err(Error::Taken {
            address,
            set: set.to_string(),
            holder: holder.unwrap_or_else(|| "somebody else".to_owned()),
        });
    }
    allocation(set, address)
}

/// The specification wants a second ADD of an attachment refused, so an attachment that holds an
/// address of this set gets no other one.
fn take_free(
    store: &mut dyn Store,
    set: &RangeSet,
    position: usize,
    owner: &Owner<'_>,
) -> Result<Allocation, Error> {
    let held = store.addresses_of(owner)?;
    if let Some(address) = held
        .into_iter()
        .find(|address| set.range_of(*address).is_some())
    {
        return Err(Error::Duplicate {
            address,
            container: owner.container.to_owned(),
        });
    }
    let address = reserve_next(store, set, position, owner)?;
    allocation(
        set,
        address.ok_or_else(|| Error::Exhausted(set.to_string()))?,
    )
}

/// Round robin: a freed address comes back only after the whole set had its turn.
fn reserve_next(
    store: &mut dyn Store,
    set: &RangeSet,
    position: usize,
    owner: &Owner<'_>,
) -> Result<Option<IpAddr>, Error> {
    let last = store.last_reserved(position);
    let mut taken: Option<HashSet<IpAddr>> = None;
    let mut tries = 0;
    for (address, _) in set.addresses_after(last) {
        if tries == TRIES && taken.is_none() {
            taken = Some(store.taken()?);
        }
        if taken.as_ref().is_some_and(|taken| taken.contains(&address)) {
            continue;
        }
        if store.reserve(address, owner)? {
            return Ok(Some(address));
        }
        tries += 1;
    }
    Ok(None)
}

fn allocation(set: &RangeSet, address: IpAddr) -> Result<Allocation, Error> {
    let range = set.range_of(address);
    let found = range.and_then(|range| {
        Some(Allocation {
            address: range.with_prefix(address)?,
            gateway: range.gateway(),
        })
    });
    found.ok_or_else(|| Error::Exhausted(set.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Range, cidr::parse_cidr};

    const OWNER: Owner<'static> = Owner {
        container: "pod",
        ifname: "eth0",
    };

    /// Reservations in memory; can fail where a disk can.
    #[derive(Default)]
    struct Memory {
        held: BTreeMap<IpAddr, String>,
        last: BTreeMap<usize, IpAddr>,
        /// The range set whose last reserved address cannot be written.
        unwritable: Option<usize>,
        /// The range set whose last reserved address panics.
        panicking: Option<usize>,
        reserve_calls: usize,
        taken_calls: usize,
    }

    impl Store for Memory {
        fn addresses_of(&mut self, owner: &Owner<'_>) -> Result<Vec<IpAddr>, Error> {
            let held = self
                .held
                .iter()
                .filter(|(_, record)| **record == owner.record());
            Ok(held.map(|(address, _)| *address).collect())
        }

        fn reserve(&mut self, address: IpAddr, owner: &Owner<'_>) -> Result<bool, Error> {
            self.reserve_calls += 1;
            let free = !self.held.contains_key(&address);
            self.held.entry(address).or_insert_with(|| owner.record());
            Ok(free)
        }

        fn unreserve(&mut self, address: IpAddr, owner: &Owner<'_>) -> Result<(), Error> {
            assert_eq!(self.held.remove(&address), Some(owner.record()));
            Ok(())
        }

        fn taken(&mut self) -> Result<HashSet<IpAddr>, Error> {
            self.taken_calls += 1;
            Ok(self.held.keys().copied().collect())
        }

        fn holder(&mut self, address: IpAddr) -> Option<String> {
            self.held.get(&address).cloned()
        }

        fn last_reserved(&mut self, set: usize) -> Option<IpAddr> {
            self.last.get(&set).copied()
        }

        fn set_last_reserved(&mut self, set: usize, address: IpAddr) -> Result<(), Error> {
            assert_ne!(self.panicking, Some(set), "told to panic");
            if self.unwritable == Some(set) {
                let full = std::io::ErrorKind::StorageFull.into();
                return Err(Error::file("write", std::path::Path::new("last"), full));
            }
            self.last.insert(set, address);
            Ok(())
        }
    }

    fn sets(subnets: &[&str]) -> Vec<RangeSet> {
        let range = |subnet: &&str| Range::new(parse_cidr(subnet), None, None, None).unwrap();
        subnets
            .iter()
            .map(|subnet| RangeSet::new(vec![range(subnet)]).unwrap())
            .collect()
    }

    #[test]
    fn a_failure_gives_back_what_this_call_took_and_nothing_else() {
        let sets = sets(&["10.0.0.0/24", "2001:db8::/64"]);
        let earlier: IpAddr = "10.0.0.99".parse().unwrap();
        let requested = ["10.0.0.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        let lost = [requested[0], requested[1], "10.9.9.9".parse().unwrap()];
        for (unwritable, requested) in [
            (Some(0), &requested[..]),
            (Some(1), &requested),
            (None, &lost),
        ] {
            let mut store = Memory {
                unwritable,
                ..Memory::default()
            };
            store.held.insert(earlier, OWNER.record());
            allocate(&mut store, &sets, requested, &OWNER).unwrap_err();
            assert_eq!(store.held.keys().collect::<Vec<_>>(), [&earlier]);
        }
    }

    #[test]
    fn a_panic_gives_back_too() {
        let sets = sets(&["10.0.0.0/24", "2001:db8::/64"]);
        for set in [0, 1] {
            let mut store = Memory {
                panicking: Some(set),
                ..Memory::default()
            };
            let work = || allocate(&mut store, &sets, &[], &OWNER);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
            assert!(store.held.is_empty(), "set {set}");
        }
    }

    #[test]
    fn one_address_of_every_set_requested_ones_first() {
        let sets = sets(&["10.0.0.0/24", "2001:db8::/64"]);
        let mut store = Memory::default();
        let requested = ["2001:db8::99".parse().unwrap()];
        let allocated = allocate(&mut store, &sets, &requested, &OWNER).unwrap();
        let texts: Vec<String> = allocated
            .iter()
            .map(|one| one.address.to_string())
            .collect();
        assert_eq!(texts, ["10.0.0.2/24", "2001:db8::99/64"]);
        let refused = allocate(&mut store, &sets, &[], &OWNER).unwrap_err();
        assert_eq!(
            refused.text(),
            "failed to allocate for range 0: 10.0.0.2 has been allocated to pod, duplicate \
             allocation is not allowed"
        );
    }

    #[test]
    fn a_long_run_of_taken_addresses_costs_one_look() {
        let sets = sets(&["10.0.0.0/16"]);
        let mut store = Memory::default();
        for (address, _) in sets[0].addresses_after(None).take(5000) {
            store.held.insert(address, "other\r\neth0".into());
        }
        let allocated = allocate(&mut store, &sets, &[], &OWNER).unwrap();
        assert_eq!(allocated[0].address.to_string(), "10.0.19.138/16");
        assert_eq!((store.reserve_calls, store.taken_calls), (TRIES + 1, 1));
    }
}
