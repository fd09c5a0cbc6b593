//! Pods on a bridge, made by hand, and the configuration behind them.

use harness::sh;
use serde_json::{Value, json};

pub(crate) type Host = harness::Host<portmap::Portmap>;

/// Bridge `br0` (10.22.0.1/24, 2001:db8:22::1/64) with the pod of the default call (10.22.0.5,
/// 2001:db8:22::5), and one `outside` at the other end of `uplink` (192.0.2.1 and .2).
pub(crate) fn host() -> Option<Host> {
    let host = Host::new()?;
    sh(
        "for c in all default; do echo 0 > /proc/sys/net/ipv6/conf/$c/accept_dad; done
        echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
        ip link add br0 type bridge; ip link set br0 up
        ip addr add 10.22.0.1/24 dev br0; ip addr add 2001:db8:22::1/64 dev br0 nodad",
    );
    wire("pod", 5);
    host.world.pod("outside");
    sh("ip link add uplink type veth peer name eth0 netns outside
        ip link set uplink up; ip addr add 192.0.2.1/24 dev uplink
        ip addr add 2001:db8:ff::1/64 dev uplink nodad
        ip -n outside link set eth0 up; ip -n outside addr add 192.0.2.2/24 dev eth0
        ip -n outside addr add 2001:db8:ff::2/64 dev eth0 nodad
        ip -n outside route add default via 192.0.2.1
        ip -n outside route add default via 2001:db8:ff::1");
    Some(host)
}

/// Attaches a namespace to the bridge, with a number as the end of its addresses.
pub(crate) fn wire(pod: &str, number: u8) {
    sh(&format!(
        "ip netns exec {pod} sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'
        ip link add v{number} type veth peer name eth0 netns {pod}; ip link set v{number} master br0 up
        ip -n {pod} link set lo up; ip -n {pod} link set eth0 up
        ip -n {pod} addr add 10.22.0.{number}/24 dev eth0
        ip -n {pod} addr add 2001:db8:22::{number}/64 dev eth0 nodad
        ip -n {pod} route add default via 10.22.0.1; ip -n {pod} route add default via 2001:db8:22::1"
    ));
}

/// A mapping.
pub(crate) fn mapping(host: u16, container: u16, protocol: &str, on: &str) -> Value {
    json!({ "hostPort": host, "containerPort": container, "protocol": protocol, "hostIP": on })
}

/// 8080 to 80, TCP, on all addresses.
pub(crate) fn web() -> Value {
    json!([mapping(8080, 80, "tcp", "")])
}

/// The configuration for the pod with this number.
pub(crate) fn config_of(number: u8, mappings: Value, changes: Value) -> String {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "dbnet", "type": "portmap",
        "runtimeConfig": { "portMappings": mappings },
        "prevResult": {
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "br0" }, { "name": "eth0", "sandbox": "/run/netns/pod" }],
            "ips": [
                { "address": format!("10.22.0.{number}/24"), "interface": 1 },
                { "address": format!("2001:db8:22::{number}/64"), "interface": 1 },
            ],
        },
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config.to_string()
}

/// The configuration for the default pod.
pub(crate) fn config(mappings: Value, changes: Value) -> String {
    config_of(5, mappings, changes)
}

/// Variables of another container in the default pod's namespace.
pub(crate) const CTR2: [(&str, &str); 1] = [("CNI_CONTAINERID", "ctr2")];

/// What `nft list` shows of our table.
pub(crate) fn table() -> String {
    sh("nft list table inet podwire_portmap 2>/dev/null || true")
}

/// Elements with a comment of the container's.
pub(crate) fn elements_of(container: &str) -> usize {
    let comment = format!("id: {container}\"");
    table().matches(&comment).count()
}

/// Sets a world apart for each of several runs of one test.
pub(crate) fn in_own_world(test: impl FnOnce(&Host) + Send) {
    harness::in_own_world(host, test)
}
