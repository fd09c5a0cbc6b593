//! Leases, with each store: acquired, kept, and followed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod clock;
mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use cluster::{LeaseAttrs, NetworkConfig, Subnets};
use common::{Bench, boxed, eventually, node, subnets, until, with_each_store, with_etcd};
use futures::future::join_all;
use netd::lease::{
    Acquired, Keeping, LeaseError, LeaseTable, OwnLease, Sync, Timing, acquire, keep,
    wait_for_config, watch_peers,
};
use netd::store::{Store, Term};
use tokio::sync::watch;

/// Everything happens soon.
fn hasty() -> Timing {
    Timing {
        ttl: Duration::from_secs(3),
        settle: Duration::from_millis(300),
        settle_after_outage: Duration::from_millis(300),
        truce: Duration::from_millis(400),
        min_backoff: Duration::from_millis(20),
        max_backoff: Duration::from_millis(300),
        ..Timing::default()
    }
}

fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text.as_bytes()).unwrap()
}

fn small() -> NetworkConfig {
    config(r#"{"Network":"10.100.0.0/24","SubnetLen":26,"Backend":{"Type":"host-gw"}}"#)
}

async fn take(store: &dyn Store, config: &NetworkConfig, n: u8) -> Result<OwnLease, LeaseError> {
    let acquired = acquire(store, config, &node(n), None, &hasty()).await;
    acquired.map(|acquired| acquired.lease)
}

/// A node at work.
struct Node {
    lease: OwnLease,
    attrs: watch::Sender<LeaseAttrs>,
    table: watch::Receiver<Arc<LeaseTable>>,
    keeping: Keeping,
}

impl Node {
    async fn start(store: Arc<dyn Store>, config: &NetworkConfig, n: u8) -> Self {
        let timing = hasty();
        let Acquired { lease, listing } = acquire(store.as_ref(), config, &node(n), None, &timing)
            .await
            .unwrap();
        let table = watch_peers(Arc::clone(&store), lease.subnets(), timing, listing);
        let (attrs, receiver) = watch::channel(node(n));
        let keeping = keep(store, lease.clone(), receiver, table.clone(), timing);
        Self {
            lease,
            attrs,
            table,
            keeping,
        }
    }

    fn key(&self) -> String {
        self.lease.subnets().key()
    }

    async fn sees(&mut self, others: &[Subnets]) -> Arc<LeaseTable> {
        until("the table", &mut self.table, |table| {
            table.sync == Sync::Current && table.peers.keys().eq(others)
        })
        .await
    }
}

#[test]
fn a_node_that_comes_back_keeps_its_subnet() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let first = take(bench.a.as_ref(), &config, 1).await.unwrap();
            assert!(config.accepts(&first.subnets()));
            let again = take(bench.b.as_ref(), &config, 1).await.unwrap();
            assert_eq!(again.subnets(), first.subnets());
            let other = take(bench.b.as_ref(), &config, 2).await.unwrap();
            assert_ne!(other.subnets(), first.subnets());
        })
    });
}

#[test]
fn the_previous_subnet_is_taken_if_free() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let want = |key| Some(subnets(key));
            let store = bench.a.as_ref();
            let previous = want("10.100.77.0-24");
            let lease = acquire(store, &config, &node(1), previous, &hasty())
                .await
                .unwrap()
                .lease;
            assert_eq!(lease.subnets(), subnets("10.100.77.0-24"));
            // Taken, of another length, outside: any other one.
            for (n, key) in [
                (2, "10.100.77.0-24"),
                (3, "10.100.78.0-25"),
                (4, "10.99.1.0-24"),
            ] {
                let lease = acquire(store, &config, &node(n), want(key), &hasty())
                    .await
                    .unwrap()
                    .lease;
                assert_ne!(lease.subnets(), subnets(key));
                assert!(config.accepts(&lease.subnets()));
            }
            assert_eq!(store.list().await.unwrap().records.len(), 4);
        })
    });
}

