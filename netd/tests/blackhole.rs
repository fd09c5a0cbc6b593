//! `-ip-blackhole-route`: what no pod's route reaches is dropped, and nothing else.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use nodes::{Cluster, DUAL_HOST_GW, sh, wait_for};

const ALL: &str = "ip -n n1 route; ip -n n1 -6 route";

#[test]
fn the_own_subnets_are_dropped_where_no_bridge_owns_them() {
    let Some(cluster) = Cluster::new(DUAL_HOST_GW, 1) else {
        return;
    };
    cluster.start(1, &[]).stop("TERM");
    let subnets = [cluster.subnet(1), cluster.v6_subnet(1)];
    let is_there = |subnet: &String| {
        let (start, ours) = (
            format!("blackhole {subnet} "),
            "proto 112 metric 4294967295",
        );
        let is_ours = |route: &str| route.starts_with(&start) && route.contains(ours);
        sh(ALL).lines().any(is_ours)
    };
    let are_there = || subnets.iter().all(is_there);
    // Flannel's has the smallest metric, and would go before a bridge's made later.
    sh(&format!(
        "ip -n n1 route add blackhole {}; ip -n n1 route add blackhole 10.99.0.0/16",
        subnets[0]
    ));

    let netd = cluster.start(1, &["-ip-blackhole-route"]);
    wait_for("the blackholes of both subnets", are_there);
    wait_for("flannel's route to go", || {
        let routes = sh(ALL);
        !routes.contains(&format!("blackhole {} \n", subnets[0]))
    });
    assert!(sh(ALL).contains("blackhole 10.99.0.0/16"), "{}", sh(ALL));

    let first = cluster.env(1, "FLANNEL_SUBNET").expect("subnet");
    let address = first.trim_end_matches("/24");
    let lookup = |address: &str| {
        let mut ip = nodes::program("ip");
        ip.args(["-n", "n1", "route", "get", address]);
        ip.output().expect("ip").status.success()
    };
    assert!(!lookup(address), "dropped before there is a bridge");
    sh(&format!(
        "ip -n n1 link add cni0 up type bridge; ip -n n1 addr add {first} dev cni0"
    ));
    assert!(lookup(address), "the bridge's route goes before it");

    for (family, subnet) in ["-4", "-6"].iter().zip(&subnets) {
        sh(&format!("ip -n n1 {family} route del blackhole {subnet}"));
        wait_for(
            &format!("the blackhole of {subnet} to come back"),
            are_there,
        );
    }

    netd.stop("TERM");
    assert!(are_there(), "stopping leaves it");
    let _without = cluster.start(1, &[]);
    wait_for("both to go", || {
        let routes = sh(ALL);
        !routes.contains("proto 112") && routes.contains("blackhole 10.99.0.0/16")
    });
}
