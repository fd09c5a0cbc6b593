//! netd and an external interface that changes while it runs: where flanneld would need a restart.
#![allow(
    clippy::expect_used,
    reason = "a test may panic and tell what it measured"
)]

mod nodes;

use nodes::{Cluster, DUAL_HOST_GW, DUAL_VXLAN, HOST_GW, VXLAN, problems, sh, wait_for};

/// The lease of node 1, which keeps its key whatever happens to the node's address.
fn lease(cluster: &Cluster) -> String {
    let key = cluster.subnet(1).replace('/', "-");
    let lease = std::fs::read_dir(cluster.dir().join("store/subnets")).expect("leases");
    let named = lease
        .map(|entry| entry.expect("entry").path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&key))
        });
    std::fs::read_to_string(named.expect("lease of node 1")).expect("lease")
}

fn is_ready(cluster: &Cluster) -> bool {
    cluster
        .status(1)
        .is_some_and(|status| status["ready"] == true)
}

/// Node 1 says of its interface that something is wrong with it.
fn wait_not_ready(cluster: &Cluster) {
    // What vanishes with the interface may be missed before it.
    wait_for("node 1 to be not ready for want of eth0", || {
        let status = cluster.status(1).expect("status");
        status["ready"] == false && problems(&status).join(" ").contains("eth0")
    });
}

/// Both nodes can use what netd made: the bridges' addresses answer.
fn wait_reachable(cluster: &Cluster) {
    let target = cluster.env(2, "FLANNEL_SUBNET").expect("subnet");
    let target = target.split('/').next().expect("address").to_owned();
    wait_for("node 2's bridge to answer node 1's", || {
        let source = cluster.env(1, "FLANNEL_SUBNET").expect("subnet");
        let source = source.split('/').next().expect("address").to_owned();
        let mut ping = nodes::program("ip");
        ping.args([
            "netns", "exec", "n1", "ping", "-c1", "-W1", "-I", &source, &target,
        ]);
        ping.output().expect("ping").status.success()
    });
}

fn add_bridges(cluster: &Cluster) {
    for n in [1, 2] {
        let first = cluster.env(n, "FLANNEL_SUBNET").expect("subnet");
        sh(&format!(
            "ip -n n{n} link add cni0 up type bridge; ip -n n{n} addr add {first} dev cni0"
        ));
    }
}

#[test]
fn another_address_moves_the_lease_and_the_device() {
    for config in [VXLAN, HOST_GW] {
        std::thread::spawn(move || another_address(config))
            .join()
            .expect(config);
    }
}

