//! etcd as it is run: three members with TLS and authentication, of which one dies; and a node that is cut
//! off from it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::{NetworkConfig, Subnets};
use common::{Members, boxed, eventually, node, until, with_etcd, with_members};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use netd::lease::{
    Acquired, LeaseError, LeaseTable, OwnLease, Sync, Timing, acquire, keep, watch_peers,
};
use netd::store::{EtcdOptions, EtcdStore, Store, Term};
use tokio::sync::watch;

const HOUR: Duration = Duration::from_secs(3600);

fn hasty(ttl: Duration) -> Timing {
    Timing {
        ttl,
        settle: Duration::from_millis(300),
        settle_after_outage: Duration::from_millis(300),
        min_backoff: Duration::from_millis(20),
        max_backoff: Duration::from_millis(300),
        ..Timing::default()
    }
}

fn client(members: &Members, first: usize) -> Arc<dyn Store> {
    Arc::new(EtcdStore::new(&members.options(first)).unwrap())
}

/// Eight subnets.
fn eight() -> NetworkConfig {
    let text = r#"{"Network":"10.100.0.0/20","SubnetLen":24,"SubnetMin":"10.100.1.0",
        "SubnetMax":"10.100.8.0","Backend":{"Type":"host-gw"}}"#;
    NetworkConfig::parse(text.as_bytes()).unwrap()
}

#[test]
fn of_twenty_nodes_eight_get_a_subnet_each_while_the_leader_is_killed() {
    with_members(|members| {
        boxed(async {
            let config = eight();
            let stores: Vec<_> = (0..20).map(|n| client(members, n)).collect();
            let timing = hasty(HOUR);
            let race = |(n, store): (u8, Arc<dyn Store>)| {
                let config = config.clone();
                async move {
                    let acquired = acquire(store.as_ref(), &config, &node(n), None, &timing).await;
                    acquired.map(|acquired| acquired.lease)
                }
            };
            let mut nodes: FuturesUnordered<_> =
                (1..).zip(stores.iter().cloned()).map(race).collect();
            let mut ends: Vec<Result<OwnLease, LeaseError>> = Vec::new();
            while let Some(end) = nodes.next().await {
                ends.push(end);
                // In the middle of it.
                if ends.len() == 3 {
                    members.kill_leader();
                }
            }
            let (leases, refused): (Vec<_>, Vec<_>) = ends.into_iter().partition(Result::is_ok);
            let leased: BTreeSet<_> = leases.iter().flatten().map(OwnLease::subnets).collect();
            assert_eq!((leases.len(), leased.len(), refused.len()), (8, 8, 12));
            for error in refused.into_iter().filter_map(Result::err) {
                assert_eq!(
                    error.to_string(),
                    "out of subnets: all 8 from 10.100.1.0 to 10.100.8.0 are leased"
                );
            }
            let listing = stores[0].list().await.unwrap();
            let stored: BTreeSet<_> = listing
                .records
                .iter()
                .map(|record| record.subnets)
                .collect();
            let owners: BTreeSet<_> = listing.records.iter().map(|r| r.attrs.public_ip).collect();
            assert_eq!(
                (stored, owners.len(), listing.records.len()),
                (leased, 8, 8)
            );
        })
    });
}

/// Puts a lease through whichever member answers.
async fn write(store: &dyn Store, subnets: Subnets, n: u8) {
    eventually("the lease to be written", || async {
        store.create(subnets, &node(n), HOUR).await.ok().flatten()
    })
    .await;
}

async fn sees(table: &mut watch::Receiver<Arc<LeaseTable>>, others: &[Subnets]) {
    until("the table", table, |table| {
        table.sync == Sync::Current && table.peers.keys().eq(others)
    })
    .await;
}

#[test]
fn a_watch_goes_on_when_the_leader_changes() {
    with_members(|members| {
        boxed(async {
            let own = common::subnets("10.100.1.0-24");
            let mut tables: Vec<_> = (0..3)
                .map(|first| watch_peers(client(members, first), own, hasty(HOUR), None))
                .collect();
            let writer = client(members, 0);
            let mut written = Vec::new();
            let mut everybody_sees = async |n: u8| {
                let subnets = common::subnets(&format!("10.100.{n}.0-24"));
                write(writer.as_ref(), subnets, n).await;
                written.push(subnets);
                for table in &mut tables {
                    sees(table, &written).await;
                }
            };
            for n in [10, 20, 30] {
                everybody_sees(n).await;
                let killed = members.kill_leader();
                everybody_sees(n + 1).await;
                members.start_again(killed);
            }
        })
    });
}

/// An etcd that wants a user, with these flags.
fn with_user(flags: &[&str], test: impl AsyncFnOnce(&mut common::Etcd)) {
    let Some(_world) = kernel::testing::World::new() else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let mut etcd = common::Etcd::start_with(temp.path(), flags);
    common::run(boxed(async {
        let mut operator = common::operator().await;
        operator.user_add("root", "secret", None).await.unwrap();
        operator.role_add("root").await.unwrap();
        operator.user_grant_role("root", "root").await.unwrap();
        operator.auth_enable().await.unwrap();
        test(&mut etcd).await;
    }));
}

