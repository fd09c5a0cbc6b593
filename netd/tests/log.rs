//! `-log-format`: the log for people, and for programs.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use nodes::{Cluster, VXLAN};
use serde_json::Value;

#[test]
fn each_line_of_the_log_is_an_object_when_asked_for() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    cluster.start(1, &["-log-format=json", "-v=4"]).stop("TERM");
    let log = cluster.log(1);
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let lease = lines
        .iter()
        .find(|line| line["message"] == "lease acquired");
    let lease = lease.expect("lease acquired");
    assert_eq!(lease["fields"]["subnets"], *cluster.subnet(1));
    assert_eq!(lease["level"], "info");
    assert!(log.starts_with("{\"time\":\"20"), "{log}");
    assert!(
        lines
            .iter()
            .any(|line| line["level"] == "trace" || line["level"] == "debug"),
        "{log}"
    );

    cluster.start(2, &[]).stop("TERM");
    assert!(
        cluster.log(2).contains(" INFO lease acquired subnets="),
        "{}",
        cluster.log(2)
    );
}