#[test]
fn what_was_listed_for_the_lease_is_followed_from_there_on() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let first = take(bench.a.as_ref(), &config, 1).await.unwrap();
            // The second time the lease is there already, and written anew.
            for _ in 0..2 {
                let store = Arc::clone(&bench.b);
                let acquired = acquire(store.as_ref(), &config, &node(2), None, &hasty()).await;
                let Acquired { lease, listing } = acquired.unwrap();
                let other = take(bench.a.as_ref(), &config, 3).await.unwrap();
                let mut table = watch_peers(store, lease.subnets(), hasty(), listing);
                let start = table.wait_for(|table| table.sync != Sync::Waiting).await;
                let start = Arc::clone(&start.unwrap());
                let own = start.own.as_ref().map(|own| own.revision);
                assert_eq!(own, Some(lease.holding.revision));
                assert!(start.peers.contains_key(&first.subnets()));
                let is_there = |table: &Arc<LeaseTable>| table.peers.contains_key(&other.subnets());
                let known = until("the other lease", &mut table, is_there).await;
                assert_eq!(known.lists, 1);
            }
        })
    });
}

#[test]
fn a_lease_that_does_not_fit_is_replaced() {
    with_each_store(|bench| {
        boxed(async {
            let old = config(r#"{"Network":"10.99.0.0/16"}"#);
            let new = config(r#"{"Network":"10.100.0.0/16"}"#);
            let first = take(bench.a.as_ref(), &old, 1).await.unwrap();
            let second = take(bench.a.as_ref(), &new, 1).await.unwrap();
            assert!(new.accepts(&second.subnets()));
            assert!(bench.a.get(first.subnets()).await.unwrap().is_none());
        })
    });
}

#[test]
fn going_dual_keeps_the_ipv4_subnet_and_meets_nodes_that_have_not() {
    with_each_store(|bench| {
        boxed(async {
            let v4 = config(r#"{"Network":"10.100.0.0/16"}"#);
            let dual = config(
                r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48"}"#,
            );
            let before = take(bench.a.as_ref(), &v4, 1).await.unwrap();
            take(bench.a.as_ref(), &v4, 2).await.unwrap();
            let mut attrs = node(1);
            attrs.public_ipv6 = Some("2001:db8::1".parse().unwrap());
            let previous = Some(before.subnets());
            let after = acquire(bench.a.as_ref(), &dual, &attrs, previous, &hasty())
                .await
                .unwrap()
                .lease;
            assert_eq!(after.subnets().v4, before.subnets().v4);
            assert!(dual.accepts(&after.subnets()));
            assert_eq!(bench.a.list().await.unwrap().records.len(), 2);
        })
    });
}

#[test]
fn nodes_without_ipv4_are_told_apart_by_ipv6() {
    with_each_store(|bench| {
        boxed(async {
            let v6 =
                config(r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:100::/48"}"#);
            let attrs = |n: u16| {
                let ip = std::net::Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, n);
                LeaseAttrs::new(std::net::Ipv4Addr::UNSPECIFIED, Some(ip))
            };
            let store = bench.a.as_ref();
            let one = acquire(store, &v6, &attrs(1), None, &hasty())
                .await
                .unwrap()
                .lease;
            let two = acquire(store, &v6, &attrs(2), None, &hasty())
                .await
                .unwrap()
                .lease;
            assert_ne!(one.subnets(), two.subnets());
            let again = acquire(store, &v6, &attrs(1), None, &hasty())
                .await
                .unwrap()
                .lease;
            assert_eq!(one.subnets(), again.subnets());
            assert!(one.subnets().key().starts_with("0.0.0.0-0&fd00:100:0:"));
        })
    });
}

#[test]
fn reservations_count_and_are_adopted_and_then_nothing_is_left() {
    with_each_store(|bench| {
        boxed(async {
            bench
                .put("10.100.0.192-26", r#"{"PublicIP":"192.0.2.1"}"#)
                .await;
            bench
                .put("10.100.0.64-26", r#"{"PublicIP":"192.0.2.99"}"#)
                .await;
            let one = take(bench.a.as_ref(), &small(), 1).await.unwrap();
            assert_eq!(one.subnets(), subnets("10.100.0.192-26"));
            assert_eq!(one.holding.term, Term::Reserved);
            let two = take(bench.a.as_ref(), &small(), 2).await.unwrap();
            assert_eq!(two.subnets(), subnets("10.100.0.128-26"));
            let error = take(bench.a.as_ref(), &small(), 3).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "out of subnets: all 3 from 10.100.0.64 to 10.100.0.192 are leased"
            );
            // A value that cannot be read holds its subnet.
            assert!(
                bench
                    .a
                    .delete(two.subnets(), two.holding.revision)
                    .await
                    .unwrap()
            );
            bench.put("10.100.0.128-26", "not json").await;
            assert!(take(bench.a.as_ref(), &small(), 3).await.is_err());
        })
    });
}

#[test]
fn twenty_nodes_at_once_get_twenty_subnets() {
    with_each_store(|bench| {
        boxed(async {
            // 31 subnets: many attempts meet.
            let config = config(r#"{"Network":"10.100.0.0/19"}"#);
            let clients: Vec<_> = (0..20).map(|_| bench.client()).collect();
            let leases = join_all(clients.iter().zip(1..).map(|(store, n)| {
                let config = config.clone();
                async move { take(store.as_ref(), &config, n).await.unwrap().subnets() }
            }));
            let distinct: BTreeSet<_> = leases.await.into_iter().collect();
            assert_eq!(distinct.len(), 20);
        })
    });
}

#[test]
fn a_kept_lease_outlives_its_time_and_a_dropped_one_does_not() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let two = Node::start(Arc::clone(&bench.b), &config, 2).await;
            let table = one.sees(&[two.lease.subnets()]).await;
            assert_eq!(table.peers.values().next().unwrap().as_ref(), &node(2));
            assert_eq!(table.own.as_ref().unwrap().attrs.as_ref(), &node(1));
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert!(two.keeping.status.borrow().renewals >= 2);
            one.sees(&[two.lease.subnets()]).await;
            two.keeping.task.abort();
            one.sees(&[]).await;
            assert_eq!(one.keeping.status.borrow().foreign_writes, 0);
            assert_eq!(one.keeping.status.borrow().reclaims, 0);
        })
    });
}

