//! Leases that cannot be right: nothing of them reaches the kernel, and the status names each.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use nodes::{Cluster, DUAL_HOST_GW, DUAL_VXLAN, problems, sh, wait_for};

/// Key, public addresses, VTEP MAC (`OWN` is this node's), and what the status says.
const BAD: &[(&str, &str, &str, &str, &str)] = &[
    (
        "8.8.8.0-24",
        "192.168.50.9",
        "null",
        "02:00:00:00:00:88",
        "outside the network",
    ),
    (
        "10.100.0.0-16",
        "192.168.50.9",
        "null",
        "02:00:00:00:00:88",
        "wider than a node's",
    ),
    (
        "192.168.50.0-25",
        "192.168.50.9",
        "null",
        "02:00:00:00:00:88",
        "outside the network",
    ),
    (
        "HALF-25",
        "192.168.50.9",
        "null",
        "02:00:00:00:00:88",
        "this node's own subnet",
    ),
    (
        "10.100.241.0-24",
        "224.0.0.1",
        "null",
        "02:00:00:00:00:88",
        "a multicast address",
    ),
    (
        "10.100.242.0-24",
        "127.0.0.1",
        "null",
        "02:00:00:00:00:88",
        "a loopback address",
    ),
    (
        "10.100.243.0-24",
        "192.168.50.1",
        "null",
        "02:00:00:00:00:88",
        "this node's own",
    ),
    (
        "0.0.0.0-0&2001:db8:8::-64",
        "0.0.0.0",
        "\"fd00:50::9\"",
        "02:00:00:00:00:88",
        "outside the network",
    ),
    (
        "0.0.0.0-0&fd00:100::-48",
        "0.0.0.0",
        "\"fd00:50::9\"",
        "02:00:00:00:00:88",
        "wider than a node's",
    ),
    (
        "0.0.0.0-0&fd00:100:0:f1::-64",
        "0.0.0.0",
        "\"ff02::1\"",
        "02:00:00:00:00:88",
        "a multicast address",
    ),
    (
        "0.0.0.0-0&fd00:100:0:f2::-64",
        "0.0.0.0",
        "\"::1\"",
        "02:00:00:00:00:88",
        "a loopback address",
    ),
    (
        "0.0.0.0-0&fd00:100:0:f3::-64",
        "0.0.0.0",
        "\"fd00:50::1\"",
        "02:00:00:00:00:88",
        "this node's own",
    ),
];

const BAD_MACS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "10.100.244.0-24",
        "192.168.50.9",
        "null",
        "OWN",
        "this node's own",
    ),
    (
        "10.100.245.0-24",
        "192.168.50.9",
        "null",
        "ff:ff:ff:ff:ff:ff",
        "the broadcast address",
    ),
    (
        "10.100.246.0-24",
        "192.168.50.9",
        "null",
        "00:00:00:00:00:00",
        "zero",
    ),
    (
        "10.100.247.0-24",
        "192.168.50.9",
        "null",
        "01:00:5e:00:00:01",
        "a multicast address",
    ),
    (
        "0.0.0.0-0&fd00:100:0:f4::-64",
        "0.0.0.0",
        "\"fd00:50::9\"",
        "OWN6",
        "this node's own",
    ),
    (
        "0.0.0.0-0&fd00:100:0:f5::-64",
        "0.0.0.0",
        "\"fd00:50::9\"",
        "00:00:00:00:00:00",
        "zero",
    ),
];

fn kernel_state() -> String {
    sh("ip -n n1 route; ip -n n1 -6 route; ip -n n1 neigh show nud permanent; bridge -n n1 fdb")
}

fn mac(device: &str) -> String {
    let found = sh(&format!(
        "ip netns exec n1 ip -o link show {device} | sed 's/.*ether \\([^ ]*\\).*/\\1/'"
    ));
    found.trim().to_owned()
}

fn try_each(cluster: &Cluster, backend: &str, leases: &[(&str, &str, &str, &str, &str)]) {
    let before = kernel_state();
    let half = cluster.subnet(1).replace(".0/24", ".128");
    for (key, v4, v6, mac_text, why) in leases {
        let key = key.replace("HALF", &half);
        let mac_text = match *mac_text {
            "OWN" => mac("flannel.1"),
            "OWN6" => mac("flannel-v6.1"),
            text => text.to_owned(),
        };
        let value = format!(
            r#"{{"PublicIP":"{v4}","PublicIPv6":{v6},"BackendType":"{backend}",
                "BackendData":{{"VNI":1,"VtepMAC":"{mac_text}"}},
                "BackendV6Data":{{"VNI":1,"VtepMAC":"{mac_text}"}}}}"#
        );
        std::fs::write(cluster.lease_file(&key), value).expect("lease");
        let subnet = key.rsplit('&').next().expect("subnet");
        let (address, length) = subnet.rsplit_once('-').expect("length");
        wait_for(&format!("{key} in the status"), || {
            let status = cluster.status(1).expect("status");
            let named = |what: &String| {
                what.starts_with(&format!("{address}/{length} is not served")) && what.contains(why)
            };
            status["level"] == "degraded"
                && status["peers"]["unserved"] == 1
                && problems(&status).iter().any(named)
        });
        assert_eq!(kernel_state(), before, "{key} reached the kernel");
        std::fs::remove_file(cluster.lease_file(&key)).expect("remove");
        wait_for("all to be well again", || {
            cluster.status(1).expect("status")["level"] == "ready"
        });
    }
}

#[test]
fn vxlan_serves_none_of_them() {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    try_each(&cluster, "vxlan", BAD);
    try_each(&cluster, "vxlan", BAD_MACS);
}

#[test]
fn host_gw_serves_none_of_them() {
    let Some(cluster) = Cluster::new(DUAL_HOST_GW, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    try_each(&cluster, "host-gw", BAD);
}

#[test]
fn two_nodes_serve_the_same_one_of_two_that_overlap() {
    let config = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"vxlan"}}"#;
    let Some(cluster) = Cluster::new(config, 2) else {
        return;
    };
    let lease = |n: u8| {
        format!(
            r#"{{"PublicIP":"192.168.50.{n}","PublicIPv6":null,"BackendType":"vxlan",
                "BackendData":{{"VNI":1,"VtepMAC":"02:00:00:00:00:{n}"}}}}"#
        )
    };
    std::fs::create_dir_all(cluster.dir().join("store/subnets")).expect("store");
    std::fs::write(cluster.lease_file("10.100.250.0-25"), lease(71)).expect("lease");
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    std::fs::write(cluster.lease_file("10.100.250.0-24"), lease(72)).expect("lease");
    for n in [1, 2] {
        wait_for("the usual one to be served", || {
            let routes = cluster.routes(n);
            let served = |subnet: &str| routes.iter().any(|route| route.starts_with(subnet));
            served("10.100.250.0/24 ") && !served("10.100.250.0/25 ")
        });
        let status = cluster.status(n).expect("status");
        let what = "10.100.250.0/25 is not served: it overlaps 10.100.250.0/24 of another lease";
        assert_eq!(problems(&status), [what]);
    }
}
