//! The other nodes one by one, for the pages: put together only when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use backend::{Family, Unserved};
use cluster::{LeaseAttrs, RawJson, Subnets};
use ipnetwork::IpNetwork;
use kernel::Change;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Reach;
use crate::lease::LeaseTable;
use crate::stamp::Stamp;

/// One node's lease, and what this node made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerState {
    /// Its subnets, one of each family that it has.
    pub subnets: Vec<String>,
    /// Its public addresses.
    pub public: Vec<String>,
    /// `BackendType`, as published.
    pub backend: String,
    /// `BackendData`, as published.
    pub backend_data: Option<Value>,
    /// `BackendV6Data`, as published.
    pub backend_v6_data: Option<Value>,
    /// What this node made of it.
    pub state: Served,
    /// Why it is not programmed, one sentence for each family; empty when it is.
    pub reason: String,
    /// When its lease appeared or was last written with another value, as this netd saw it,
    /// RFC 3339 in UTC.
    pub changed: String,
    /// The same in seconds until now.
    pub seconds: u64,
    /// How probes to its subnets went, where this netd sends them.
    pub reach: Vec<Reach>,
}

/// What became of a peer's lease. The worst of its families counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Served {
    /// All that it needs is in the kernel.
    #[default]
    Programmed,
    /// Another program changes an object of its again and again; it is put back slowly.
    Held,
    /// A route of somebody else's is in the place of its route.
    Conflict,
    /// The kernel refuses an object of its.
    Refused,
    /// The lease cannot be used here.
    Unserved,
}

/// An object that is not in the kernel as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is lacking.
    pub object: Object,
    /// Why.
    pub state: Served,
    /// A sentence.
    pub what: String,
}

/// What an object is known by, so that the peer that needs it can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A route to this subnet.
    Route(IpNetwork),
    /// A neighbour with this address, of the subnet that begins there.
    Neighbour(IpAddr),
    /// Something that leads to this public address.
    Endpoint(IpAddr),
}

impl Object {
    /// What a change would have brought into the kernel; nothing for what it takes out.
    pub fn of(change: &Change) -> Option<Self> {
        match change {
            Change::AddRoute(route) | Change::ReplaceRoute(route) => Some(Self::Route(route.dst)),
            Change::ReplaceNeighbour(entry) => Some(Self::Neighbour(entry.address)),
            Change::ReplaceFdb(entry) => Some(Self::Endpoint(entry.dst)),
            Change::SetWireguardPeer(_, peer) => {
                let subnet = peer.allowed_ips.first();
                subnet.map(|subnet| Self::Route(*subnet))
            }
            _ => None,
        }
    }
}

/// All that the rows are made from.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) table: Arc<LeaseTable>,
    pub(super) unserved: Vec<Unserved>,
    pub(super) lacks: Vec<Lack>,
    pub(super) reach: BTreeMap<IpNetwork, Reach>,
}

impl Directory {
    /// A row for each lease, in the order of their keys.
    pub(super) fn rows(&self, now: &Stamp) -> Vec<PeerState> {
        let unserved: BTreeMap<IpNetwork, String> = self
            .unserved
            .iter()
            .map(|unserved| (unserved.subnet, unserved.reason.to_string()))
            .collect();
        let lacks: BTreeMap<Object, &Lack> =
            self.lacks.iter().map(|lack| (lack.object, lack)).collect();
        let ages = self.table.ages.all();
        let row = |(subnets, attrs): (&Subnets, &Arc<LeaseAttrs>)| {
            let (state, reason) = served(subnets, attrs, &unserved, &lacks);
            let changed = ages.get(subnets).copied().unwrap_or(*now);
            let reach = Family::subnets_of(subnets).filter_map(|part| self.reach.get(&part));
            PeerState {
                subnets: words(subnets, |family, subnets| family.subnet(subnets)),
                public: words(attrs.as_ref(), |family, attrs| family.public_ip(attrs)),
                backend: attrs.backend_type.to_string(),
                backend_data: value(attrs.backend_data.as_ref()),
                backend_v6_data: value(attrs.backend_v6_data.as_ref()),
                state,
                reason,
                changed: changed.text(now),
                seconds: changed.seconds(now),
                reach: reach.cloned().collect(),
            }
        };
        self.table.peers.iter().map(row).collect()
    }

    pub(super) fn unserved_subnets(&self) -> BTreeSet<IpNetwork> {
        let unserved = self.unserved.iter();
        unserved.map(|unserved| unserved.subnet).collect()
    }

