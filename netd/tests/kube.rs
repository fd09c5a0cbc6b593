//! The store in node objects, against a double of Kubernetes' API server: every event of a node, and what
//! goes wrong on the way.
#![cfg(feature = "kube")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod apiserver;
mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Fault, Tls};
use cluster::{Allocation, AnnotationKeys, LeaseAttrs, NetworkConfig, RawJson, Subnets, VtepData};
use common::{boxed, eventually, make_certificates, run, subnets, until};
use futures::future::LocalBoxFuture;
use kernel::testing::World;
use netd::lease::{
    Acquired, Keeping, LeaseError, LeaseTable, OwnLease, Sync, Timing, acquire, announce, keep,
    wait_for_assignment, wait_for_config, watch_peers,
};
use netd::store::NodeNetwork::{Fails, Works};
use netd::store::{Identity, KubeOptions, KubeStore, Store, StoreError};
use tokio::sync::watch;

const CONFIG: &str = r#"{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}"#;
const DUAL: &str = r#"{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10:244::/48",
    "Backend":{"Type":"vxlan"}}"#;
const MAC2: &str = r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:02"}"#;
const MAC3: &str = r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:03"}"#;

/// Everything happens soon.
fn hasty() -> Timing {
    Timing {
        truce: Duration::from_millis(400),
        min_backoff: Duration::from_millis(20),
        max_backoff: Duration::from_millis(300),
        ..Timing::default()
    }
}

/// A server, and the node n1 in front of it.
struct Bench {
    api: ApiServer,
    dir: tempfile::TempDir,
    options: KubeOptions,
}

/// Runs `test` in a world of its own.
fn with_api(config: &str, test: impl for<'a> FnOnce(&'a mut Bench) -> LocalBoxFuture<'a, ()>) {
    let Some(_world) = World::new() else { return };
    let mut bench = Bench::new(ApiServer::start(), config);
    run(test(&mut bench));
}

/// The same where the cluster has n1 already, with a subnet.
fn with_n1(test: impl for<'a> FnOnce(&'a mut Bench) -> LocalBoxFuture<'a, ()>) {
    with_api(CONFIG, |bench| {
        bench.add_n1();
        test(bench)
    });
}

impl Bench {
    fn new(api: ApiServer, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let net_config = dir.path().join("net-conf.json");
        std::fs::write(&net_config, config).unwrap();
        let options = KubeOptions {
            api_url: api.url(),
            kubeconfig: None,
            identity: Identity::Node("n1".to_owned()),
            annotations: AnnotationKeys::default(),
            net_config,
            set_network_unavailable: true,
            patience: Duration::from_secs(10),
        };
        Self { api, dir, options }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(KubeStore::new(self.options.clone()).unwrap())
    }

    /// The node n1 with its lease.
    async fn start(&self) -> Node {
        Node::start(self.store(), &attrs("02:00:00:00:00:01")).await
    }

    /// The same beside a peer.
    async fn start_beside_n2(&self) -> Node {
        self.add_n2();
        self.start().await
    }

    /// n1 is registered, and given its subnet.
    fn add_n1(&self) {
        self.api.add_node("n1", &["10.244.1.0/24"]);
    }

    /// n2 is a peer.
    fn add_n2(&self) {
        self.api
            .add_peer("n2", &["10.244.2.0/24"], "vxlan", MAC2, "192.0.2.2");
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn attrs(mac: &str) -> LeaseAttrs {
    let mut attrs = LeaseAttrs::new([192, 0, 2, 1].into(), None);
    attrs.backend_type = "vxlan".into();
    attrs.backend_data = Some(vtep(mac));
    attrs
}

fn vtep(mac: &str) -> RawJson {
    let value = serde_json::json!({ "VNI": 1, "VtepMAC": mac });
    VtepData::parse(&RawJson::new(&value)).unwrap().to_json()
}

fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse_for(text.as_bytes(), Allocation::Given).unwrap()
}

/// A node at work.
struct Node {
    lease: OwnLease,
    store: Arc<dyn Store>,
    attrs: watch::Sender<LeaseAttrs>,
    table: watch::Receiver<Arc<LeaseTable>>,
    keeping: Keeping,
}

impl Node {
    async fn start(store: Arc<dyn Store>, attrs: &LeaseAttrs) -> Self {
        let timing = hasty();
        let config = wait_for_config(store.as_ref(), &timing, |_| {})
            .await
            .unwrap();
        let given = wait_for_assignment(store.as_ref(), &timing, |_| {})
            .await
            .unwrap();
        assert!(given.is_some(), "the cluster gives subnets");
        let Acquired { lease, listing } = acquire(store.as_ref(), &config, attrs, None, &timing)
            .await
            .unwrap();
        let mut table = watch_peers(Arc::clone(&store), lease.subnets(), timing, listing);
        let (attrs, receiver) = watch::channel(attrs.clone());
        let keeping = keep(
            Arc::clone(&store),
            lease.clone(),
            receiver,
            table.clone(),
            timing,
        );
        until("the first list", &mut table, |table| {
            table.sync == Sync::Current
        })
        .await;
        Self {
            lease,
            store,
            attrs,
            table,
            keeping,
        }
    }

    async fn sees(&mut self, others: &[&str]) -> Arc<LeaseTable> {
        let others: Vec<Subnets> = others.iter().map(|key| subnets(key)).collect();
        until("the table", &mut self.table, |table| {
            table.sync == Sync::Current && table.peers.keys().eq(&others)
        })
        .await
    }

