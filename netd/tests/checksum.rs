//! Behind a NAT the kernel computes the checksums of packets in the tunnel, and stays at it.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use kernel::{NetNs, Netlink};
use nodes::{Cluster, VXLAN, wait_for};

fn device() -> (Netlink, kernel::IfName) {
    let ns = NetNs::open("/run/netns/n1").expect("namespace");
    let netlink = Netlink::open_in(&ns).expect("netlink");
    (netlink, "flannel.1".parse().expect("name"))
}

#[test]
fn checksums_are_the_kernels_where_they_must_be() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let offloads = || {
        let (netlink, name) = device();
        netlink.offloads_checksums(&name).expect("ask")
    };
    let set = |on| {
        let (netlink, name) = device();
        netlink.set_checksum_offload(&name, on).expect("set");
    };
    let told = || cluster.status(1).expect("status")["devices"][0]["checksum_offload"].clone();

    // Without a NAT it is the administrator's choice.
    let netd = cluster.start(1, &[]);
    assert_eq!((offloads(), told()), (true, true.into()));
    netd.stop("TERM");
    set(false);
    let netd = cluster.start(1, &[]);
    assert_eq!((offloads(), told()), (false, false.into()));
    netd.stop("TERM");
    set(true);

    let behind_nat = ["-public-ip", "192.0.2.77"];
    let netd = cluster.start(1, &behind_nat);
    assert_eq!((offloads(), told()), (false, false.into()));
    // Whoever switches it on again, and a device made anew.
    set(true);
    wait_for("checksums by the kernel again", || !offloads());
    let (netlink, name) = device();
    let before = netlink.link(&name).expect("ask").expect("link").index;
    netlink.delete_link(before).expect("delete");
    wait_for("another device", || {
        let link = netlink.link(&name).expect("ask");
        link.is_some_and(|link| link.index != before && link.up) && !offloads()
    });
    netd.stop("TERM");

    let kept = cluster.start(
        1,
        &[&behind_nat[..], &["-vxlan-checksum-offload=on"]].concat(),
    );
    assert_eq!((offloads(), told()), (true, true.into()));
    kept.stop("TERM");
    let off = cluster.start(1, &["-vxlan-checksum-offload=off"]);
    assert_eq!((offloads(), told()), (false, false.into()));
    drop(off);
}
