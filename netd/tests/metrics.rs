//! promtool's opinion of a running netd's metrics.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use nodes::{Cluster, VXLAN, sh};

#[test]
#[ignore = "needs promtool, a large package: make check-metrics"]
fn promtool_has_nothing_to_say() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    let other = r#"{"PublicIP":"192.168.50.9","BackendType":"host-gw"}"#;
    std::fs::write(cluster.lease_file("10.100.241.0-24"), other).expect("write");
    nodes::wait_for("a reason", || {
        cluster.status(1).expect("status")["peers"]["unserved"] == 1
    });
    let socket = cluster.dir().join("n1.sock");
    sh(&format!(
        "curl -sS --unix-socket {} http://netd/metrics | promtool check metrics",
        socket.display()
    ));
}