    /// What a peer has published, as this node knows it.
    fn of(&self, key: &str) -> Arc<LeaseAttrs> {
        Arc::clone(self.table.borrow().peers.get(&subnets(key)).expect(key))
    }

    /// Fails the test when any table from now on lacks `key`; ends with `until`. A list that brings nothing
    /// new is told to nobody, so the table is looked at now and then, too.
    async fn never_without(&mut self, key: &str, mut until: impl FnMut(&LeaseTable) -> bool) {
        let key = subnets(key);
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let table = Arc::clone(&self.table.borrow_and_update());
                assert!(table.peers.contains_key(&key), "{key} was withdrawn");
                if until(&table) {
                    return;
                }
                let look = tokio::time::sleep(Duration::from_millis(10));
                tokio::select! {
                    changed = self.table.changed() => changed.unwrap(),
                    () = look => {}
                }
            }
        });
        waited.await.expect("the test waits in vain");
    }
}

// Who the node is, and what the cluster gives it (flannel-compat 3.1).

#[test]
fn a_node_publishes_what_flannel_publishes() {
    with_n1(|bench| {
        boxed(async {
            // W22: a node has no annotations at all at first.
            let node = bench.start().await;
            assert_eq!(node.lease.subnets(), subnets("10.244.1.0-24"));
            for (word, value) in [
                ("kube-subnet-manager", "true"),
                ("backend-type", "vxlan"),
                ("backend-data", r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}"#),
                ("public-ip", "192.0.2.1"),
            ] {
                assert_eq!(bench.api.annotation("n1", word).as_deref(), Some(value));
            }
            assert_eq!(bench.api.annotation("n1", "backend-v6-data"), None);
            // A restart says nothing new, and writes nothing.
            let again = bench.start().await;
            assert_eq!(again.lease.holding, node.lease.holding);
            assert_eq!(bench.api.count("PATCH"), 1);
        })
    });
}

#[test]
fn a_node_is_found_by_its_pod() {
    with_api(CONFIG, |bench| {
        boxed(async {
            bench.options.identity = Identity::Pod {
                namespace: "kube-flannel".to_owned(),
                name: "kube-flannel-ds-abcde".to_owned(),
            };
            let store = bench.store();
            let error = store.assignment().await.unwrap_err();
            assert!(error.is_passing(), "{error}");
            assert!(
                error
                    .to_string()
                    .contains("kube-flannel/kube-flannel-ds-abcde")
            );
            bench
                .api
                .add_pod("kube-flannel", "kube-flannel-ds-abcde", None);
            assert!(store.assignment().await.unwrap_err().is_passing());
            bench
                .api
                .add_pod("kube-flannel", "kube-flannel-ds-abcde", Some("n1"));
            bench.add_n1();
            let given = store.assignment().await.unwrap().unwrap();
            assert_eq!(given.subnets, subnets("10.244.1.0-24"));
        })
    });
}

/// W20: flanneld ends, again and again.
#[test]
fn a_node_without_a_pod_cidr_waits_for_it_and_says_so() {
    with_api(CONFIG, |bench| {
        boxed(async {
            let store = bench.store();
            let timing = hasty();
            let (told, mut reasons) = watch::channel(String::new());
            let waiting = wait_for_assignment(store.as_ref(), &timing, |error| {
                told.send_replace(netd::chain(error));
            });
            let events = async {
                let no_node = |text: &String| text.contains("no node n1");
                until("the node to be missing", &mut reasons, no_node).await;
                bench.api.add_node("n1", &[]);
                let no_cidr = |text: &String| text.contains("--allocate-node-cidrs");
                until("the podCIDR to be missing", &mut reasons, no_cidr).await;
                bench.api.edit("n1", |node| {
                    node["spec"]["podCIDR"] = "10.244.9.0/24".into()
                });
            };
            let (given, ()) = futures::join!(waiting, events);
            assert_eq!(given.unwrap().unwrap().subnets, subnets("10.244.9.0-24"));
        })
    });
}

#[test]
fn a_pod_cidr_outside_the_network_is_refused() {
    with_api(CONFIG, |bench| {
        boxed(async {
            bench.api.add_node("n1", &["10.7.1.0/24"]);
            let store = bench.store();
            let taken = |text: &'static str| {
                let store = Arc::clone(&store);
                async move {
                    let attrs = attrs("02:00:00:00:00:01");
                    acquire(store.as_ref(), &config(text), &attrs, None, &hasty()).await
                }
            };
            let error = taken(CONFIG).await.unwrap_err();
            assert!(matches!(error, LeaseError::Outside { .. }), "{error}");
            assert!(
                error.to_string().contains("10.7.1.0/24")
                    && error.to_string().contains("Network 10.244.0.0/16")
            );
            // Any length inside will do, whatever SubnetLen says.
            bench.api.edit("n1", |node| {
                node["spec"]["podCIDRs"] = serde_json::json!(["10.244.128.0/18"]);
            });
            let odd = r#"{"Network":"10.244.0.0/16","SubnetLen":30,"SubnetMin":"10.9.0.0","Backend":{"Type":"vxlan"}}"#;
            assert_eq!(
                taken(odd).await.unwrap().lease.subnets(),
                subnets("10.244.128.0-18")
            );
            assert_eq!(bench.api.count("PATCH"), 1);
        })
    });
}

