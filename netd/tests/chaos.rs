//! Fifty nodes and one etcd, to which happens what happens to clusters: after each blow every node has
//! what the leases say, and nothing else.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and tell what it measured"
)]

mod common;
mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::Etcd;
use nodes::{Cluster, HOST_GW, Netd, VXLAN, sh, wait_long};
use serde_json::Value;

const NODES: u8 = 50;
/// Starts later, with the subnet of one that was cut off.
const HEIR: u8 = NODES + 1;
const ENDPOINT: &str = "http://192.168.50.254:2379";
const SUBNETS: &str = "/coreos.com/network/subnets";
/// After so long without convergence it is told what is lacking.
const LONG: Duration = Duration::from_secs(60);
/// A lease that no node made.
const STRANGER: &str = "10.100.250.0-24";

/// The nodes with their daemons, and the store.
struct Chaos {
    running: BTreeMap<u8, Netd>,
    etcd: Etcd,
    cluster: Cluster,
    vxlan: bool,
}

/// A lease: whose, and where frames go.
#[derive(Debug)]
struct Lease {
    subnet: String,
    node: String,
    mac: String,
}

/// What one node has of its peers, a line an object.
type Objects = BTreeSet<String>;

impl Chaos {
    fn new(config: &str) -> Option<Self> {
        let cluster = Cluster::new(config, HEIR)?;
        sh("ip addr add 192.168.50.254/24 dev br0");
        let urls = format!("{},{ENDPOINT}", common::ENDPOINT);
        let etcd = Etcd::start_with(cluster.dir(), &["--listen-client-urls", &urls]);
        let config = nodes::with_bounds(config);
        etcdctl(&format!("put /coreos.com/network/config '{config}'"));
        Some(Self {
            running: BTreeMap::new(),
            etcd,
            vxlan: config.contains("vxlan"),
            cluster,
        })
    }

    fn start(&mut self, nodes: impl IntoIterator<Item = u8>) {
        for n in nodes {
            // One of them is to be cut off for longer than its lease.
            let ttl = if n == NODES { "10s" } else { "24h" };
            let arguments = ["-etcd-endpoints", ENDPOINT, "-lease-ttl", ttl];
            self.running.insert(n, self.cluster.spawn(n, &arguments));
        }
    }

    /// Waits until `nodes` have a lease each, and all that run have what the leases say; prints how long
    /// that took.
    fn converges(&self, what: &str, nodes: impl Iterator<Item = u8> + Clone) {
        let started = Instant::now();
        wait_long(what, || {
            let lack = self.lacks(nodes.clone());
            if let Some(lack) = lack.as_ref().filter(|_| started.elapsed() > LONG) {
                println!("{what}: {lack}");
            }
            lack.is_none()
        });
        let seconds = started.elapsed().as_secs_f64();
        println!("{what}: all are seen to have converged after {seconds:.1} s");
    }

    /// What is not as it should be.
    fn lacks(&self, nodes: impl Iterator<Item = u8> + Clone) -> Option<String> {
        let leases = leases();
        let owners: Vec<&String> = leases.iter().map(|lease| &lease.node).collect();
        for n in nodes.clone() {
            let address = format!("192.168.50.{n}");
            let held: Vec<_> = leases
                .iter()
                .filter(|lease| lease.node == address)
                .collect();
            let [lease] = held.as_slice() else {
                return Some(format!("n{n} has {} leases of {owners:?}", held.len()));
            };
            let own = self.cluster.env(n, "FLANNEL_SUBNET");
            if own != Some(lease.subnet.replace(".0/24", ".1/24")) {
                return Some(format!("n{n} holds {lease:?}, and its file says {own:?}"));
            }
        }
        let seen = self.objects();
        nodes.clone().find_map(|n| {
            let address = format!("192.168.50.{n}");
            let others = leases.iter().filter(|lease| lease.node != address);
            let wanted: Objects = others.flat_map(|lease| self.wanted(lease)).collect();
            let seen = &seen[&n];
            let (missing, stale): (Vec<_>, Vec<_>) = (
                wanted.difference(seen).collect(),
                seen.difference(&wanted).collect(),
            );
            (wanted != *seen).then(|| format!("n{n}: missing {missing:?}, stale {stale:?}"))
        })
    }

    fn wanted(&self, lease: &Lease) -> Vec<String> {
        let Lease { subnet, node, mac } = lease;
        if !self.vxlan {
            return vec![format!("{subnet} via {node} dev eth0")];
        }
        let gateway = subnet.replace("/24", "");
        vec![
            format!("{subnet} via {gateway} dev flannel.1 onlink"),
            format!("{gateway} lladdr {mac} PERMANENT"),
            format!("{mac} dst {node} self permanent"),
        ]
    }

    /// Of all that run: routes, neighbours and FDB entries.
    fn objects(&self) -> BTreeMap<u8, Objects> {
        let nodes: Vec<String> = self.running.keys().map(u8::to_string).collect();
        let tunnel = match self.vxlan {
            true => {
                "ip -n n$n neigh show dev flannel.1 nud permanent; bridge -n n$n fdb show dev flannel.1"
            }
            false => "true",
        };
        let nodes = nodes.join(" ");
        let text = sh(&format!(
            "for n in {nodes}; do echo \"@ $n\"; ip -n n$n -4 route show proto 112; {tunnel}; done"
        ));
        let parts = text.split("@ ").skip(1).map(|part| {
            let (n, lines) = part.split_once('\n').expect("lines");
            let lines = lines.lines().map(|line| line.trim().to_owned()).collect();
            (n.parse().expect("a node"), lines)
        });
        parts.collect()
    }

