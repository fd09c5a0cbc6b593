//! One suite for both stores: what netd asks of them, they do alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::VtepData;
use common::{
    boxed, eventually, eventually_within, node, subnets, with_dir, with_each_store, with_etcd,
    with_tls_etcd,
};
use futures::StreamExt as _;
use netd::store::{Change, Changes, EtcdOptions, EtcdStore, Malformed, Store, StoreError, Term};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const HOUR: Duration = Duration::from_secs(3600);
/// Nothing takes so long.
const LONG: Duration = Duration::from_secs(90);

#[test]
fn a_store_keeps_the_configuration() {
    with_each_store(|bench| {
        boxed(async {
            assert_eq!(bench.a.network_config().await.unwrap(), None);
            bench.put_config(r#"{"Network":"10.5.0.0/16"}"#).await;
            let config = bench.a.network_config().await.unwrap().unwrap();
            assert_eq!(config, br#"{"Network":"10.5.0.0/16"}"#);
        })
    });
}

#[test]
fn a_lease_is_flannels_byte_for_byte() {
    with_each_store(|bench| {
        boxed(async {
            let mut attrs = node(11);
            bench
                .a
                .create(subnets("10.5.1.0-24"), &attrs, HOUR)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                bench.value("10.5.1.0-24").await.unwrap(),
                r#"{"PublicIP":"192.0.2.11","PublicIPv6":null,"BackendType":"host-gw"}"#
            );
            let vtep = |last| VtepData {
                vni: Some(1),
                mac: [2, 0x11, 0x22, 0x33, 0x44, last],
            };
            attrs.backend_type = "vxlan".into();
            attrs.backend_data = Some(vtep(0x55).to_json());
            bench
                .a
                .create(subnets("10.5.2.0-24"), &attrs, HOUR)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                bench.value("10.5.2.0-24").await.unwrap(),
                r#"{"PublicIP":"192.0.2.11","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:11:22:33:44:55"}}"#
            );
            attrs.public_ipv6 = Some("2001:db8::11".parse().unwrap());
            attrs.backend_v6_data = Some(vtep(0x66).to_json());
            let dual = "10.5.7.0-24&fd00:10:5:7::-64";
            bench
                .a
                .create(subnets(dual), &attrs, HOUR)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                bench.value(dual).await.unwrap(),
                r#"{"PublicIP":"192.0.2.11","PublicIPv6":"2001:db8::11","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:11:22:33:44:55"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:11:22:33:44:66"}}"#
            );
        })
    });
}

#[test]
fn taken_subnets_are_not_created_again() {
    with_each_store(|bench| {
        boxed(async {
            let key = subnets("10.5.1.0-24");
            assert!(bench.a.create(key, &node(1), HOUR).await.unwrap().is_some());
            assert!(bench.b.create(key, &node(2), HOUR).await.unwrap().is_none());
            let record = bench.b.get(key).await.unwrap().unwrap();
            assert_eq!(*record.attrs, node(1));
            assert!(record.term.is_some());
            assert!(bench.b.get(subnets("10.5.2.0-24")).await.unwrap().is_none());
        })
    });
}

#[test]
fn of_twenty_creators_one_wins() {
    with_each_store(|bench| {
        boxed(async {
            let clients: Vec<_> = (0..20).map(|_| bench.client()).collect();
            let attrs: Vec<_> = (0..20).map(node).collect();
            let key = subnets("10.5.1.0-24");
            let creations = clients
                .iter()
                .zip(&attrs)
                .map(|(c, attrs)| c.create(key, attrs, HOUR));
            let winners = futures::future::join_all(creations).await;
            assert_eq!(
                winners
                    .into_iter()
                    .filter(|won| won.as_ref().unwrap().is_some())
                    .count(),
                1
            );
        })
    });
}