fn of_user() -> Arc<dyn Store> {
    let options = EtcdOptions {
        user: Some(("root".to_owned(), "secret".to_owned())),
        ..common::etcd_options()
    };
    Arc::new(EtcdStore::new(&options).unwrap())
}

/// A token of etcd's ends when it was not used for a while.
#[test]
fn a_token_that_has_ended_is_asked_for_again() {
    with_user(&["--auth-token-ttl", "1"], async |_| {
        let store = of_user();
        let subnets = common::subnets("10.100.1.0-24");
        let held = store
            .create(subnets, &node(1), HOUR)
            .await
            .unwrap()
            .unwrap();
        let own = common::subnets("10.100.9.0-24");
        let mut table = watch_peers(Arc::clone(&store), own, hasty(HOUR), None);
        sees(&mut table, &[subnets]).await;
        let pause = || tokio::time::sleep(Duration::from_secs(3));
        pause().await;
        let held = store.renew(&held).await.unwrap().unwrap();
        pause().await;
        let held = store.rewrite(&held, &node(2)).await.unwrap().unwrap();
        pause().await;
        assert_eq!(store.list().await.unwrap().records.len(), 1);
        pause().await;
        assert!(store.delete(subnets, held.revision).await.unwrap());
        sees(&mut table, &[]).await;
        assert_eq!(table.borrow().outages, 0);
    });
}

/// No request but the watch's own is made by this node meanwhile.
#[test]
fn a_watch_asks_for_a_token_when_etcd_has_forgotten_its_own() {
    with_user(&[], async |etcd| {
        let own = common::subnets("10.100.9.0-24");
        let mut table = watch_peers(of_user(), own, hasty(HOUR), None);
        sees(&mut table, &[]).await;
        etcd.kill();
        until("noticed", &mut table, |table| table.outages == 1).await;
        etcd.start_again();
        let subnets = common::subnets("10.100.1.0-24");
        write(of_user().as_ref(), subnets, 1).await;
        sees(&mut table, &[subnets]).await;
    });
}

/// Packets of the one who speaks to 127.0.0.2 are dropped, without a word to him; or no more.
#[allow(
    clippy::disallowed_methods,
    reason = "the world is changed from outside"
)]
fn cut_off(cut: bool) {
    let action = if cut { "add" } else { "del" };
    let status = std::process::Command::new("ip")
        .args([
            "route",
            action,
            "blackhole",
            "127.0.0.2",
            "table",
            "local",
            "metric",
            "1",
        ])
        .status();
    assert!(status.unwrap().success());
}

/// The node comes back to what is free still, or learns that it is not.
fn lease_that_ended_while_cut_off(taken: bool) {
    with_etcd(|bench| {
        boxed(async move {
            let timing = hasty(Duration::from_secs(3));
            let far = EtcdOptions {
                endpoints: vec!["http://127.0.0.2:2379".to_owned()],
                ..common::etcd_options()
            };
            let far: Arc<dyn Store> = Arc::new(EtcdStore::new(&far).unwrap());
            let Acquired { lease, listing } =
                acquire(far.as_ref(), &eight(), &node(1), None, &timing)
                    .await
                    .unwrap();
            let subnets = lease.subnets();
            let table = watch_peers(Arc::clone(&far), subnets, timing, listing);
            let (_attrs, attrs) = watch::channel(node(1));
            let mut keeping = keep(far, lease, attrs, table.clone(), timing);
            cut_off(true);
            eventually("the lease to end", || async {
                bench.a.get(subnets).await.unwrap().is_none().then_some(())
            })
            .await;
            if taken {
                write(bench.a.as_ref(), subnets, 7).await;
            }
            cut_off(false);
            if taken {
                let end = tokio::time::timeout(Duration::from_secs(60), &mut keeping.task).await;
                let error = end.expect("ends").unwrap();
                assert!(matches!(error, LeaseError::Lost { .. }), "{error}");
                assert_eq!(*bench.a.get(subnets).await.unwrap().unwrap().attrs, node(7));
                return;
            }
            let record = eventually("the lease to be taken again", || async {
                bench.a.get(subnets).await.unwrap()
            })
            .await;
            assert_eq!(*record.attrs, node(1));
            assert!(record.term.is_some(), "a lease, not a reservation");
            until("the count", &mut keeping.status, |status| {
                matches!(status.lease.holding.term, Term::Until { .. }) && status.reclaims == 1
            })
            .await;
        })
    });
}

#[test]
fn a_lease_that_ended_while_the_node_was_cut_off_is_taken_again() {
    lease_that_ended_while_cut_off(false);
}

#[test]
fn a_lease_that_another_node_took_while_the_node_was_cut_off_is_lost() {
    lease_that_ended_while_cut_off(true);
}