#[test]
fn a_family_without_a_pod_cidr_is_refused() {
    with_api(DUAL, |bench| {
        boxed(async {
            bench.add_n1();
            let store = bench.store();
            let attrs = attrs("02:00:00:00:00:01");
            let error = acquire(store.as_ref(), &config(DUAL), &attrs, None, &hasty())
                .await
                .unwrap_err();
            assert!(
                matches!(error, LeaseError::NoFamily { family: "IPv6", .. }),
                "{error}"
            );
        })
    });
}

// What an operator says (3.2).

#[test]
fn an_operator_overwrites_public_addresses_at_any_time() {
    with_n1(|bench| {
        boxed(async {
            bench
                .api
                .annotate("n1", &[("public-ip-overwrite", Some("203.0.113.1"))]);
            let node = bench.start().await;
            let public = || bench.api.annotation("n1", "public-ip").unwrap_or_default();
            assert_eq!(public(), "203.0.113.1");
            for (now, expected) in [
                (Some("203.0.113.2"), "203.0.113.2"),
                (None, "192.0.2.1"),
                // What is no address is left out.
                (Some("nonsense"), "192.0.2.1"),
                (Some("203.0.113.3"), "203.0.113.3"),
            ] {
                bench.api.annotate("n1", &[("public-ip-overwrite", now)]);
                eventually(&format!("{now:?}"), || async {
                    (public() == expected).then_some(())
                })
                .await;
            }
            let own = node.keeping.status.borrow().clone();
            assert_eq!(own.foreign_writes, 0, "nobody wrote over anything");
            assert_eq!(
                own.lease.attrs.public_ip,
                std::net::Ipv4Addr::new(192, 0, 2, 1)
            );
        })
    });
}

#[test]
fn an_operator_gives_the_node_its_public_address() {
    with_n1(|bench| {
        boxed(async {
            bench
                .api
                .annotate("n1", &[("node-public-ip", Some("198.51.100.7"))]);
            let given = bench.store().assignment().await.unwrap().unwrap();
            assert_eq!(given.public_ip, Some([198, 51, 100, 7].into()));
            bench
                .api
                .annotate("n1", &[("node-public-ip", Some("eth0"))]);
            let error = bench.store().assignment().await.unwrap_err();
            assert!(
                error.is_passing() && error.to_string().contains("node-public-ip is \"eth0\""),
                "{error}"
            );
        })
    });
}

#[test]
fn another_prefix_has_its_own_annotations() {
    with_api(CONFIG, |bench| {
        boxed(async {
            bench.options.annotations = AnnotationKeys::new("example.com/net").unwrap();
            bench.add_n1();
            // A peer under flannel's prefix is none here.
            let mut node = bench.start_beside_n2().await;
            node.sees(&[]).await;
            let object = bench.api.node("n1").unwrap();
            let annotations = object["metadata"]["annotations"].as_object().unwrap();
            assert_eq!(annotations["example.com/net-public-ip"], "192.0.2.1");
            // W21: what it published is found there again, too.
            let given = node.store.assignment().await.unwrap().unwrap();
            assert_eq!(given.published, Some(attrs("02:00:00:00:00:01")));
        })
    });
}

#[test]
fn new_attributes_are_published_and_a_vandal_is_undone() {
    with_n1(|bench| {
        boxed(async {
            let node = bench.start().await;
            bench.api.wait_for_watches(1).await;
            let data = || {
                bench
                    .api
                    .annotation("n1", "backend-data")
                    .unwrap_or_default()
            };
            node.attrs.send_replace(attrs("02:00:00:00:00:99"));
            eventually("the new MAC", || async {
                data().contains("00:99").then_some(())
            })
            .await;
            for vandal in [
                ("backend-data", Some(MAC3)),
                ("backend-data", Some("{")),
                ("public-ip", None),
                ("kube-subnet-manager", None),
            ] {
                bench.api.annotate("n1", &[vandal]);
                let whole = || {
                    let known = |word| bench.api.annotation("n1", word);
                    data().contains("00:99")
                        && known("public-ip").as_deref() == Some("192.0.2.1")
                        && known("kube-subnet-manager").as_deref() == Some("true")
                };
                eventually("what was there", || async { whole().then_some(()) }).await;
            }
        })
    });
}

// Events of the other nodes (3.3).

#[test]
fn nodes_come_change_and_go() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start_beside_n2().await;
            node.sees(&["10.244.2.0-24"]).await;
            assert_eq!(
                node.of("10.244.2.0-24").backend_data,
                Some(vtep("02:00:00:00:00:02"))
            );
            // Added, without annotations first: no peer yet, and nobody complains.
            bench.api.add_node("n3", &["10.244.3.0/24"]);
            bench.add_peer_words("n3", "192.0.2.3");
            node.sees(&["10.244.2.0-24", "10.244.3.0-24"]).await;
            assert_eq!(node.table.borrow().malformed, 0);
            // Updated: the MAC alone, the address alone.
            bench.api.annotate("n3", &[("backend-data", Some(MAC3))]);
            bench
                .api
                .annotate("n3", &[("public-ip", Some("192.0.2.33"))]);
            until("the update", &mut node.table, |table| {
                let attrs = table.peers.get(&subnets("10.244.3.0-24")).unwrap();
                attrs.backend_data == Some(vtep("02:00:00:00:00:03"))
                    && attrs.public_ip == std::net::Ipv4Addr::new(192, 0, 2, 33)
            })
            .await;
            // W17: the pod CIDR changes.
            bench.api.edit("n3", |node| {
                node["spec"]["podCIDR"] = "10.244.33.0/24".into();
                node["spec"]["podCIDRs"] = serde_json::json!(["10.244.33.0/24"]);
            });
            node.sees(&["10.244.2.0-24", "10.244.33.0-24"]).await;
            // Its daemon was taken away for good.
            bench.api.annotate("n3", &[("kube-subnet-manager", None)]);
            node.sees(&["10.244.2.0-24"]).await;
            bench.api.remove_node("n2");
            node.sees(&[]).await;
            bench.api.remove_node("n3");
            assert_eq!(node.table.borrow().lists, 1, "nothing of this needs a list");
        })
    });
}

