//! What goes wrong, and what must be as before then; whose link DEL removes; chains. Where the kernel
//! has no ipvlan, that this is said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::on_master::Kind;
use kernel::{Ipvlan, NewKind};
use serde_json::{Value, json};

harness::tests_on_master!(ipvlan::Ipvlan, ipvlan::IPVLAN, KIND);

const KIND: Kind = Kind {
    name: "ipvlan",
    new: || NewKind::Ipvlan(Ipvlan::default()),
    configure: |_| (),
    made: "type ipvlan mode l2",
    has_the_masters_mac: true,
    refused: &[
        (
            |config| {
                behind(config, json!([{ "address": "10.22.0.9/24" }]));
                config["prevResult"]["interfaces"] = json!([{ "name": "m0" }, { "name": "m1" }]);
            },
            "true",
            "chained master failure. PrevResult lacks a single named interface",
        ),
        (
            |config| behind(config, json!([])),
            "true",
            "no plugin name provided",
        ),
        (
            |config| config["mode"] = json!("l4"),
            "true",
            "unknown ipvlan mode: \"l4\"",
        ),
        (
            |_| (),
            "ip link add br0 type bridge; ip link set m0 master br0",
            "failed to create ipvlan: device or resource busy",
        ),
    ],
    damages: &[
        (
            "ip -n pod link set eth0 mtu 1300",
            "Interface eth0 has MTU 1300, less than the configured 1400",
        ),
        (
            "ip -n pod link set eth0 type ipvlan mode l3",
            "Container IPVlan mode l3 does not match expected value: l2",
        ),
        (
            "ip link set m0 address c2:11:22:00:00:99",
            "Interface eth0 Mac ",
        ),
    ],
    statuses: &[
        // The plugins before it may make the master.
        (|config| config["master"] = json!(""), "true", None),
        (
            |_| (),
            "ip link add br0 type bridge; ip link set m0 master br0",
            Some("port of a bridge"),
        ),
    ],
    spoil: |config| config["prevResult"]["interfaces"] = json!([{ "name": "a" }, { "name": "b" }]),
};

/// As a later plugin of a chain, on the interface `m0` of the one before.
fn behind(config: &mut Value, ips: Value) {
    config["master"] = json!("");
    config["ipam"] = json!(null);
    let interfaces = json!([{ "name": "m0" }]);
    config["prevResult"] = json!({ "cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips });
}
