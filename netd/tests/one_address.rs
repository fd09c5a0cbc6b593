//! Two nodes with one public address: each says who the other is, and they do not write for ever.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use std::time::Duration;

use nodes::{Cluster, VXLAN, problems, sh, wait_for};

#[test]
fn nodes_with_one_public_address_say_who_they_are_and_slow_down() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let arguments = ["-public-ip", "192.168.50.77"];
    let _first = cluster.start(1, &arguments);
    let _second = cluster.start(2, &arguments);
    let macs = [1, 2].map(|n| {
        let link = sh(&format!("ip -n n{n} -o link show flannel.1"));
        let (_, rest) = link.split_once("link/ether ").expect("MAC");
        rest[..17].to_owned()
    });
    for n in [1, 2] {
        wait_for("the fight in the status", || {
            let status = cluster.status(n).expect("status");
            let told = problems(&status);
            let named = |what: &&String| what.starts_with("two nodes write the lease of ");
            let Some(fight) = told.iter().find(named) else {
                return false;
            };
            assert!(
                fight.contains("both have the public address 192.168.50.77"),
                "{fight}"
            );
            status["level"] == "degraded" && macs.iter().all(|mac| fight.contains(mac))
        });
    }
    let writes = || cluster.status(1).expect("status")["lease"]["foreign_writes"].as_u64();
    let before = writes().expect("number");
    std::thread::sleep(Duration::from_secs(5));
    let after = writes().expect("number");
    assert!(
        after <= before + 1,
        "from {before} to {after} in five seconds"
    );
}