#[test]
fn a_clock_that_is_set_ends_no_lease_and_keeps_none() {
    let test = "a_clock_that_is_set_ends_no_lease_and_keeps_none";
    let Some(clock) = Clock::of_the_test(test) else {
        return;
    };
    let clock = Arc::new(clock);
    with_each_store(|bench| {
        let clock = Arc::clone(&clock);
        boxed(async move {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let two = Node::start(Arc::clone(&bench.b), &config, 2).await;
            let others = [two.lease.subnets()];
            for hours in [30, -30] {
                clock.set(hours);
                // Who lists sweeps; who renews looks first whether the lease has ended.
                assert_eq!(bench.client().list().await.unwrap().records.len(), 2);
                for node in [&one, &two] {
                    let mut status = node.keeping.status.clone();
                    let so_far = status.borrow().renewals;
                    until("a renewal", &mut status, |status| status.renewals > so_far).await;
                    assert_eq!(status.borrow().reclaims, 0, "{hours} h");
                }
                one.sees(&others).await;
            }
            two.keeping.task.abort();
            // etcd of before 3.5 ends leases by the wall clock, if it was set back, though not those that are renewed.
            if !(bench.is_etcd() && clock.is_of_all()) {
                clock.set(-60);
            }
            one.sees(&[]).await;
            let now = bench.b.get(one.lease.subnets()).await.unwrap().unwrap();
            assert_eq!(now.birth, one.lease.holding.birth);
            clock.set(0);
        })
    });
}

#[test]
fn a_removed_key_is_taken_again() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let key = one.key();
            let value = bench.value(&key).await.unwrap();
            bench.remove(&key).await;
            let again = eventually("taken again", || bench.value(&key)).await;
            assert_eq!(again, value);
            let mut status = one.keeping.status.clone();
            until("the count", &mut status, |status| status.reclaims == 1).await;
            let record = bench.b.get(one.lease.subnets()).await.unwrap().unwrap();
            assert!(record.term.is_some(), "a lease again, not a reservation");
        })
    });
}