fn another_address(config: &str) {
    let Some(cluster) = Cluster::new(config, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    add_bridges(&cluster);
    wait_reachable(&cluster);
    let before = lease(&cluster);
    assert!(before.contains("192.168.50.1\""), "{before}");
    sh("ip -n n1 addr del 192.168.50.1/24 dev eth0");
    wait_not_ready(&cluster);
    sh("ip -n n1 addr add 192.168.50.77/24 dev eth0");
    wait_for("the lease to have the new address", || {
        lease(&cluster) == before.replace("192.168.50.1\"", "192.168.50.77\"")
    });
    wait_for("node 1 to be ready again", || is_ready(&cluster));
    wait_reachable(&cluster);
    let status = cluster.status(1).expect("status");
    assert_eq!(status["interface"]["addresses"][0], "192.168.50.77");
    if config == VXLAN {
        let device = sh("ip -n n1 -d link show flannel.1");
        assert!(device.contains("local 192.168.50.77"), "{device}");
    }
}

#[test]
fn both_families_follow() {
    for config in [DUAL_VXLAN, DUAL_HOST_GW] {
        std::thread::spawn(move || both_families(config))
            .join()
            .expect(config);
    }
}

fn both_families(config: &str) {
    let Some(cluster) = Cluster::new(config, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    sh("ip -n n1 addr del fd00:50::1/64 dev eth0");
    wait_not_ready(&cluster);
    sh("ip -n n1 addr add fd00:50::77/64 dev eth0 nodad");
    wait_for("the lease to have the new address", || {
        let lease = lease(&cluster);
        lease.contains("fd00:50::77") && lease.contains("192.168.50.1\"")
    });
    wait_for("node 1 to be ready again", || is_ready(&cluster));
}

/// DHCP clients take the address away and give it back when they renew its lease.
#[test]
fn an_address_that_comes_back_changes_nothing() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    // Another address, which would fit as well.
    sh("ip -n n1 addr add 192.168.50.200/32 dev eth0");
    let _running = cluster.start(1, &[]);
    let before = (lease(&cluster), sh("ip -n n1 -o link show flannel.1"));
    for _ in 0..5 {
        sh("ip -n n1 addr del 192.168.50.1/24 dev eth0");
        wait_not_ready(&cluster);
        sh("ip -n n1 addr add 192.168.50.1/24 dev eth0");
        wait_for("node 1 to be ready again", || is_ready(&cluster));
    }
    assert_eq!(
        before,
        (lease(&cluster), sh("ip -n n1 -o link show flannel.1"))
    );
}

#[test]
fn a_public_address_that_was_given_stays() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let _running = cluster.start(1, &["-public-ip", "203.0.113.9"]);
    sh("ip -n n1 addr del 192.168.50.1/24 dev eth0
        ip -n n1 addr add 192.168.50.77/24 dev eth0");
    wait_for("the device to have the new address", || {
        sh("ip -n n1 -d link show dev flannel.1 || true").contains("local 192.168.50.77")
    });
    wait_for("node 1 to be ready again", || is_ready(&cluster));
    assert!(lease(&cluster).contains("203.0.113.9"));
}

#[test]
fn another_name_is_the_same_interface() {
    for config in [VXLAN, HOST_GW] {
        std::thread::spawn(move || another_name(config))
            .join()
            .expect(config);
    }
}

fn another_name(config: &str) {
    let Some(cluster) = Cluster::new(config, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    add_bridges(&cluster);
    sh("ip -n n1 link set eth0 down; ip -n n1 link set eth0 name ens3; ip -n n1 link set ens3 up");
    wait_reachable(&cluster);
    wait_for("status to have the new name", || {
        let status = cluster.status(1).expect("status");
        status["interface"]["name"] == "ens3" && status["ready"] == true
    });
}

/// What is made while the node forwards would take neither address nor default route from routers.
#[test]
fn a_link_made_anew_hears_routers_as_the_one_before_did() {
    for (before, anew) in [("1", "2"), ("0", "1")] {
        std::thread::spawn(move || link_made_anew(before, anew))
            .join()
            .expect(before);
    }
}

fn link_made_anew(before: &str, anew: &str) {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 1) else {
        return;
    };
    let sysctl = |what: &str| sh(&format!("ip netns exec n1 sysctl -n {what}"));
    sh(&format!(
        "ip netns exec n1 sysctl -qw net.ipv6.conf.eth0.accept_ra={before}"
    ));
    let _running = cluster.start(1, &[]);
    sh("ip netns exec n1 sysctl -qw net.ipv6.conf.all.forwarding=1
        ip -n n1 link del eth0");
    wait_not_ready(&cluster);
    sh("ip link add v1 type veth peer name eth0 netns n1
        ip link set v1 master br0 up
        ip -n n1 addr add 192.168.50.1/24 dev eth0
        ip -n n1 addr add fd00:50::1/64 dev eth0 nodad
        ip -n n1 link set eth0 up");
    wait_for("node 1 to be ready again", || is_ready(&cluster));
    assert_eq!(sysctl("net.ipv6.conf.eth0.accept_ra").trim(), anew);
}

#[test]
fn another_mtu_reaches_device_subnet_file_and_status() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    for (mtu, inner) in [(1400, 1350), (1500, 1450)] {
        sh(&format!("ip -n n1 link set eth0 mtu {mtu}"));
        wait_for(&format!("MTU {inner} for pods"), || {
            let device = sh("ip -n n1 link show flannel.1");
            device.contains(&format!("mtu {inner} "))
                && cluster.env(1, "FLANNEL_MTU") == Some(inner.to_string())
                && cluster.status(1).expect("status")["mtu"] == inner
        });
    }
}
