//! Probes between daemons name what a path does to packets.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use std::net::UdpSocket;
use std::time::Duration;

use nodes::{Cluster, DUAL_HOST_GW, DUAL_VXLAN, VXLAN, problems, sh, wait_for, wait_long};

const PROBES: [&str; 2] = ["-probe-interval", "200ms"];

/// What node `n` says of each subnet of its peers.
fn reached(cluster: &Cluster, n: u8) -> Vec<String> {
    let status = cluster.status(n).expect("status");
    let nodes = status["peers"]["nodes"].as_array().expect("nodes");
    let reach = nodes
        .iter()
        .flat_map(|node| node["reach"].as_array().expect("reach"));
    reach
        .map(|reach| reach["state"].as_str().expect("state").to_owned())
        .collect()
}

fn wait_reached(what: &str, cluster: &Cluster, n: u8, expected: &[&str]) {
    wait_long(what, || reached(cluster, n) == expected);
}

fn told(cluster: &Cluster, n: u8, what: &str) {
    wait_for(what, || {
        let status = cluster.status(n).expect("status");
        problems(&status).iter().any(|told| told.contains(what))
    });
}

#[test]
fn paths_of_both_families_are_probed_with_and_without_a_tunnel() {
    for config in [DUAL_VXLAN, DUAL_HOST_GW] {
        let Some(cluster) = Cluster::new(config, 2) else {
            return;
        };
        let _running = [cluster.start(1, &PROBES), cluster.start(2, &PROBES)];
        for n in [1, 2] {
            wait_reached("both paths", &cluster, n, &["yes", "yes"]);
        }
        assert_eq!(cluster.status(1).expect("status")["level"], "ready");
        let metrics = sh(&format!(
            "curl -s --unix-socket {} http://netd/metrics",
            cluster.dir().join("n1.sock").display()
        ));
        for (subnet, name) in [
            (cluster.subnet(2), "netd_peer_reachable"),
            (cluster.v6_subnet(2), "netd_peer_reachable"),
        ] {
            let sample = format!("{name}{{subnet=\"{subnet}\"}} 1\n");
            assert!(metrics.contains(&sample), "{sample}{metrics}");
        }
    }
}

#[test]
fn what_a_path_loses_is_named() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let _first = cluster.start(1, &PROBES);
    let second = cluster.start(2, &PROBES);
    wait_reached("the path", &cluster, 1, &["yes"]);
    let filter = |rule: &str| {
        sh(&format!(
            "ip netns exec n2 nft 'add table inet t; delete table inet t; add table inet t
                add chain inet t c {{ type filter hook input priority 0; }}
                add rule inet t c ip saddr 192.168.50.1 udp dport 8472 {rule}'"
        ))
    };
    filter("meta length > 1400 drop");
    wait_reached("small packets", &cluster, 1, &["small-only"]);
    told(&cluster, 1, "packets of 1450 bytes to 10.100.");
    filter("drop");
    wait_reached("one direction", &cluster, 1, &["one-way"]);
    told(&cluster, 1, "in one direction only");
    wait_reached("the other end", &cluster, 2, &["no"]);
    filter("accept");
    wait_reached("the path again", &cluster, 1, &["yes"]);
    wait_for("all to be well", || {
        cluster.status(1).expect("status")["level"] == "ready"
    });
    second.stop("KILL");
    wait_reached("the end", &cluster, 1, &["no"]);
    told(&cluster, 1, "answers no probes any more");
}

#[test]
fn a_peer_without_probes_is_no_fault() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let _running = [cluster.start(1, &PROBES), cluster.start(2, &[])];
    wait_reached("silence", &cluster, 1, &["silent"]);
    told(&cluster, 1, "has never answered a probe");
    assert_eq!(cluster.status(1).expect("status")["level"], "ready");
    assert_eq!(reached(&cluster, 2), [""; 0]);
}

#[test]
fn strangers_get_no_answer_and_a_port_that_is_taken_is_told() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let _running = cluster.start(1, &PROBES);
    // A request as a netd sends it, from an address that is no peer's.
    let there = kernel::NetNs::open("/run/netns/n2").expect("namespace");
    let port = |port| {
        let socket = there.run(|| UdpSocket::bind(("0.0.0.0", port)));
        socket.expect("namespace").expect("socket")
    };
    let stranger = port(0);
    let mut request = *b"pwprobe\x01\x01\0\0\0AAAABBBBBBBBCCCCCCCC";
    let patience = Some(Duration::from_millis(500));
    stranger.set_read_timeout(patience).expect("patience");
    stranger
        .send_to(&request, "192.168.50.1:8475")
        .expect("sent");
    assert!(stranger.recv(&mut request).is_err(), "an answer");
    let second = cluster.spawn(2, &["-store", "dir"]);
    cluster.wait_ready(&second);
    let taken = sh("ip netns exec n1 ss -Hlnu 'sport = 8475' | wc -l");
    assert_eq!(taken.trim(), "1");
    second.stop("TERM");
    let holder = port(8475);
    let mut refused = cluster.spawn(2, &[&["-store", "dir"], &PROBES[..]].concat());
    assert_eq!(refused.child.wait().expect("netd").code(), Some(1));
    let log = cluster.log(2);
    assert!(
        log.contains("give another -probe-port on all nodes") && log.contains("in use"),
        "{log}"
    );
    drop(holder);
}