#[test]
fn a_foreign_value_is_put_back() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let value = bench.value(&one.key()).await.unwrap();
            bench
                .put(&one.key(), r#"{"PublicIP":"192.0.2.9","PublicIPv6":null}"#)
                .await;
            eventually("put back", || async {
                bench.value(&one.key()).await.filter(|now| *now == value)
            })
            .await;
            let record = bench.b.get(one.lease.subnets()).await.unwrap().unwrap();
            assert!(record.term.is_some(), "a lease again, not a reservation");
            let mut status = one.keeping.status.clone();
            until("the count", &mut status, |status| {
                status.foreign_writes == 1
            })
            .await;
        })
    });
}

/// As two nodes with one public address have it, by mistake.
#[test]
fn a_lease_that_two_nodes_write_does_not_end() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let value = bench.value(&one.key()).await.unwrap();
            // Each time it takes longer to put the own value back.
            for _ in 0..11 {
                bench
                    .put(&one.key(), r#"{"PublicIP":"192.0.2.9","PublicIPv6":null}"#)
                    .await;
                eventually("put back", || async {
                    bench.value(&one.key()).await.filter(|now| *now == value)
                })
                .await;
            }
            let record = bench.b.get(one.lease.subnets()).await.unwrap().unwrap();
            assert_eq!(record.birth, one.lease.holding.birth);
            assert_eq!(one.keeping.status.borrow().reclaims, 0);
        })
    });
}

#[test]
fn a_subnet_that_another_node_took_is_lost() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            // While this node does not look, its lease ends and another node gets the subnet.
            let subnets = one.lease.subnets();
            let held = bench.b.get(subnets).await.unwrap().unwrap();
            assert!(bench.b.delete(subnets, held.revision).await.unwrap());
            bench
                .b
                .create(subnets, &node(7), Duration::from_secs(60))
                .await
                .unwrap()
                .unwrap();
            let end = tokio::time::timeout(Duration::from_secs(60), &mut one.keeping.task).await;
            let error = end.expect("ends").unwrap();
            assert!(matches!(error, LeaseError::Lost { .. }), "{error}");
            assert!(error.to_string().contains("192.0.2.7"), "{error}");
            assert_eq!(*bench.b.get(subnets).await.unwrap().unwrap().attrs, node(7));
        })
    });
}

#[test]
fn new_attributes_are_written_in_place() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let two = Node::start(Arc::clone(&bench.b), &config, 2).await;
            one.sees(&[two.lease.subnets()]).await;
            two.attrs.send(node(22)).unwrap();
            until("the new address", &mut one.table, |table| {
                table.peers.values().any(|attrs| **attrs == node(22))
            })
            .await;
            let held = two.keeping.status.borrow().lease.holding;
            assert_eq!(held.birth, two.lease.holding.birth);
            assert_eq!(two.keeping.status.borrow().foreign_writes, 0);
        })
    });
}

#[test]
fn an_operator_can_make_a_running_lease_a_reservation() {
    with_each_store(|bench| {
        boxed(async {
            if !bench.is_etcd() {
                return; // There it means to remove the file in expiry/.
            }
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            bench.put(&one.key(), r#"{"PublicIP":"192.0.2.1"}"#).await;
            let mut status = one.keeping.status.clone();
            until("the reservation", &mut status, |status| {
                status.expires.is_none()
            })
            .await;
            let record = bench.b.get(one.lease.subnets()).await.unwrap().unwrap();
            assert_eq!((record.term, record.attrs.as_ref()), (None, &node(1)));
        })
    });
}

#[test]
fn the_own_key_is_written_again_for_those_who_missed_it() {
    with_etcd(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let first = one.lease.holding.revision;
            let mut status = one.keeping.status.clone();
            until("the second write", &mut status, |s| {
                s.lease.holding.revision > first
            })
            .await;
            let second = status.borrow().lease.holding.revision;
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert_eq!(
                status.borrow().lease.holding.revision,
                second,
                "once is enough"
            );
        })
    });
}

#[test]
fn one_bad_value_harms_only_itself() {
    with_each_store(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            let good = r#"{"PublicIP":"192.0.2.5","BackendType":"host-gw"}"#;
            bench.put("10.100.0.0-24", good).await;
            let peer = [subnets("10.100.0.0-24")];
            one.sees(&peer).await;
            bench.put("10.100.0.0-24", "not json").await;
            bench.put("nonsense", good).await;
            let table = until("both", &mut one.table, |table| table.malformed == 2).await;
            assert!(table.peers.keys().eq(&peer), "the last good value stays");
            assert!(table.malformed_seen >= 2);
            bench.remove("nonsense").await;
            bench.remove("10.100.0.0-24").await;
            let table = one.sees(&[]).await;
            assert_eq!(table.malformed, 0);
        })
    });
}