#[test]
fn a_stale_revision_changes_nothing() {
    with_each_store(|bench| {
        boxed(async {
            let key = subnets("10.5.1.0-24");
            let first = bench.a.create(key, &node(1), HOUR).await.unwrap().unwrap();
            let second = bench.a.rewrite(&first, &node(2)).await.unwrap().unwrap();
            assert_ne!(first.revision, second.revision);
            assert_eq!(first.birth, second.birth);
            assert!(bench.b.rewrite(&first, &node(3)).await.unwrap().is_none());
            assert!(!bench.b.delete(key, first.revision).await.unwrap());
            assert_eq!(*bench.b.get(key).await.unwrap().unwrap().attrs, node(2));
            assert!(bench.b.delete(key, second.revision).await.unwrap());
            assert!(bench.a.rewrite(&second, &node(1)).await.unwrap().is_none());
            assert!(bench.a.renew(&second).await.is_ok());
            assert!(bench.a.get(key).await.unwrap().is_none());
        })
    });
}

#[test]
fn a_reservation_stays_one_when_adopted() {
    with_each_store(|bench| {
        boxed(async {
            bench
                .put("10.5.9.0-24", r#"{"PublicIP":"192.0.2.1"}"#)
                .await;
            let record = bench.a.get(subnets("10.5.9.0-24")).await.unwrap().unwrap();
            assert_eq!(record.term, None);
            let holding = bench
                .a
                .adopt(&record, &node(1), HOUR)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(holding.term, Term::Reserved);
            let adopted = bench.b.get(subnets("10.5.9.0-24")).await.unwrap().unwrap();
            assert_eq!((adopted.term, adopted.attrs.as_ref()), (None, &node(1)));
            assert_eq!(bench.a.renew(&holding).await.unwrap(), Some(holding));
        })
    });
}

#[test]
fn adopting_a_lease_gives_it_the_wanted_time() {
    with_each_store(|bench| {
        boxed(async {
            let key = subnets("10.5.1.0-24");
            bench
                .a
                .create(key, &node(1), Duration::from_secs(2))
                .await
                .unwrap()
                .unwrap();
            let record = bench.b.get(key).await.unwrap().unwrap();
            let held = bench
                .b
                .adopt(&record, &node(1), HOUR)
                .await
                .unwrap()
                .unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
            let after = bench.a.get(key).await.unwrap().expect("lives on");
            assert_eq!(after.birth, held.birth);
            assert!(
                bench
                    .b
                    .adopt(&record, &node(1), HOUR)
                    .await
                    .unwrap()
                    .is_none()
            );
        })
    });
}

/// All changes so far, in order, for people.
async fn seen(changes: &mut Changes, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(60), changes.next()).await;
        let batch = next
            .unwrap_or_else(|_| panic!("only saw {seen:?}"))
            .unwrap()
            .unwrap();
        seen.extend(batch.changes.into_iter().map(|change| match change {
            Change::Put(record) => format!("put {} {}", record.key(), record.attrs.public_ip),
            Change::Malformed(malformed) => format!("malformed {}", malformed.key()),
            Change::Delete(key) => format!("delete {key}"),
        }));
    }
    seen
}

#[test]
fn a_watch_misses_nothing_since_its_list() {
    with_each_store(|bench| {
        boxed(async {
            let key = subnets("10.5.1.0-24");
            bench.b.create(key, &node(1), HOUR).await.unwrap().unwrap();
            let listing = bench.a.list().await.unwrap();
            assert_eq!(listing.records.len(), 1);
            let held = bench
                .b
                .create(subnets("10.5.2.0-24"), &node(2), HOUR)
                .await
                .unwrap();
            let mut changes = bench.a.watch(listing.cursor.unwrap()).await.unwrap();
            assert_eq!(seen(&mut changes, 1).await, ["put 10.5.2.0-24 192.0.2.2"]);
            let held = bench
                .b
                .rewrite(&held.unwrap(), &node(3))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(seen(&mut changes, 1).await, ["put 10.5.2.0-24 192.0.2.3"]);
            bench.put("10.5.3.0-24", "not json").await;
            assert_eq!(seen(&mut changes, 1).await, ["malformed 10.5.3.0-24"]);
            bench.remove("10.5.3.0-24").await;
            assert_eq!(seen(&mut changes, 1).await, ["delete 10.5.3.0-24"]);
            assert!(bench.b.delete(held.subnets, held.revision).await.unwrap());
            assert_eq!(seen(&mut changes, 1).await, ["delete 10.5.2.0-24"]);
        })
    });
}