/// W16: flanneld notices a change only if both families change.
#[test]
fn a_change_of_one_family_is_seen() {
    with_api(DUAL, |bench| {
        boxed(async {
            let cidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"];
            bench.api.add_node("n1", &cidrs);
            let cidrs = ["10.244.2.0/24", "fd00:10:244:2::/64"];
            bench.api.add_peer("n2", &cidrs, "vxlan", MAC2, "192.0.2.2");
            let mut own = attrs("02:00:00:00:00:01");
            own.public_ipv6 = "2001:db8::1".parse().ok();
            own.backend_v6_data = Some(vtep("02:00:00:00:06:01"));
            let mut node = Node::start(bench.store(), &own).await;
            assert_eq!(
                bench.api.annotation("n1", "public-ipv6").as_deref(),
                Some("2001:db8::1")
            );
            // Without IPv6 it is no peer, and the table says so.
            let table = node.sees(&[]).await;
            assert_eq!(table.malformed, 1);
            let six = [
                ("public-ipv6", Some("2001:db8::2")),
                ("backend-v6-data", Some(MAC2)),
            ];
            bench.api.annotate("n2", &six);
            let key = "10.244.2.0-24&fd00:10:244:2::-64";
            assert_eq!(node.sees(&[key]).await.malformed, 0);
            for (word, value) in [
                ("public-ip", "192.0.2.22"),
                ("public-ipv6", "2001:db8::22"),
                ("backend-v6-data", MAC3),
            ] {
                let before = node.of(key);
                bench.api.annotate("n2", &[(word, Some(value))]);
                until("the change", &mut node.table, |table| {
                    table.peers.get(&subnets(key)) != Some(&before)
                })
                .await;
            }
        })
    });
}

/// W18: what cannot be read harms itself alone, is told, and is no peer until it is mended.
#[test]
fn bad_annotations_harm_only_themselves() {
    with_n1(|bench| {
        boxed(async {
            bench.add_n2();
            bench
                .api
                .add_peer("n3", &["10.244.3.0/24"], "vxlan", MAC3, "nowhere");
            bench
                .api
                .add_peer("n4", &["10.244.4.0/33"], "vxlan", MAC3, "192.0.2.4");
            let mut node = bench.start().await;
            let table = node.sees(&["10.244.2.0-24"]).await;
            assert_eq!(table.malformed, 2);
            // One that was right keeps its last value, while watching and over a list.
            for bad in [
                ("public-ip", Some("x")),
                ("public-ip", None),
                ("backend-data", Some("{{")),
            ] {
                let seen = node.table.borrow().malformed_seen;
                bench.api.annotate("n2", &[bad]);
                node.never_without("10.244.2.0-24", |table| table.malformed_seen > seen)
                    .await;
            }
            bench.lose_history().await;
            node.never_without("10.244.2.0-24", |table| table.lists == 2)
                .await;
            assert_eq!(node.table.borrow().malformed, 3);
            // Mended.
            let right = [
                ("public-ip", Some("192.0.2.2")),
                ("backend-data", Some(MAC2)),
            ];
            bench.api.annotate("n2", &right);
            bench
                .api
                .annotate("n3", &[("public-ip", Some("192.0.2.3"))]);
            bench.api.remove_node("n4");
            let table = node.sees(&["10.244.2.0-24", "10.244.3.0-24"]).await;
            until("nothing to be malformed", &mut node.table, |table| {
                table.malformed == 0
            })
            .await;
            assert_eq!(table.lists, 2);
        })
    });
}

#[test]
fn a_bad_node_that_is_removed_is_gone() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start_beside_n2().await;
            node.sees(&["10.244.2.0-24"]).await;
            bench.api.annotate("n2", &[("public-ip", Some("x"))]);
            until("the complaint", &mut node.table, |table| {
                table.malformed == 1
            })
            .await;
            bench.api.remove_node("n2");
            assert_eq!(node.sees(&[]).await.malformed, 0);
        })
    });
}

/// W19: kubelets write to their nodes all the time, and nobody cares.
#[test]
fn a_heartbeat_changes_nothing() {
    with_n1(|bench| {
        boxed(async {
            bench.add_n2();
            bench
                .api
                .add_peer("n3", &["10.244.3.0/24"], "vxlan", MAC3, "bad");
            let mut node = bench.start().await;
            node.sees(&["10.244.2.0-24"]).await;
            bench.api.wait_for_watches(1).await;
            let (asked, complaints) = (bench.api.seen().len(), node.table.borrow().malformed_seen);
            for beat in 0..10 {
                for name in ["n1", "n2", "n3"] {
                    bench.api.edit(name, |node| {
                        node["status"]["nodeInfo"]["beat"] = beat.into()
                    });
                }
            }
            node.table.borrow_and_update();
            // Something that does change the table ends the wait.
            bench
                .api
                .add_peer("n4", &["10.244.4.0/24"], "vxlan", MAC3, "192.0.2.4");
            let changes = async {
                let mut changes = 0;
                while !node
                    .table
                    .borrow_and_update()
                    .peers
                    .contains_key(&subnets("10.244.4.0-24"))
                {
                    node.table.changed().await.unwrap();
                    changes += 1;
                }
                changes
            };
            assert!(changes.await <= 1, "a heartbeat is no change");
            assert_eq!(
                bench.api.seen().len(),
                asked,
                "nor is anybody asked for anything"
            );
            assert_eq!(node.table.borrow().malformed_seen, complaints);
        })
    });
}