    /// A lease that comes and goes: everybody hears of both.
    fn hears(&self, what: &str, nodes: impl Iterator<Item = u8> + Clone) {
        stranger(true);
        self.converges(&format!("{what}, a new lease"), nodes.clone());
        stranger(false);
        self.converges(&format!("{what}, its end"), nodes);
    }

    /// A third is killed, and comes back.
    fn kill_a_third(&mut self) {
        let third: Vec<u8> = (1..=NODES).step_by(3).collect();
        third.iter().for_each(|n| drop(self.running.remove(n)));
        stranger(true);
        self.start(third);
        self.converges("a third killed and started again", 1..=NODES);
        stranger(false);
    }

    fn restart_etcd(&mut self) {
        self.etcd.kill();
        self.etcd.start_again();
        self.hears("etcd killed and started again", 1..=NODES);
    }

    /// A third is asleep while the history is made that it will ask for in vain.
    fn compact(&mut self) {
        let third = || (1..=NODES).skip(1).step_by(3);
        let signal = |name| third().for_each(|n| self.running[&n].signal(name));
        stranger(true);
        self.converges("a new lease", 1..=NODES);
        signal("STOP");
        self.etcd.kill();
        self.etcd.start_again();
        stranger(false);
        let revision = revision();
        etcdctl(&format!("compact {revision}"));
        let signal = |name| third().for_each(|n| self.running[&n].signal(name));
        signal("CONT");
        self.converges("the history compacted while a third slept", 1..=NODES);
    }

    /// One is cut off until its lease has ended and another has its subnet.
    fn cut_one_off(&mut self) {
        let subnet = self.cluster.subnet(NODES);
        sh(&format!("ip link set v{NODES} down"));
        let address = format!("192.168.50.{NODES}");
        wait_long("the lease to end", || {
            leases().iter().all(|lease| lease.node != address)
        });
        let lost = self.running.remove(&NODES).expect("runs");
        self.converges("one cut off for longer than its lease", 1..NODES);
        let file = |n| self.cluster.subnet_file(n);
        std::fs::copy(file(NODES), file(HEIR)).expect("subnet.env");
        self.start([HEIR]);
        self.converges("another node has its subnet", (1..NODES).chain([HEIR]));
        assert_eq!(self.cluster.subnet(HEIR), subnet);
        sh(&format!("ip link set v{NODES} up"));
        ends(lost);
        self.start([NODES]);
        self.converges("the first is back", 1..=HEIR);
    }
}

/// A daemon whose lease is lost says so and ends; the service manager starts it again.
fn ends(mut lost: Netd) {
    wait_long("the node to learn that its lease is lost", || {
        lost.child.try_wait().expect("wait").is_some()
    });
}

fn etcdctl(arguments: &str) -> String {
    let endpoint = common::ENDPOINT;
    sh(&format!(
        "ETCDCTL_API=3 etcdctl --endpoints {endpoint} {arguments}"
    ))
}

fn revision() -> u64 {
    let text = etcdctl("get x -w json");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    answer["header"]["revision"].as_u64().expect("a revision")
}

fn stranger(comes: bool) {
    let value = r#"{"PublicIP":"192.168.50.250","BackendType":"TYPE","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:fa"}}"#;
    let config = etcdctl("get --print-value-only /coreos.com/network/config");
    let kind = if config.contains("vxlan") {
        "vxlan"
    } else {
        "host-gw"
    };
    let value = value.replace("TYPE", kind);
    match comes {
        true => etcdctl(&format!("put {SUBNETS}/{STRANGER} '{value}'")),
        false => etcdctl(&format!("del {SUBNETS}/{STRANGER}")),
    };
}

/// As etcd has them.
fn leases() -> Vec<Lease> {
    let text = etcdctl(&format!("get --prefix {SUBNETS}/"));
    let lines: Vec<&str> = text.lines().collect();
    let lease = |pair: &[&str]| {
        let value: Value = serde_json::from_str(pair[1]).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = pair[0].rsplit('/').next().expect("a name");
        Lease {
            subnet: key.replace('-', "/"),
            node: text(&value["PublicIP"]),
            mac: text(&value["BackendData"]["VtepMAC"]),
        }
    };
    lines.chunks_exact(2).map(lease).collect()
}

fn blow_after_blow(config: &str) {
    let Some(mut chaos) = Chaos::new(config) else {
        return;
    };
    chaos.start(1..=NODES);
    chaos.converges("50 nodes started at once", 1..=NODES);
    chaos.kill_a_third();
    chaos.restart_etcd();
    chaos.compact();
    chaos.cut_one_off();
    chaos.hears("at the end", 1..=HEIR);
}

#[test]
#[ignore = "50 daemons for some minutes: make chaos"]
fn a_vxlan_cluster_survives_what_happens_to_clusters() {
    blow_after_blow(VXLAN);
}

#[test]
#[ignore = "50 daemons for some minutes: make chaos"]
fn a_host_gw_cluster_survives_what_happens_to_clusters() {
    blow_after_blow(HOST_GW);
}