#[test]
fn a_lease_ends_by_itself_and_a_renewed_one_does_not() {
    with_each_store(|bench| {
        boxed(async {
            let ttl = Duration::from_secs(4);
            let ends = subnets("10.5.1.0-24");
            let lives = subnets("10.5.2.0-24");
            let started = Instant::now();
            let ended = bench.b.create(ends, &node(1), ttl).await.unwrap().unwrap();
            let held = bench.b.create(lives, &node(2), ttl).await.unwrap().unwrap();
            let cursor = bench.a.list().await.unwrap().cursor.unwrap();
            let mut changes = bench.a.watch(cursor).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(bench.b.renew(&held).await.unwrap().is_some());
            assert_eq!(seen(&mut changes, 1).await, ["delete 10.5.1.0-24"]);
            let took = started.elapsed();
            assert!(took > ttl.mul_f32(0.9), "ended early, after {took:?}");
            assert!(bench.b.renew(&ended).await.unwrap().is_none());
            assert!(bench.a.get(ends).await.unwrap().is_none());
            assert!(bench.a.get(lives).await.unwrap().is_some());
            // Renewed only once, the other lease ends as well.
            assert_eq!(seen(&mut changes, 1).await, ["delete 10.5.2.0-24"]);
            // A name that is free again can be taken again.
            assert!(bench.a.create(ends, &node(3), ttl).await.unwrap().is_some());
        })
    });
}