#[test]
fn a_subnet_that_moves_to_another_node_stays_served() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start_beside_n2().await;
            node.sees(&["10.244.2.0-24"]).await;
            // A node is renamed: the new object is there before the old one goes.
            bench
                .api
                .add_peer("m2", &["10.244.2.0/24"], "vxlan", MAC3, "192.0.2.2");
            bench.api.remove_node("n2");
            bench
                .api
                .add_peer("n9", &["10.244.9.0/24"], "vxlan", MAC3, "192.0.2.9");
            node.never_without("10.244.2.0-24", |table| table.peers.len() == 2)
                .await;
            assert_eq!(
                node.of("10.244.2.0-24").backend_data,
                Some(vtep("02:00:00:00:00:03"))
            );
        })
    });
}

// The condition (3.3).

#[test]
fn the_condition_is_set_when_the_network_works_and_once() {
    with_n1(|bench| {
        boxed(async {
            let store = bench.store();
            bench.api.fault("PATCH", Fault::Status(500, None));
            assert!(store.announce(&Works).await.unwrap_err().is_passing());
            store.announce(&Works).await.unwrap();
            let condition = bench.api.condition("n1").unwrap();
            assert_eq!(condition["status"], "False");
            assert_eq!(condition["reason"], "FlannelIsUp");
            assert_eq!(condition["message"], "Flannel is running on this node");
            assert_eq!(
                condition["lastHeartbeatTime"],
                condition["lastTransitionTime"]
            );
            let other = bench.api.node("n1").unwrap();
            assert_eq!(
                other["status"]["conditions"].as_array().unwrap().len(),
                2,
                "Ready stays"
            );
            // W25: a restart does not touch it.
            let patches = bench.api.count("PATCH");
            bench.store().announce(&Works).await.unwrap();
            assert_eq!(bench.api.count("PATCH"), patches);
            // W23: a failure has a reason of its own, and is taken back.
            for (told, status, reason, message) in [
                (
                    Fails("no device".to_owned()),
                    "True",
                    "NetdIsNotReady",
                    "no device",
                ),
                (
                    Fails("no rules".to_owned()),
                    "True",
                    "NetdIsNotReady",
                    "no device",
                ),
                (
                    Works,
                    "False",
                    "FlannelIsUp",
                    "Flannel is running on this node",
                ),
            ] {
                store.announce(&told).await.unwrap();
                let condition = bench.api.condition("n1").unwrap();
                assert_eq!(condition["status"], status, "{told:?}");
                assert_eq!(condition["reason"], reason, "{told:?}");
                assert_eq!(condition["message"], message, "{told:?}");
            }
            assert_eq!(bench.api.count("PATCH"), patches + 2, "once each");
            bench.options.set_network_unavailable = false;
            bench.api.edit("n1", |node| {
                node["status"]["conditions"] = serde_json::json!([])
            });
            for network in [Works, Fails("no device".to_owned())] {
                bench.store().announce(&network).await.unwrap();
                assert_eq!(bench.api.condition("n1"), None, "{network:?}");
            }
        })
    });
}

// The own node (W17).

#[test]
fn the_own_node_made_again_gets_everything_again() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start_beside_n2().await;
            let status = node.keeping.status.clone();
            let (store, timing) = (Arc::clone(&node.store), hasty());
            let (network, told) = watch::channel(Works);
            tokio::spawn(async move { announce(store.as_ref(), status, told, &timing).await });
            let condition = async |wanted: &str| {
                eventually("the condition", || async {
                    let condition = bench.api.condition("n1")?;
                    (condition["status"] == wanted).then_some(())
                })
                .await;
            };
            condition("False").await;
            bench.api.fault("PATCH", Fault::Status(500, None));
            network.send(Fails("no device".to_owned())).unwrap();
            condition("True").await;
            bench.api.remove_node("n1");
            let mut own = node.keeping.status.clone();
            until("the problem", &mut own, |own| own.problem.is_some()).await;
            let problem = own.borrow().problem.clone().unwrap();
            assert!(problem.contains("the cluster has no node n1"), "{problem}");
            bench.add_n1();
            eventually("the annotations", || async {
                bench.api.annotation("n1", "public-ip")
            })
            .await;
            condition("True").await;
            network.send(Works).unwrap();
            condition("False").await;
            until("the lease to be held", &mut own, |own| {
                own.problem.is_none() && own.reclaims == 1
            })
            .await;
            node.never_without("10.244.2.0-24", |table| table.sync == Sync::Current)
                .await;
        })
    });
}

#[test]
fn another_pod_cidr_ends_the_lease() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start().await;
            bench.api.edit("n1", |node| {
                node["spec"]["podCIDR"] = "10.244.77.0/24".into();
                node["spec"]["podCIDRs"] = serde_json::json!(["10.244.77.0/24"]);
            });
            let error = (&mut node.keeping.task).await.unwrap();
            assert!(
                matches!(&error, LeaseError::Moved { before, now }
                    if before.key() == "10.244.1.0-24" && now.key() == "10.244.77.0-24"),
                "{error}"
            );
            assert!(node.table.borrow().peers.is_empty(), "no peer of itself");
        })
    });
}

