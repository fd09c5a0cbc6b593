//! `host-device`: what an operator reads of a device that DEL had to leave in its pod.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Node, call, lan::sh};

const CONFIG: &str =
    r#"{"cniVersion": "1.0.0", "name": "uplink", "type": "host-device", "device": "m0"}"#;
const MAC: &str = "c2:11:22:00:00:0a";

#[test]
fn a_device_that_nothing_tells_is_named_in_the_log() {
    let Some(node) = Node::new() else { return };
    let plugin = node.plugin("host-device");
    let _pod = node.world.pod("pod");
    sh(&format!(
        "ip link add m0 address {MAC} type veth peer name m1"
    ));
    call(&plugin, "ADD", "ctr1", CONFIG).success();
    sh("ip -n pod link set eth0 alias ''");
    let said = call(&plugin, "DEL", "ctr1", CONFIG).success().stderr;
    for word in ["WARN", "links=\"eth0\"", "stays there", "container=ctr1"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // It is the pod's own link, once the device is at home.
    sh("ip -n pod link set eth0 alias m0");
    call(&plugin, "DEL", "ctr1", CONFIG).success();
    sh("ip -n pod link add eth0 type veth peer name p1");
    assert_eq!(call(&plugin, "DEL", "ctr1", CONFIG).success().stderr, "");
}
