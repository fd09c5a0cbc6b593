//! The backend ipip on real nodes: what it leaves in their kernels is what the recordings of
//! flanneld show, and what flanneld left is taken over.
//!
//! A kernel without ipip skips these, unless `REQUIRE_KINDS=1` (see `make netd-kernel`).
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use nodes::{Cluster, IPIP_DEVICE, add_bridge, has_kind, ping, problems, sh, wait_for, wait_long};
use serde_json::{Value, json};

const IPIP: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"ipip"}}"#;
const DIRECT: &str =
    r#"{"Network":"10.100.0.0/16","Backend":{"Type":"ipip","DirectRouting":true}}"#;

/// `None`, with the reason, where namespaces or such devices are not to be had.
fn cluster(config: &str, nodes: u8) -> Option<Cluster> {
    Cluster::with_kind(config, nodes, &IPIP_DEVICE)
}

fn link(n: u8, name: &str) -> Value {
    let text = sh(&format!("ip -n n{n} -d -j link show dev {name}"));
    let links: Value = serde_json::from_str(&text).expect("JSON");
    links[0].clone()
}

fn leases(cluster: &Cluster) -> usize {
    std::fs::read_dir(cluster.dir().join("store/subnets")).map_or(0, Iterator::count)
}

/// A peer that is no node of ours.
fn put_peer(cluster: &Cluster, key: &str, public_ip: &str) {
    let lease = format!(r#"{{"PublicIP":"{public_ip}","PublicIPv6":null,"BackendType":"ipip"}}"#);
    let file = cluster.lease_file(key);
    std::fs::create_dir_all(file.parent().expect("directory")).expect("directory");
    std::fs::write(file, lease).expect("lease");
}

/// Waits until exactly these routes of netd's are there.
fn wait_routes(cluster: &Cluster, n: u8, expected: &[String]) {
    let mut expected = expected.to_vec();
    expected.sort();
    let mut seen = Vec::new();
    wait_for(&format!("routes {expected:#?}"), || {
        seen = cluster.routes(n);
        seen == expected
    });
}

fn tunnel_route(cluster: &Cluster, peer: u8) -> String {
    let subnet = cluster.subnet(peer);
    format!("{subnet} via 192.168.50.{peer} dev flannel.ipip onlink")
}

fn assert_flannels_device(n: u8) {
    let device = link(n, "flannel.ipip");
    let info = json!({ "info_kind": "ipip", "info_data": { "proto": "any", "remote": "any",
        "local": format!("192.168.50.{n}"), "ttl": 0, "pmtudisc": false } });
    assert_eq!(device["linkinfo"], info);
    assert_eq!(device["flags"], json!(["NOARP", "UP", "LOWER_UP"]));
    assert_eq!(
        (&device["mtu"], &device["link"]),
        (&json!(1480), &Value::Null)
    );
    assert_eq!(device["txqlen"], Value::Null);
}

#[test]
fn nodes_reach_each_other_through_flannels_device() {
    let Some(cluster) = cluster(IPIP, 2) else {
        return;
    };
    let fallback = || sh("ip -n n1 -d link show tunl0; ip -n n1 addr show tunl0");
    let before = fallback();
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    for (n, peer) in [(1, 2), (2, 1)] {
        wait_routes(&cluster, n, &[tunnel_route(&cluster, peer)]);
        add_bridge(&cluster, n, false);
        assert_flannels_device(n);
        let own = cluster.subnet(n).replace("/24", "/32");
        let addresses = sh(&format!("ip -n n{n} -4 -br addr show dev flannel.ipip"));
        assert_eq!(addresses.split_whitespace().last(), Some(own.as_str()));
        let lease = cluster.lease_file(&cluster.subnet(n).replace('/', "-"));
        let lease = std::fs::read_to_string(lease).expect("lease");
        let expected =
            format!(r#"{{"PublicIP":"192.168.50.{n}","PublicIPv6":null,"BackendType":"ipip"}}"#);
        assert_eq!(lease.trim(), expected);
        assert_eq!(cluster.env(n, "FLANNEL_MTU").as_deref(), Some("1480"));
    }
    ping(&cluster, 1, 2, "FLANNEL_SUBNET");
    ping(&cluster, 2, 1, "FLANNEL_SUBNET");
    let target = cluster.env(2, "FLANNEL_SUBNET").expect("subnet");
    let target = target.trim_end_matches("/24");
    sh(&format!(
        "ip netns exec n1 ping -c1 -W5 -M do -s 1452 {target}"
    ));
    assert_eq!(fallback(), before, "tunl0 is nobody's");
    let status = cluster.status(1).expect("status");
    assert_eq!(problems(&status), Vec::<String>::new());
}

#[test]
fn direct_routing_goes_past_the_tunnel_on_the_same_link_only() {
    let Some(cluster) = cluster(DIRECT, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    put_peer(&cluster, "10.100.0.0-24", "192.168.60.9");
    let near = format!("{} via 192.168.50.2 dev eth0 onlink", cluster.subnet(2));
    let far = "10.100.0.0/24 via 192.168.60.9 dev flannel.ipip onlink".to_owned();
    wait_routes(&cluster, 1, &[near.clone(), far]);
    for n in [1, 2] {
        add_bridge(&cluster, n, false);
    }
    ping(&cluster, 1, 2, "FLANNEL_SUBNET");
    assert_eq!(cluster.env(1, "FLANNEL_MTU").as_deref(), Some("1480"));
    std::fs::remove_file(cluster.lease_file("10.100.0.0-24")).expect("lease");
    wait_routes(&cluster, 1, &[near]);
}

#[test]
fn what_is_removed_or_changed_by_hand_comes_back() {
    let Some(cluster) = cluster(IPIP, 2) else {
        return;
    };
    let (netd, _other) = (cluster.start(1, &[]), cluster.start(2, &[]));
    let routes = [tunnel_route(&cluster, 2)];
    wait_routes(&cluster, 1, &routes);
    let subnet = cluster.subnet(2);
    let shape = || {
        let link = sh("ip -n n1 -d link show dev flannel.ipip | sed 's/^[0-9]*: //'");
        let addresses = sh("ip -n n1 -4 -br addr show dev flannel.ipip || true");
        (link, addresses, cluster.routes(1))
    };
    let before = shape();
    let index = || link(1, "flannel.ipip")["ifindex"].clone();
    let first = index();
    for (commands, kept) in [
        (format!("ip route del {subnet}"), true),
        (
            format!("ip route replace {subnet} via 192.168.50.254"),
            true,
        ),
        ("ip -4 addr flush dev flannel.ipip".to_owned(), true),
        ("ip link set flannel.ipip mtu 1300".to_owned(), true),
        ("ip link set flannel.ipip down".to_owned(), true),
        (
            "ip link set flannel.ipip down; ip link set flannel.ipip name strange0 up".to_owned(),
            true,
        ),
        (
            "ip link change flannel.ipip type ipip local 10.9.9.9".to_owned(),
            false,
        ),
        ("ip link del flannel.ipip".to_owned(), false),
    ] {
        let was = index();
        // All of it happens before netd hears of any.
        netd.signal("STOP");
        sh(&format!("ip netns exec n1 sh -ec '{commands}'"));
        netd.signal("CONT");
        wait_long(&format!("all to be as before {commands}"), || {
            shape() == before
        });
        assert_eq!(index() == was, kept, "{commands}");
    }
    assert_ne!(index(), first);
    let repaired = &cluster.status(1).expect("status")["datapath"]["repairs"];
    assert!(
        repaired.as_u64().is_some_and(|count| count >= 8),
        "{repaired}"
    );
}

/// What flanneld leaves: a device without a mark, and routes of protocol boot.
#[test]
fn flannelds_datapath_is_taken_over_and_stays() {
    let Some(cluster) = cluster(IPIP, 1) else {
        return;
    };
    put_peer(&cluster, "10.100.63.0-24", "192.168.50.2");
    sh(
        "ip -n n1 link add flannel.ipip mtu 1400 type ipip local 192.168.50.1 ttl 64
        ip -n n1 addr add 10.100.9.9/32 dev flannel.ipip
        ip -n n1 addr add 10.77.0.1/32 dev flannel.ipip
        ip -n n1 link set flannel.ipip up
        ip -n n1 route add 10.100.63.0/24 via 192.168.50.2 dev flannel.ipip onlink
        ip -n n1 route add 10.100.64.0/24 via 192.168.50.3 dev flannel.ipip onlink
        ip -n n1 route add 172.16.0.0/16 via 192.168.50.3 dev flannel.ipip onlink",
    );
    let before = link(1, "flannel.ipip");
    let netd = cluster.start(1, &[]);
    let route = "10.100.63.0/24 via 192.168.50.2 dev flannel.ipip onlink".to_owned();
    wait_routes(&cluster, 1, &[route]);
    let others = sh("ip -n n1 route show proto boot dev flannel.ipip");
    assert_eq!(
        others.trim(),
        "172.16.0.0/16 via 192.168.50.3 onlink",
        "a peer that left has no route, somebody else's stays"
    );
    let state = || (link(1, "flannel.ipip"), cluster.routes(1));
    let device = link(1, "flannel.ipip");
    assert_eq!(device["ifindex"], before["ifindex"]);
    assert_eq!(
        device["linkinfo"], before["linkinfo"],
        "its hop limit stays"
    );
    assert_eq!(device["mtu"], 1480);
    let own = cluster.subnet(1).replace("/24", "/32");
    let addresses =
        sh("ip -n n1 -4 -o addr show dev flannel.ipip | sed 's/.*inet //; s/ .*//' | sort");
    let mut expected = ["10.77.0.1/32".to_owned(), own];
    expected.sort();
    assert_eq!(addresses.lines().collect::<Vec<_>>(), expected);
    let before = state();
    netd.stop("KILL");
    assert_eq!(state(), before, "netd's end takes nothing down");
    let _netd = cluster.start(1, &[]);
    assert_eq!(state(), before, "nor does its start");
}

#[test]
fn a_device_of_another_address_is_made_anew() {
    for other in ["local 10.9.9.9", "local 192.168.50.1 remote 192.168.50.77"] {
        let made_anew = move || {
            let Some(cluster) = cluster(IPIP, 1) else {
                return;
            };
            sh(&format!("ip -n n1 link add flannel.ipip type ipip {other}"));
            let before = link(1, "flannel.ipip");
            let _netd = cluster.start(1, &[]);
            assert_flannels_device(1);
            assert_ne!(link(1, "flannel.ipip")["ifindex"], before["ifindex"]);
        };
        std::thread::spawn(made_anew).join().expect(other);
    }
}

#[test]
fn devices_of_somebody_elses_stay_and_are_named_before_a_lease_is_taken() {
    let Some(cluster) = cluster(IPIP, 1) else {
        return;
    };
    for (device, told) in [
        (
            "flannel.ipip type dummy",
            "flannel.ipip is there, of kind dummy and not ipip: if nobody needs it, remove it (ip \
             link delete flannel.ipip), and netd makes its own",
        ),
        (
            "flannel.ipip type sit local 192.168.50.1",
            "flannel.ipip is there, of kind sit and not ipip",
        ),
        (
            "mytun type ipip local 192.168.50.1",
            "cannot create flannel.ipip: the device mytun is of kind ipip too, with the local \
             address 192.168.50.1 and no remote, so that the kernel cannot tell them apart",
        ),
        (
            "mytun type ipip local 192.168.50.1 dev eth0",
            "the device mytun is of kind ipip too",
        ),
    ] {
        sh(&format!("ip -n n1 link add {device}"));
        let before = sh("ip -n n1 -d link; ip -n n1 route");
        let output = cluster
            .command(1, &["-store", "dir"])
            .status()
            .expect("netd");
        assert_eq!(output.code(), Some(1), "{device}");
        let log = cluster.log(1);
        assert!(log.contains(told), "{device}: {log}");
        assert_eq!(sh("ip -n n1 -d link; ip -n n1 route"), before, "{device}");
        assert_eq!(leases(&cluster), 0, "{device}");
        let name = device.split(' ').next().expect("name");
        sh(&format!("ip -n n1 link del {name}"));
    }
    sh("ip -n n1 link add mytun type ipip local 192.168.50.1 remote 192.168.50.77");
    let _netd = cluster.start(1, &[]);
    assert_flannels_device(1);
}

#[test]
fn a_kernel_without_ipip_is_told_before_a_lease_is_taken() {
    let Some(cluster) = Cluster::new(IPIP, 1) else {
        return;
    };
    if has_kind(&IPIP_DEVICE) {
        eprintln!("skipped: this kernel has ipip");
        return;
    }
    let before = sh("ip -n n1 -d link; ip -n n1 route");
    let ended = cluster
        .command(1, &["-store", "dir"])
        .status()
        .expect("netd");
    assert_eq!(ended.code(), Some(1));
    let log = cluster.log(1);
    let told = "cannot create flannel.ipip: this kernel has no devices of kind ipip; load its module \
                (modprobe ipip), run a kernel that has it, as Debian's have, or use the backend host-gw";
    assert!(log.contains(told), "{log}");
    assert_eq!(leases(&cluster), 0);
    assert_eq!(sh("ip -n n1 -d link; ip -n n1 route"), before);
}