    /// How many leases are served whole.
    pub(super) fn served(&self) -> usize {
        let unserved = self.unserved_subnets();
        let all = self.table.peers.len();
        if unserved.is_empty() {
            return all;
        }
        let leases = self.table.peers.keys();
        let lacking = leases
            .filter(|subnets| Family::subnets_of(subnets).any(|subnet| unserved.contains(&subnet)));
        all - lacking.count()
    }

    /// How many subnets are not served, by reason.
    pub(super) fn by_reason(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for unserved in &self.unserved {
            *counts
                .entry(unserved.reason.label().to_owned())
                .or_default() += 1;
        }
        counts
    }
}

/// Both families' texts, where there are any.
fn words<T, W: ToString>(whole: &T, of: impl Fn(Family, &T) -> Option<W>) -> Vec<String> {
    Family::ALL
        .into_iter()
        .filter_map(|family| of(family, whole))
        .map(|part| part.to_string())
        .collect()
}

fn value(data: Option<&RawJson>) -> Option<Value> {
    serde_json::from_str(&data?.to_string()).ok()
}

fn served(
    subnets: &Subnets,
    attrs: &LeaseAttrs,
    unserved: &BTreeMap<IpNetwork, String>,
    lacks: &BTreeMap<Object, &Lack>,
) -> (Served, String) {
    let (mut state, mut reasons) = (Served::Programmed, Vec::new());
    for family in Family::ALL {
        let Some(subnet) = family.subnet(subnets) else {
            continue;
        };
        if let Some(reason) = unserved.get(&subnet) {
            state = Served::Unserved;
            reasons.push(reason.clone());
            continue;
        }
        let objects = [
            Some(Object::Route(subnet)),
            Some(Object::Neighbour(subnet.network())),
            family.public_ip(attrs).map(Object::Endpoint),
        ];
        let lack = objects
            .iter()
            .flatten()
            .find_map(|object| lacks.get(object));
        if let Some(lack) = lack {
            state = state.max(lack.state);
            reasons.push(lack.what.clone());
        }
    }
    (state, reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backend::Reason;
    use kernel::{FdbEntry, LinkIndex, MacAddr, Route};

    fn directory(lacks: Vec<Lack>, unserved: Vec<Unserved>) -> Directory {
        let mut table = LeaseTable::default();
        for n in 1..=3u8 {
            let key = format!("10.100.{n}.0-24&fd00:100:0:{n}::-64");
            let mut attrs = LeaseAttrs::new([192, 0, 2, n].into(), "2001:db8::1".parse().ok());
            attrs.backend_type = "vxlan".into();
            table
                .peers
                .insert(Subnets::parse_key(&key).expect("key"), Arc::new(attrs));
        }
        Directory {
            table: Arc::new(table),
            unserved,
            lacks,
            reach: BTreeMap::new(),
        }
    }

    #[test]
    fn a_peer_is_programmed_when_nothing_of_its_is_lacking() {
        let rows = directory(Vec::new(), Vec::new()).rows(&Stamp::now());
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].subnets, ["10.100.1.0/24", "fd00:100:0:1::/64"]);
        assert_eq!(rows[0].public, ["192.0.2.1", "2001:db8::1"]);
        assert!(rows.iter().all(|row| row.state == Served::Programmed));
    }

    #[test]
    fn what_is_lacking_is_its_who_needs_it() {
        let route = Route::to("10.100.1.0/24".parse().expect("dst"));
        let fdb = FdbEntry {
            link: LinkIndex(3),
            mac: MacAddr([2, 0, 0, 0, 0, 2]),
            dst: "192.0.2.2".parse().expect("address"),
        };
        let lack = |change: &Change, state, what: &str| Lack {
            object: Object::of(change).expect("an object"),
            state,
            what: what.to_owned(),
        };
        let lacks = vec![
            lack(&Change::ReplaceRoute(route.clone()), Served::Conflict, "a"),
            lack(&Change::ReplaceFdb(fdb), Served::Refused, "b"),
        ];
        let unserved = vec![Unserved {
            subnet: "fd00:100:0:3::/64".parse().expect("subnet"),
            reason: Reason::HostBits,
        }];
        let directory = directory(lacks, unserved);
        let rows = directory.rows(&Stamp::now());
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.state, row.reason.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (Served::Conflict, "a"),
                (Served::Refused, "b"),
                (Served::Unserved, "its subnet has host bits set")
            ]
        );
        let counts = directory.by_reason();
        assert_eq!(counts.get("host-bits"), Some(&1));
        assert_eq!(directory.served(), 2);
        assert_eq!(Object::of(&Change::DeleteRoute(route)), None);
    }
}
