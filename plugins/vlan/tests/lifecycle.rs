//! What goes wrong, and what must be as before then; whose link DEL removes. Where the kernel has no
//! VLAN interfaces, that this is said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::on_master::Kind;
use kernel::{NewKind, Vlan};
use serde_json::json;

harness::tests_on_master!(vlan::Vlan, vlan::VLAN, KIND);

const KIND: Kind = Kind {
    name: "vlan",
    new: || NewKind::Vlan(Vlan::default()),
    configure: |config| config["vlanId"] = json!(5),
    made: "type vlan id 5",
    has_the_masters_mac: true,
    refused: &[
        (
            |config| config["mtu"] = json!(1501),
            "true",
            "invalid MTU 1501, must be [0, master MTU(1500)]",
        ),
        (
            |config| config["master"] = json!(""),
            "true",
            "\"master\" field is required. It specifies the host interface name to create the VLAN for",
        ),
        (
            |config| config["vlanId"] = json!(4095),
            "true",
            "invalid VLAN ID 4095",
        ),
        (
            |config| config["ipam"] = json!(null),
            "true",
            "failed to execute IPAM delegate: no plugin name provided",
        ),
        (
            |config| config["ipam"]["ranges"][0][0]["subnet"] = json!("10.22.0.0/31"),
            "true",
            "failed to execute IPAM delegate: ",
        ),
        (
            |_| (),
            "ip link add link m0 name taken type vlan id 5",
            "failed to create vlan: file exists: \"m0\" has an interface for VLAN 5 already",
        ),
        (
            |_| (),
            "ip link set m0 down",
            "failed to set \"eth0\" UP: network is down",
        ),
    ],
    damages: &[
        (
            "ip -n pod link set eth0 mtu 1300",
            "Error: Tuning configured MTU of eth0 is 1400, current value is 1300",
        ),
        (
            "ip -n pod link set eth0 address c2:11:22:00:00:99",
            "Interface eth0 Mac ",
        ),
        (
            "ip -n pod link del eth0; ip link add link m0 name other0 mtu 1400 type vlan id 6
            ip link set other0 netns pod name eth0",
            "Error: VLAN ID of link eth0 is 6, configured is 5",
        ),
    ],
    statuses: &[
        (
            |config| config["master"] = json!(""),
            "true",
            Some("\"master\" field is required"),
        ),
        (
            |config| config["ipam"] = json!(null),
            "true",
            Some("no plugin name provided"),
        ),
        (|_| (), "ip link set m0 down", Some("m0")),
    ],
    spoil: |config| config["vlanId"] = json!(5000),
};