#[test]
fn what_is_malformed_is_listed_as_such() {
    with_each_store(|bench| {
        boxed(async {
            bench
                .b
                .create(subnets("10.5.1.0-24"), &node(1), HOUR)
                .await
                .unwrap()
                .unwrap();
            for (key, value) in [
                ("10.5.2.0-24", "not json"),
                ("10.5.3.0-24", r#"{"PublicIP":null}"#),
                ("10.5.4.0-24", ""),
                ("10.5.5.0-32", r#"{"PublicIP":"192.0.2.5"}"#),
                ("foo", r#"{"PublicIP":"192.0.2.5"}"#),
            ] {
                bench.put(key, value).await;
            }
            bench.put("10.5.6.0-24", "null").await;
            let listing = bench.a.list().await.unwrap();
            let good: Vec<_> = listing.records.iter().map(|r| r.key()).collect();
            assert_eq!(good, ["10.5.1.0-24", "10.5.6.0-24"]);
            let bad: Vec<_> = listing.malformed.iter().map(Malformed::key).collect();
            let names = [
                "10.5.2.0-24",
                "10.5.3.0-24",
                "10.5.4.0-24",
                "10.5.5.0-32",
                "foo",
            ];
            assert_eq!(bad, names);
            let taken = listing
                .malformed
                .iter()
                .filter_map(Malformed::subnets)
                .count();
            assert_eq!(taken, 3);
        })
    });
}

#[test]
fn etcd_killed_and_started_again_has_lost_nothing() {
    with_etcd(|bench| {
        boxed(async {
            let key = subnets("10.5.1.0-24");
            let held = bench.a.create(key, &node(1), HOUR).await.unwrap().unwrap();
            let cursor = bench.a.list().await.unwrap().cursor.unwrap();
            bench.etcd.as_mut().unwrap().kill();
            let error = bench.a.get(key).await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
            assert!(error.to_string().contains(common::ENDPOINT), "{error}");
            bench.etcd.as_mut().unwrap().start_again();
            let record = eventually("etcd is back", || async {
                bench.a.get(key).await.ok().flatten()
            })
            .await;
            assert_eq!(record.revision, held.revision);
            let renewed = bench
                .a
                .renew(&held)
                .await
                .unwrap()
                .expect("the lease survived");
            bench
                .b
                .create(subnets("10.5.2.0-24"), &node(2), HOUR)
                .await
                .unwrap()
                .unwrap();
            let mut changes = bench.a.watch(cursor).await.unwrap();
            assert_eq!(seen(&mut changes, 1).await, ["put 10.5.2.0-24 192.0.2.2"]);
            assert!(bench.a.rewrite(&renewed, &node(3)).await.unwrap().is_some());
        })
    });
}

#[test]
fn a_compacted_history_is_reported_as_that() {
    with_etcd(|bench| {
        boxed(async {
            let cursor = bench.a.list().await.unwrap().cursor.unwrap();
            let mut held = bench
                .b
                .create(subnets("10.5.1.0-24"), &node(1), HOUR)
                .await
                .unwrap();
            for n in 2..5 {
                held = bench.b.rewrite(&held.unwrap(), &node(n)).await.unwrap();
            }
            let revision = i64::try_from(held.unwrap().revision).unwrap();
            common::operator()
                .await
                .compact(revision, None)
                .await
                .unwrap();
            let error = match bench.a.watch(cursor).await {
                Err(error) => error,
                Ok(mut changes) => changes.next().await.unwrap().unwrap_err(),
            };
            assert!(matches!(error, StoreError::Compacted { .. }), "{error:?}");
        })
    });
}

/// The removal itself is gone from etcd's history then, and no watch from there tells of it.
#[test]
fn a_removal_at_the_revision_that_is_compacted_is_not_missed() {
    with_etcd(|bench| {
        boxed(async {
            bench.put("10.5.1.0-24", &node(1).to_json()).await;
            let listing = bench.a.list().await.unwrap();
            assert_eq!(listing.records.len(), 1);
            let cursor = listing.cursor.unwrap();
            bench.remove("10.5.1.0-24").await;
            let mut operator = common::operator().await;
            let answer = operator.get("x", None).await.unwrap();
            let revision = answer.header().unwrap().revision();
            operator.compact(revision, None).await.unwrap();
            let error = match bench.a.watch(cursor).await {
                Err(error) => error,
                Ok(mut changes) => changes.next().await.unwrap().unwrap_err(),
            };
            assert!(matches!(error, StoreError::Compacted { .. }), "{error:?}");
        })
    });
}

#[test]
fn pages_join_to_one_listing() {
    with_etcd(|bench| {
        boxed(async {
            let operator = common::operator().await;
            for third in 0..25u8 {
                let puts = (0..100u8).map(|fourth| {
                    let mut client = operator.clone();
                    let key = format!("{}/subnets/10.{third}.{fourth}.0-24", common::PREFIX);
                    async move { client.put(key, node(fourth).to_json(), None).await.unwrap() }
                });
                futures::future::join_all(puts).await;
            }
            let listing = bench.a.list().await.unwrap();
            let keys: std::collections::BTreeSet<_> = listing
                .records
                .iter()
                .map(|record| record.subnets)
                .collect();
            assert_eq!((listing.records.len(), keys.len()), (2500, 2500));
        })
    });
}

#[test]
fn a_dead_endpoint_does_not_matter() {
    with_etcd(|bench| {
        boxed(async {
            bench
                .a
                .create(subnets("10.5.1.0-24"), &node(1), HOUR)
                .await
                .unwrap()
                .unwrap();
            let options = EtcdOptions {
                endpoints: vec![
                    "http://127.0.0.1:4001".to_owned(),
                    common::ENDPOINT.to_owned(),
                ],
                prefix: "coreos.com//network/".to_owned(),
                ..common::etcd_options()
            };
            let store = EtcdStore::new(&options).unwrap();
            assert_eq!(store.list().await.unwrap().records.len(), 1);
        })
    });
}

#[test]
fn what_a_killed_writer_leaves_in_a_directory_is_swept() {
    with_dir(|store, dir| {
        boxed(async move {
            let key = subnets("10.5.1.0-24");
            let lease = dir.join("subnets/10.5.1.0-24");
            let expiry = dir.join("expiry/10.5.1.0-24");
            // Killed between the expiry and the value of a new lease, and before a rename.
            std::fs::write(&expiry, "99999999999999 5\n").unwrap();
            std::fs::write(dir.join("tmp/next"), "{\"Publ").unwrap();
            assert!(store.list().await.unwrap().records.is_empty());
            assert!(!expiry.exists() && !dir.join("tmp/next").exists());
            std::fs::write(&expiry, "99999999999999 5\n").unwrap();
            assert!(store.create(key, &node(1), HOUR).await.unwrap().is_some());
            // Killed between removing the value and removing its expiry.
            std::fs::remove_file(&lease).unwrap();
            assert!(store.get(key).await.unwrap().is_none());
            assert!(!expiry.exists());
            // A lock file of the dead does not lock.
            assert!(dir.join("lock").exists());
            assert!(store.create(key, &node(2), HOUR).await.unwrap().is_some());
        })
    });
}

#[test]
fn a_directory_that_is_gone_is_no_empty_cluster() {
    with_dir(|store, dir| {
        boxed(async move {
            let made = store
                .create(subnets("10.5.1.0-24"), &node(1), HOUR)
                .await
                .unwrap();
            assert!(made.is_some());
            std::fs::remove_dir_all(&dir).unwrap();
            let error = store.list().await.unwrap_err();
            assert!(matches!(error, StoreError::File { .. }), "{error}");
            assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
        })
    });
}

/// As flanneld does; and when authentication is switched on, the user is named.
#[test]
fn a_user_that_etcd_does_not_ask_for_does_no_harm() {
    with_etcd(|bench| {
        boxed(async {
            let mut operator = common::operator().await;
            let store = EtcdStore::new(&EtcdOptions {
                user: Some(("root".to_owned(), "secret".to_owned())),
                ..common::etcd_options()
            })
            .unwrap();
            bench.put_config("{}").await;
            let config = store.network_config().await.unwrap();
            assert_eq!(config.as_deref(), Some(&b"{}"[..]));
            let key = subnets("10.5.1.0-24");
            let held = store.create(key, &node(1), HOUR).await.unwrap().unwrap();
            operator.user_add("root", "secret", None).await.unwrap();
            operator.role_add("root").await.unwrap();
            operator.user_grant_role("root", "root").await.unwrap();
            operator.auth_enable().await.unwrap();
            eventually("the user to be named", || async {
                store.rewrite(&held, &node(1)).await.ok().flatten()
            })
            .await;
        })
    });
}

#[test]
fn etcd_asks_for_a_user_and_a_password() {
    with_etcd(|bench| {
        boxed(async {
            let mut operator = common::operator().await;
            operator.user_add("root", "secret", None).await.unwrap();
            operator.role_add("root").await.unwrap();
            operator.user_grant_role("root", "root").await.unwrap();
            operator.auth_enable().await.unwrap();
            let client = |password: &str| {
                EtcdStore::new(&EtcdOptions {
                    user: Some(("root".to_owned(), password.to_owned())),
                    ..common::etcd_options()
                })
                .unwrap()
            };
            let key = subnets("10.5.1.0-24");
            let good = client("secret");
            let held = good.create(key, &node(1), HOUR).await.unwrap().unwrap();
            for store in [&client("wrong") as &dyn Store, bench.a.as_ref()] {
                let error = store.list().await.unwrap_err();
                assert!(matches!(error, StoreError::Refused { .. }), "{error}");
                assert!(!error.is_passing());
            }
            // The tokens of a server that is started again are worth nothing.
            bench.etcd.as_mut().unwrap().kill();
            bench.etcd.as_mut().unwrap().start_again();
            let renewed = eventually("a new token", || async {
                good.renew(&held).await.ok().flatten()
            })
            .await;
            assert!(good.rewrite(&renewed, &node(2)).await.unwrap().is_some());
        })
    });
}

#[test]
fn options_that_cannot_work_are_refused_by_name() {
    let new = |change: fn(&mut EtcdOptions)| {
        let mut options = common::etcd_options();
        change(&mut options);
        EtcdStore::new(&options).unwrap_err().to_string()
    };
    let none = new(|options| options.endpoints = vec![" ".to_owned()]);
    assert_eq!(none, "etcd: no endpoint is given");
    let absent = new(|options| options.ca_file = Some("/nonexistent/ca.pem".into()));
    assert_eq!(absent, "etcd: cannot read /nonexistent/ca.pem");
    let wrong = new(|options| options.ca_file = Some("/etc/hostname".into()));
    assert_eq!(wrong, "etcd: /etc/hostname is not a PEM file");
    let half = new(|options| options.cert_file = Some("/etc/hostname".into()));
    let text = "etcd: a client certificate is given without its key: give both";
    assert_eq!(half, text);
    let half = new(|options| options.key_file = Some("/etc/hostname".into()));
    let text = "etcd: a client key is given without its certificate: give both";
    assert_eq!(half, text);
}

#[test]
fn certificates_that_were_renewed_are_used() {
    with_tls_etcd(|dir| {
        boxed(async {
            let file = |name: &str| Some(dir.join(name));
            let (cert, key) = (dir.join("now.pem"), dir.join("now.key"));
            let put = |name: &str| {
                let from = |end: &str| dir.join(format!("{name}.{end}"));
                std::fs::copy(from("key"), &key).unwrap();
                std::fs::copy(from("pem"), &cert).unwrap();
            };
            // Of an authority that the server does not know.
            put("stranger");
            let store = EtcdStore::new(&EtcdOptions {
                endpoints: vec![common::TLS_ENDPOINT.to_owned()],
                ca_file: file("ca.pem"),
                cert_file: Some(cert.clone()),
                key_file: Some(key.clone()),
                ..common::etcd_options()
            });
            let store = store.unwrap();
            let refused = store.list().await.unwrap_err();
            assert!(matches!(refused, StoreError::Unreachable { .. }));
            put("client");
            store.list().await.unwrap();
            // The connection that works is kept for what cannot be read, as between two renewals, for a key
            // that is not the certificate's yet, and for a certificate that etcd refuses.
            std::fs::remove_file(&cert).unwrap();
            store.list().await.unwrap();
            put("client");
            store.list().await.unwrap();
            std::fs::copy(dir.join("stranger.key"), &key).unwrap();
            store.list().await.unwrap();
            put("stranger");
            store.list().await.unwrap();
        })
    });
}

/// With authentication the certificate's name is that of the user; etcd takes the connection of any that its
/// authority has signed.
#[test]
fn a_renewed_certificate_that_is_allowed_nothing_replaces_none_that_works() {
    with_tls_etcd(|dir| {
        boxed(async {
            let (cert, key) = (dir.join("now.pem"), dir.join("now.key"));
            let put = |name: &str| {
                let from = |end: &str| dir.join(format!("{name}.{end}"));
                std::fs::copy(from("key"), &key).unwrap();
                std::fs::copy(from("pem"), &cert).unwrap();
            };
            common::ask_for_users(dir).await;
            // Before anything works, nothing is lost.
            put("nobody");
            let store = EtcdStore::new(&EtcdOptions {
                endpoints: vec![common::TLS_ENDPOINT.to_owned()],
                ca_file: Some(dir.join("ca.pem")),
                cert_file: Some(cert.clone()),
                key_file: Some(key.clone()),
                ..common::etcd_options()
            })
            .unwrap();
            let error = store.list().await.unwrap_err();
            assert!(matches!(error, StoreError::Refused { .. }), "{error}");
            put("client");
            store.list().await.unwrap();

            put("nobody");
            eventually_within(LONG, "a refusal", || async {
                store.list().await.unwrap();
                let trouble = store.trouble()?;
                trouble.what.contains("permission denied").then_some(())
            })
            .await;
            store.list().await.unwrap();
            put("client");
            eventually_within(LONG, "the end of the trouble", || async {
                store.list().await.unwrap();
                store.trouble().is_none().then_some(())
            })
            .await;
            store.list().await.unwrap();
        })
    });
}

/// Lets connections through to etcd, or takes them and answers nothing.
struct Gate {
    address: std::net::SocketAddr,
    is_shut: Arc<AtomicBool>,
    /// Connections that came while it was shut.
    held: mpsc::UnboundedReceiver<TcpStream>,
}

impl Gate {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_shut = Arc::new(AtomicBool::new(false));
        let (hold, held) = mpsc::unbounded_channel();
        let shut = Arc::clone(&is_shut);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                if shut.load(Ordering::Relaxed) {
                    hold.send(client).unwrap();
                    continue;
                }
                tokio::spawn(async move {
                    let mut server = TcpStream::connect("127.0.0.1:2379").await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self {
            address,
            is_shut,
            held,
        }
    }
}

#[test]
fn certificates_that_do_not_work_yet_are_tried_again_beside_the_connection_that_does() {
    with_tls_etcd(|dir| {
        boxed(async {
            let (cert, key) = (dir.join("now.pem"), dir.join("now.key"));
            let put = || {
                std::fs::copy(dir.join("client.key"), &key).unwrap();
                std::fs::copy(dir.join("client.pem"), &cert).unwrap();
            };
            put();
            let mut gate = Gate::new().await;
            let store = EtcdStore::new(&EtcdOptions {
                endpoints: vec![format!("https://{}", gate.address)],
                ca_file: Some(dir.join("ca.pem")),
                cert_file: Some(cert.clone()),
                key_file: Some(key.clone()),
                ..common::etcd_options()
            });
            let store = store.unwrap();
            store.list().await.unwrap();
            gate.is_shut.store(true, Ordering::Relaxed);
            std::fs::remove_file(&cert).unwrap();
            put();
            // A request is answered while the trial waits.
            loop {
                store.list().await.unwrap();
                let tried = tokio::time::timeout(LONG, gate.held.recv()).await;
                let trial = tried.expect("a trial").unwrap();
                store.list().await.unwrap();
                trial.readable().await.unwrap();
                let mut hello = vec![0; 1 << 16];
                while matches!(trial.try_read(&mut hello), Ok(1..)) {}
                let more = trial.try_read(&mut hello).map_err(|error| error.kind());
                if more == Err(std::io::ErrorKind::WouldBlock) {
                    break;
                }
            }
            let told = || async { store.trouble() };
            let trouble = eventually_within(LONG, "trouble", told).await;
            assert!(trouble.what.contains("TLS files"), "{trouble:?}");
            store.list().await.unwrap();
            // Nobody touches the files, nor asks for anything.
            gate.is_shut.store(false, Ordering::Relaxed);
            let over = || async { store.trouble().is_none().then_some(()) };
            eventually_within(LONG, "the end of the trouble", over).await;
            store.list().await.unwrap();
        })
    });
}

#[test]
fn etcd_is_reached_with_certificates() {
    with_tls_etcd(|dir| {
        boxed(async {
            let file = |name: &str| Some(dir.join(name));
            let options = |ca: &str, client: bool| EtcdOptions {
                endpoints: vec![common::TLS_ENDPOINT.to_owned()],
                ca_file: file(ca),
                cert_file: file("client.pem").filter(|_| client),
                key_file: file("client.key").filter(|_| client),
                ..common::etcd_options()
            };
            let good = EtcdStore::new(&options("ca.pem", true)).unwrap();
            let key = subnets("10.5.1.0-24");
            assert!(good.create(key, &node(1), HOUR).await.unwrap().is_some());
            // Without a certificate of its own: the server closes, with TLS 1.3 without a reason.
            let store = EtcdStore::new(&options("ca.pem", false)).unwrap();
            let error = store.list().await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
            // An authority that did not sign the server's certificate.
            let store = EtcdStore::new(&options("client.pem", true)).unwrap();
            let text = netd::chain(&store.list().await.unwrap_err());
            assert!(text.to_lowercase().contains("certificate"), "{text}");
        })
    });
}