#[test]
fn a_name_in_another_spelling_does_not_hide_the_proper_one() {
    with_etcd(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            bench.put("x/10.100.0.0-24", &node(5).to_json()).await;
            let peer = [subnets("10.100.0.0-24")];
            one.sees(&peer).await;
            bench.put("10.100.0.0-24", &node(6).to_json()).await;
            let is = |n: u8| move |t: &Arc<LeaseTable>| t.peers.values().any(|a| **a == node(n));
            until("the proper one", &mut one.table, is(6)).await;
            bench.remove("10.100.0.0-24").await;
            until("the other one again", &mut one.table, is(5)).await;
            bench.remove("x/10.100.0.0-24").await;
            one.sees(&[]).await;
        })
    });
}

async fn outage(bench: &mut Bench, one: &mut Node, compact: bool) {
    let good = node(5).to_json();
    let mut status = one.keeping.status.clone();
    let first = one.lease.holding.revision;
    until("the second write", &mut status, |s| {
        s.lease.holding.revision > first
    })
    .await;
    let before = status.borrow().lease.holding.revision;
    bench.put("10.100.0.0-24", &good).await;
    one.sees(&[subnets("10.100.0.0-24")]).await;
    bench.etcd.as_mut().unwrap().kill();
    let table = until("noticed", &mut one.table, |t| {
        matches!(t.sync, Sync::Stale { .. })
    })
    .await;
    assert_eq!(table.peers.len(), 1, "the last table stays");
    assert_eq!(table.outages, 1);
    bench.etcd.as_mut().unwrap().start_again();
    bench.put("10.100.1.0-24", &good).await;
    bench.remove("10.100.0.0-24").await;
    if compact {
        let mut operator = common::operator().await;
        let now = operator
            .get("x", None)
            .await
            .unwrap()
            .header()
            .unwrap()
            .revision();
        operator.compact(now, None).await.unwrap();
    }
    one.sees(&[subnets("10.100.1.0-24")]).await;
    // Old daemons may have missed what happened in between: the own key is written again.
    until("the write after the outage", &mut status, |s| {
        s.lease.holding.revision > before
    })
    .await;
    assert_eq!(status.borrow().reclaims, 0);
    // Longer than its time: it is still renewed.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(bench.a.get(one.lease.subnets()).await.unwrap().is_some());
}

#[test]
fn an_outage_of_etcd_changes_nothing() {
    with_etcd(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            outage(bench, &mut one, false).await;
            assert!(one.table.borrow().lists >= 1);
        })
    });
}

#[test]
fn a_compaction_during_an_outage_is_survived() {
    with_etcd(|bench| {
        boxed(async {
            let config = config(r#"{"Network":"10.100.0.0/16"}"#);
            let mut one = Node::start(Arc::clone(&bench.a), &config, 1).await;
            outage(bench, &mut one, true).await;
        })
    });
}

#[test]
fn everything_waits_for_an_absent_etcd() {
    with_etcd(|bench| {
        boxed(async {
            bench.etcd.as_mut().unwrap().kill();
            let store = Arc::clone(&bench.a);
            let waiting = tokio::spawn(async move {
                let config = wait_for_config(store.as_ref(), &hasty(), |_| {})
                    .await
                    .unwrap();
                take(store.as_ref(), &config, 1).await.unwrap()
            });
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(!waiting.is_finished());
            bench.etcd.as_mut().unwrap().start_again();
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!waiting.is_finished(), "there is no configuration yet");
            bench.put_config(r#"{"Network":"10.100.0.0/29"}"#).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(!waiting.is_finished(), "the configuration is wrong");
            bench.put_config(r#"{"Network":"10.100.0.0/16"}"#).await;
            let lease = tokio::time::timeout(Duration::from_secs(60), waiting).await;
            assert!(lease.expect("goes on").unwrap().subnets().v4.is_some());
        })
    });
}
