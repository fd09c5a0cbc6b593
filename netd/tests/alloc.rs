//! The backend `alloc`: leases as flannel's, and nothing in the kernel.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use nodes::{Cluster, problems, sh, wait_for};

const ALLOC: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"alloc"}}"#;

#[test]
fn subnets_are_leased_and_nothing_is_made() {
    let Some(cluster) = Cluster::new(ALLOC, 2) else {
        return;
    };
    let state = || sh("ip -n n1 -d route; ip -n n1 -d link; ip netns exec n1 nft list ruleset");
    let before = state();
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    wait_for("the other node's lease", || {
        let status = cluster.status(1).expect("status");
        status["peers"]["known"] == 1
    });
    assert_eq!(state(), before);
    let status = cluster.status(1).expect("status");
    assert_eq!(problems(&status), Vec::<String>::new());

    let (subnet, other) = (cluster.subnet(1), cluster.subnet(2));
    assert_ne!(subnet, other);
    let lease = cluster.lease_file(&subnet.replace('/', "-"));
    let lease = std::fs::read_to_string(lease).expect("lease");
    assert_eq!(
        lease.trim(),
        r#"{"PublicIP":"192.168.50.1","PublicIPv6":null}"#
    );
    assert_eq!(cluster.env(1, "FLANNEL_MTU").as_deref(), Some("1500"));
}