#[test]
fn a_lease_is_given_back_by_taking_the_annotations_away() {
    with_n1(|bench| {
        boxed(async {
            bench
                .api
                .annotate("n1", &[("public-ip-overwrite", Some("203.0.113.1"))]);
            let node = bench.start().await;
            node.keeping.task.abort();
            let holding = node.lease.holding;
            assert!(
                !node
                    .store
                    .delete(holding.subnets, holding.revision + 1)
                    .await
                    .unwrap()
            );
            assert!(
                node.store
                    .delete(holding.subnets, holding.revision)
                    .await
                    .unwrap()
            );
            let object = bench.api.node("n1").unwrap();
            let left: Vec<&String> = object["metadata"]["annotations"]
                .as_object()
                .unwrap()
                .keys()
                .collect();
            assert_eq!(
                left,
                ["flannel.alpha.coreos.com/public-ip-overwrite"],
                "the operator's stays"
            );
            assert_eq!(bench.store().get(holding.subnets).await.unwrap(), None);
        })
    });
}

// What goes wrong on the way.

#[test]
fn a_history_that_is_gone_is_listed_anew_and_nothing_is_withdrawn() {
    with_n1(|bench| {
        boxed(async {
            bench.add_n2();
            bench
                .api
                .add_peer("n3", &["10.244.3.0/24"], "vxlan", MAC3, "192.0.2.3");
            let mut node = bench.start().await;
            bench.api.wait_for_watches(1).await;
            // Something happens that the watch does not bring.
            bench.api.go_away();
            bench.api.wait_for_watches(0).await;
            bench.api.remove_node("n3");
            bench.api.compact();
            bench.api.come_back();
            node.never_without("10.244.2.0-24", |table| table.lists == 2)
                .await;
            node.sees(&["10.244.2.0-24"]).await;
            // In the answer's head rather than in an event.
            bench.api.wait_for_watches(1).await;
            bench
                .api
                .fault("GET /api/v1/nodes?watch", Fault::Status(410, None));
            let opened = bench.api.opened();
            bench.api.end_watches();
            node.never_without("10.244.2.0-24", |table| table.lists == 3)
                .await;
            bench.next_watch(opened).await;
            // As an event in the middle of a watch, and one that nobody can read.
            for line in [
                r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#,
                r#"{"type":"MODIFIED","object":{"metadata":{"name":7}}}"#,
                "no JSON at all",
            ] {
                let lists = node.table.borrow().lists;
                let opened = bench.api.opened();
                bench.api.say(line);
                node.never_without("10.244.2.0-24", |table| table.lists == lists + 1)
                    .await;
                bench.next_watch(opened).await;
            }
        })
    });
}

#[test]
fn bookmarks_keep_the_place() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start_beside_n2().await;
            bench.api.wait_for_watches(1).await;
            // Versions pass that are no change of a node's lease, and are compacted.
            for _ in 0..5 {
                bench
                    .api
                    .edit("n2", |node| node["status"]["x"] = "y".into());
            }
            bench.api.bookmark();
            bench.api.compact();
            // A peer shows that the bookmark was read: it comes behind it.
            bench
                .api
                .add_peer("n3", &["10.244.3.0/24"], "vxlan", MAC3, "192.0.2.3");
            node.sees(&["10.244.2.0-24", "10.244.3.0-24"]).await;
            bench.api.end_watches();
            bench
                .api
                .add_peer("n4", &["10.244.4.0/24"], "vxlan", MAC3, "192.0.2.4");
            node.sees(&["10.244.2.0-24", "10.244.3.0-24", "10.244.4.0-24"])
                .await;
            let table = node.table.borrow();
            assert_eq!(
                (table.lists, table.outages),
                (1, 0),
                "the end of a watch is no event"
            );
        })
    });
}

#[test]
fn a_watch_that_is_cut_goes_on_where_it_was() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start_beside_n2().await;
            for round in 1..=3 {
                bench.api.wait_for_watches(1).await;
                bench.api.cut_watches();
                let name = format!("m{round}");
                let cidr = format!("10.244.{}.0/24", 100 + round);
                bench
                    .api
                    .add_peer(&name, &[&cidr], "vxlan", MAC3, "192.0.2.9");
                node.never_without("10.244.2.0-24", |table| {
                    table.peers.len() == 1 + round && table.sync == Sync::Current
                })
                .await;
            }
            assert_eq!(node.table.borrow().lists, 1);
        })
    });
}

#[test]
fn a_server_that_is_away_takes_nothing_with_it() {
    with_n1(|bench| {
        boxed(async {
            let mut node = bench.start_beside_n2().await;
            bench.api.wait_for_watches(1).await;
            bench.api.go_away();
            node.never_without("10.244.2.0-24", |table| {
                matches!(table.sync, Sync::Stale { .. })
            })
            .await;
            // Meanwhile this node changes, and so does another.
            node.attrs.send_replace(attrs("02:00:00:00:00:77"));
            let mut own = node.keeping.status.clone();
            until("the problem", &mut own, |own| own.problem.is_some()).await;
            bench
                .api
                .add_peer("n3", &["10.244.3.0/24"], "vxlan", MAC3, "192.0.2.3");
            bench.api.come_back();
            node.never_without("10.244.2.0-24", |table| {
                table.sync == Sync::Current && table.peers.len() == 2
            })
            .await;
            let written = || async {
                let data = bench.api.annotation("n1", "backend-data")?;
                data.contains("00:77").then_some(())
            };
            eventually("the own change", written).await;
            until("the end of the problem", &mut own, |own| {
                own.problem.is_none()
            })
            .await;
            assert_eq!(node.table.borrow().outages, 1);
        })
    });
}

