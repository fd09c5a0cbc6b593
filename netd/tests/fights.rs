//! What somebody does to netd's objects, once or again and again: it comes back, and nothing else
//! waits for it.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test may panic")]

mod nodes;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nodes::{Cluster, DUAL_VXLAN, VXLAN, sh, wait_for};

fn has_route(dst: &str) -> bool {
    sh(&format!("ip -n n1 route show {dst} proto 112")).contains(dst)
}

/// Ends the thread also when the test fails.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Deletes `dst` as soon as it is there, until told to stop, and counts.
fn delete_for_ever(dst: &str, deleted: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let done = sh(&format!(
            "ip -n n1 route del {dst} 2>/dev/null && echo y || true"
        ));
        deleted.fetch_add(usize::from(done.contains('y')), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// After so many repairs of one object the next has to wait for about a second.
const SLOW: usize = 25;
/// So many repairs of the other object are no fight yet.
const OTHERS: usize = 12;

#[test]
fn a_fight_over_one_route_delays_no_other() {
    let Some(cluster) = Cluster::new(VXLAN, 3) else {
        return;
    };
    let _running = [1, 2, 3].map(|n| cluster.start(n, &[]));
    let (fought, other) = (cluster.subnet(2), cluster.subnet(3));
    wait_for("both routes", || has_route(&fought) && has_route(&other));
    let (deleted, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let stopping = Stopping(&stop);
        scope.spawn(|| delete_for_ever(&fought, &deleted, &stop));
        wait_for("netd to see a fight", || {
            let status = cluster.status(1).expect("status");
            status["problems"].to_string().contains("again and again")
        });
        wait_for("the fight to be slow", || {
            deleted.load(Ordering::Relaxed) > SLOW
        });
        let before = deleted.load(Ordering::Relaxed);
        let mut delays: Vec<Duration> = (0..OTHERS).map(|_| time_of_repair(&other)).collect();
        let meanwhile = deleted.load(Ordering::Relaxed) - before;
        drop(stopping);
        delays.sort();
        println!("the other route was back after {delays:?}");
        // With one pause for both they would have come back equally often.
        assert!(
            meanwhile < OTHERS / 2,
            "the fought route came back {meanwhile} times"
        );
    });
    wait_for("the fought route", || has_route(&fought));
    wait_for("the fight to be over", || {
        let status = cluster.status(1).expect("status");
        !status["problems"].to_string().contains("again and again")
    });
}

fn time_of_repair(dst: &str) -> Duration {
    sh(&format!("ip -n n1 route del {dst}"));
    let start = Instant::now();
    wait_for("the other route", || has_route(dst));
    start.elapsed()
}

#[test]
fn a_renamed_device_gets_its_name_back_and_keeps_its_packets() {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    let shape = || sh("ip -n n1 -o link show type vxlan | cut -d' ' -f1,2,16- | sort");
    let index = || sh("ip -n n1 -o link show type vxlan | cut -d: -f1 | sort");
    let routes = || cluster.routes(1);
    wait_for("routes", || routes().len() == 2);
    let (before, devices, routed) = (index(), shape(), routes());
    for name in ["flannel.1", "flannel-v6.1"] {
        // Some kernels rename a link only while it is down.
        sh(&format!(
            "ip -n n1 link set {name} name strange0 2>/dev/null ||
             {{ ip -n n1 link set {name} down; ip -n n1 link set {name} name strange0 up; }}"
        ));
        wait_for(&format!("{name} to have its name back"), || {
            index() == before && shape() == devices && routes() == routed
        });
    }
    assert!(
        cluster.log(1).contains("gets its name back"),
        "{}",
        cluster.log(1)
    );
    assert_eq!(cluster.status(1).expect("status")["ready"], true);
}

#[test]
fn a_device_that_was_renamed_while_netd_was_away_is_known_by_the_lease() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let first = cluster.start(1, &[]);
    let _second = cluster.start(2, &[]);
    wait_for("the route", || cluster.routes(1).len() == 1);
    let device = || sh("ip -n n1 -o link show dev flannel.1 | cut -d' ' -f1,2,16-");
    let (before, routes) = (device(), cluster.routes(1));
    first.stop("TERM");
    sh("ip -n n1 link set flannel.1 down; ip -n n1 link set flannel.1 name strange0");
    let _first = cluster.start(1, &[]);
    wait_for("the route again", || cluster.routes(1) == routes);
    assert_eq!(device(), before, "the same device under its own name");
}

#[test]
fn ipv6_that_is_disabled_on_our_device_is_enabled_again() {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    let state = || {
        let addresses = sh("ip -n n1 -6 addr show dev flannel-v6.1 scope global");
        let neighbours = sh("ip -n n1 -6 neigh show dev flannel-v6.1 nud permanent");
        (cluster.routes(1), addresses, neighbours)
    };
    wait_for("routes", || state().0.len() == 2);
    let before = state();
    sh("ip netns exec n1 sysctl -qw net.ipv6.conf.flannel-v6/1.disable_ipv6=1");
    wait_for("everything to come back", || state() == before);
    let disabled = sh("ip netns exec n1 sysctl -n net.ipv6.conf.flannel-v6/1.disable_ipv6");
    assert_eq!(disabled.trim(), "0");
}