#[test]
fn a_server_that_is_away_at_the_start_is_waited_for() {
    with_n1(|bench| {
        boxed(async {
            bench.api.go_away();
            let (store, timing) = (bench.store(), hasty());
            let (told, mut reasons) = watch::channel(String::new());
            let waiting = wait_for_assignment(store.as_ref(), &timing, |error| {
                told.send_replace(netd::chain(error));
            });
            let back = async {
                until("a reason", &mut reasons, |text| {
                    text.contains("is unreachable")
                })
                .await;
                bench.api.come_back();
            };
            let (given, ()) = futures::join!(waiting, back);
            assert!(given.unwrap().is_some());
        })
    });
}

#[test]
fn a_conflict_and_a_fault_of_the_server_are_tried_again() {
    with_n1(|bench| {
        boxed(async {
            bench.add_n2();
            for code in [409, 500, 503, 504] {
                bench.api.fault("PATCH", Fault::Status(code, None));
                bench
                    .api
                    .fault("GET /api/v1/nodes/n1", Fault::Status(code, None));
                bench
                    .api
                    .fault("GET /api/v1/nodes?limit", Fault::Status(code, None));
                bench
                    .api
                    .fault("GET /api/v1/nodes?watch", Fault::Status(code, None));
                let mut node = bench.start().await;
                node.sees(&["10.244.2.0-24"]).await;
                bench.api.wait_for_watches(1).await;
                node.attrs
                    .send_replace(attrs(&format!("02:00:00:00:01:{:02x}", code - 400)));
                let met = || async { (bench.api.faults() == 0).then_some(()) };
                eventually(&format!("every {code} to be met"), met).await;
                node.keeping.task.abort();
                drop(node);
                bench.api.cut_watches();
                bench.api.wait_for_watches(0).await;
            }
        })
    });
}

#[test]
fn a_server_that_asks_for_patience_is_left_alone() {
    with_n1(|bench| {
        boxed(async {
            bench
                .api
                .fault("GET /api/v1/nodes/n1", Fault::Status(429, Some(1)));
            let store = bench.store();
            let error = store.assignment().await.unwrap_err();
            assert!(error.is_passing(), "{error}");
            let said = netd::chain(&error);
            assert!(
                said.contains("429") && said.contains("Too many requests"),
                "{said}"
            );
            // Whoever asks next waits, whatever is asked for.
            store.list().await.unwrap();
            let seen = bench.api.seen();
            let [first, second] = &seen[..] else {
                panic!("{seen:?}")
            };
            assert!(second.at - first.at >= Duration::from_secs(1));
        })
    });
}

#[test]
fn what_may_not_be_done_is_told_with_what_is_needed() {
    with_n1(|bench| {
        boxed(async {
            bench.api.fault("GET", Fault::Status(403, None));
            let error = bench.store().assignment().await.unwrap_err();
            assert!(!error.is_passing());
            let said = netd::chain(&error);
            assert!(
                said.contains("403") && said.contains("patch of nodes/status"),
                "{said}"
            );
        })
    });
}

#[test]
fn a_slow_answer_is_waited_for_and_none_is_not() {
    with_n1(|bench| {
        boxed(async {
            bench
                .api
                .fault("GET", Fault::Slow(Duration::from_millis(300)));
            assert!(bench.store().assignment().await.is_ok());
            bench.api.fault("GET", Fault::Cut);
            let error = bench.store().assignment().await.unwrap_err();
            assert!(error.is_passing(), "{error}");
            bench.options.patience = Duration::from_millis(200);
            bench
                .api
                .fault("GET", Fault::Silence(Duration::from_secs(30)));
            let error = bench.store().assignment().await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        })
    });
}

/// W19: a large cluster is listed in pages, and a page whose token is gone is asked for no more.
#[test]
fn a_large_cluster_is_listed_in_pages() {
    with_n1(|bench| {
        boxed(async {
            for n in 0..600 {
                let cidr = format!("10.244.{}.{}/26", 10 + n / 4, n % 4 * 64);
                bench
                    .api
                    .add_peer(&format!("m{n:03}"), &[&cidr], "vxlan", MAC3, "192.0.2.9");
            }
            let mut node = bench.start().await;
            until("all nodes", &mut node.table, |table| {
                table.peers.len() == 600
            })
            .await;
            assert_eq!(bench.api.count("GET /api/v1/nodes?limit"), 3);
            bench.api.fault(
                "GET /api/v1/nodes?limit=250&continue",
                Fault::Status(410, None),
            );
            bench.api.wait_for_watches(1).await;
            bench.lose_history().await;
            node.never_without("10.244.10.0-26", |table| table.lists == 2)
                .await;
            assert_eq!(node.table.borrow().peers.len(), 600);
            assert_eq!(bench.api.faults(), 0);
        })
    });
}

// Credentials.

/// The files of a pod's service account, in the test's own `/run`.
fn service_account(token: &str, ca: &Path) -> PathBuf {
    let dir = PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("token"), token).unwrap();
    std::fs::write(dir.join("namespace"), "kube-flannel").unwrap();
    std::fs::copy(ca, dir.join("ca.crt")).unwrap();
    dir
}

fn kubeconfig(bench: &Bench, user: &str) -> PathBuf {
    let path = bench.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts: [{{ name: here, context: {{ cluster: here, user: me }} }}]\n\
         clusters: [{{ name: here, cluster: {{ server: '{}', certificate-authority: ca.pem }} }}]\n\
         users: [{{ name: me, user: {user} }}]\n",
        bench.api.url()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// A server with TLS; its certificates are in the bench's directory.
fn with_tls(clients: bool, test: impl for<'a> FnOnce(&'a mut Bench) -> LocalBoxFuture<'a, ()>) {
    let Some(_world) = World::new() else { return };
    let files = tempfile::tempdir().unwrap();
    make_certificates(files.path());
    let tls = Tls::new(files.path(), clients);
    let mut bench = Bench::new(ApiServer::listen("127.0.0.1:0", Some(tls)), CONFIG);
    for name in ["ca.pem", "client.pem", "client.key", "stranger.pem"] {
        std::fs::copy(files.path().join(name), bench.path().join(name)).unwrap();
    }
    bench.options.api_url = String::new();
    bench.add_n1();
    bench.add_n2();
    run(test(&mut bench));
}

#[test]
fn a_pod_has_its_service_account_whose_token_rotates() {
    with_tls(false, |bench| {
        boxed(async {
            bench.api.set_token("first");
            // A pod finds the server by variables; the address stands for them here, as no other
            // test of this process may see them.
            let dir = service_account("first", &bench.path().join("ca.pem"));
            let kubeconfig_text = format!("{{ tokenFile: {}/token }}", dir.display());
            bench.options.kubeconfig = Some(kubeconfig(bench, &kubeconfig_text));
            let mut node = bench.start().await;
            node.sees(&["10.244.2.0-24"]).await;
            // The kubelet writes a new one, and the old one ends.
            std::fs::write(dir.join("token"), "second").unwrap();
            bench.api.set_token("second");
            bench.api.end_watches();
            bench.api.cut_watches();
            bench
                .api
                .add_peer("n3", &["10.244.3.0/24"], "vxlan", MAC3, "192.0.2.3");
            node.never_without("10.244.2.0-24", |table| table.peers.len() == 2)
                .await;
            node.attrs.send_replace(attrs("02:00:00:00:00:55"));
            let written = || async {
                let data = bench.api.annotation("n1", "backend-data")?;
                data.contains("00:55").then_some(())
            };
            eventually("a write with the new token", written).await;
        })
    });
}

#[test]
fn a_kubeconfig_has_a_certificate_of_the_client() {
    with_tls(true, |bench| {
        boxed(async {
            let user = "{ client-certificate: client.pem, client-key: client.key }";
            bench.options.kubeconfig = Some(kubeconfig(bench, user));
            assert!(bench.store().assignment().await.unwrap().is_some());
            // Without it nobody is let in.
            bench.options.kubeconfig = Some(kubeconfig(bench, "{}"));
            assert!(bench.store().assignment().await.unwrap_err().is_passing());
        })
    });
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    with_tls(false, |bench| {
        boxed(async {
            std::fs::copy(
                bench.path().join("stranger.pem"),
                bench.path().join("ca.pem"),
            )
            .unwrap();
            bench.options.kubeconfig = Some(kubeconfig(bench, "{ token: t }"));
            let error = bench.store().assignment().await.unwrap_err();
            let said = netd::chain(&error);
            assert!(said.contains("certificate"), "{said}");
            assert_eq!(bench.api.seen().len(), 0);
        })
    });
}

#[test]
fn credentials_that_cannot_be_used_are_refused_at_the_start() {
    with_tls(false, |bench| {
        boxed(async {
            let refused = |options: &KubeOptions| {
                let error = KubeStore::new(options.clone()).err().expect("refused");
                assert!(!error.is_passing());
                netd::chain(&error)
            };
            let exec = "{ exec: { apiVersion: client.authentication.k8s.io/v1, command: 'true' } }";
            bench.options.kubeconfig = Some(kubeconfig(bench, exec));
            assert!(refused(&bench.options).contains("netd executes none"));
            bench.options.kubeconfig = Some("/nowhere".into());
            assert!(refused(&bench.options).contains("/nowhere"));
            bench.options.kubeconfig = None;
            assert!(
                refused(&bench.options).contains("-kubeconfig-file"),
                "in no pod"
            );
            for bad in ["host:6443", "ftp://host", "https://me:secret@host"] {
                bench.options.api_url = bad.to_owned();
                assert!(
                    refused(&bench.options).contains("https://HOST:PORT"),
                    "{bad}"
                );
            }
        })
    });
}

impl Bench {
    /// The server is away while something happens that no watch will bring.
    async fn lose_history(&self) {
        self.api.go_away();
        self.api.wait_for_watches(0).await;
        self.api.edit("n1", |node| node["status"]["x"] = "y".into());
        self.api.compact();
        self.api.come_back();
    }

    /// Waits until a watch is opened that is not one of the first `opened`.
    async fn next_watch(&self, opened: usize) {
        eventually("a watch", || async {
            (self.api.opened() > opened).then_some(())
        })
        .await;
    }

    /// The annotations of a VXLAN node.
    fn add_peer_words(&self, node: &str, public: &str) {
        self.api.annotate(
            node,
            &[
                ("kube-subnet-manager", Some("true")),
                ("backend-type", Some("vxlan")),
                ("backend-data", Some(MAC2)),
                ("public-ip", Some(public)),
            ],
        );
    }
}
