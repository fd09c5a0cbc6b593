//! Documents as the reference plugins print them, and the way there and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::SpecVersion::*;

fn cidr(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn ip_config(address: &str, gateway: &str, interface: Option<usize>) -> IpConfig {
    IpConfig {
        address: cidr(address),
        gateway: Some(gateway.parse().unwrap()),
        interface,
    }
}

fn interface(name: &str, mac: &str, sandbox: Option<&str>) -> Interface {
    Interface {
        name: name.into(),
        mac: Some(mac.into()),
        sandbox: sandbox.map(String::from),
        ..Interface::default()
    }
}

/// What bridge returns for one IPv4 address.
fn bridge_result() -> AddResult {
    AddResult {
        interfaces: vec![
            interface("cni0", "c2:11:22:00:00:01", None),
            interface("veth12345678", "c2:11:22:00:00:01", None),
            interface("eth0", "c2:11:22:00:00:02", Some("/run/netns/pod")),
        ],
        ips: vec![ip_config("10.22.0.2/24", "10.22.0.1", Some(2))],
        ..AddResult::default()
    }
}

const LEGACY: &str = r#"{
    "cniVersion": "VERSION",
    "ip4": {
        "ip": "10.22.0.2/24",
        "gateway": "10.22.0.1"
    },
    "dns": {}
}"#;

const LISTED: &str = r#"{
    "cniVersion": "VERSION",
    "interfaces": [
        {
            "name": "cni0",
            "mac": "c2:11:22:00:00:01"
        },
        {
            "name": "veth12345678",
            "mac": "c2:11:22:00:00:01"
        },
        {
            "name": "eth0",
            "mac": "c2:11:22:00:00:02",
            "sandbox": "/run/netns/pod"
        }
    ],
    "ips": [
        {
            "version": "4",
            "interface": 2,
            "address": "10.22.0.2/24",
            "gateway": "10.22.0.1"
        }
    ],
    "dns": {}
}"#;

const CURRENT: &str = r#"{
    "cniVersion": "VERSION",
    "interfaces": [
        {
            "mac": "c2:11:22:00:00:01",
            "name": "cni0"
        },
        {
            "mac": "c2:11:22:00:00:01",
            "name": "veth12345678"
        },
        {
            "mac": "c2:11:22:00:00:02",
            "name": "eth0",
            "sandbox": "/run/netns/pod"
        }
    ],
    "ips": [
        {
            "address": "10.22.0.2/24",
            "gateway": "10.22.0.1",
            "interface": 2
        }
    ]
}"#;

#[test]
fn bridge_prints_as_recorded_in_every_version() {
    for (version, text) in [
        (V0_1_0, LEGACY),
        (V0_2_0, LEGACY),
        (V0_3_0, LISTED),
        (V0_3_1, LISTED),
        (V0_4_0, LISTED),
        (V1_0_0, CURRENT),
        (V1_1_0, CURRENT),
    ] {
        let expected = text.replace("VERSION", version.as_str());
        assert_eq!(bridge_result().print(version).unwrap(), expected);
    }
}

/// host-local with routes, as recorded for 0.2.0 and 0.3.1.
fn routed_result() -> AddResult {
    let full = Route {
        mtu: Some(1200),
        advmss: Some(1000),
        priority: Some(9),
        table: Some(5),
        scope: Some(253),
        ..Route::new(
            cidr("10.5.0.0/16"),
            Some(IpAddr::V4(Ipv4Addr::new(10, 22, 0, 9))),
        )
    };
    let zeros = Route {
        table: Some(0),
        scope: Some(0),
        ..Route::new(cidr("10.6.0.0/16"), None)
    };
    AddResult {
        ips: vec![ip_config("10.22.0.2/24", "10.22.0.1", None)],
        routes: vec![
            Route::new(cidr("0.0.0.0/0"), None),
            Route::new(cidr("2001:db8::/64"), None),
            full,
            zeros,
        ],
        ..AddResult::default()
    }
}

#[test]
fn legacy_routes_go_to_the_block_of_their_family() {
    let expected = r#"{
    "cniVersion": "0.2.0",
    "ip4": {
        "ip": "10.22.0.2/24",
        "gateway": "10.22.0.1",
        "routes": [
            {
                "dst": "0.0.0.0/0"
            },
            {
                "dst": "10.5.0.0/16",
                "gw": "10.22.0.9"
            },
            {
                "dst": "10.6.0.0/16"
            }
        ]
    },
    "dns": {}
}"#;
    assert_eq!(routed_result().print(V0_2_0).unwrap(), expected);
}

#[test]
fn routes_keep_every_key_from_0_3_0_on() {
    let mut result = routed_result();
    result.routes.remove(1);
    let expected = r#"{
    "cniVersion": "0.3.1",
    "ips": [
        {
            "version": "4",
            "address": "10.22.0.2/24",
            "gateway": "10.22.0.1"
        }
    ],
    "routes": [
        {
            "dst": "0.0.0.0/0"
        },
        {
            "dst": "10.5.0.0/16",
            "gw": "10.22.0.9",
            "mtu": 1200,
            "advmss": 1000,
            "priority": 9,
            "table": 5,
            "scope": 253
        },
        {
            "dst": "10.6.0.0/16",
            "table": 0,
            "scope": 0
        }
    ],
    "dns": {}
}"#;
    assert_eq!(result.print(V0_3_1).unwrap(), expected);
    let current = result.print(V1_0_0).unwrap();
    assert!(
        current.contains("\"advmss\": 1000,\n            \"dst\": \"10.5.0.0/16\""),
        "{current}"
    );
}

#[test]
fn both_families_and_dns() {
    let result = AddResult {
        ips: vec![
            ip_config("2001:db8::2/64", "2001:db8::1", None),
            ip_config("10.22.0.2/24", "10.22.0.1", None),
            ip_config("10.23.0.2/24", "10.23.0.1", None),
        ],
        dns: Dns {
            nameservers: vec!["1.2.3.4".into()],
            search: vec!["a".into(), "b".into()],
            ..Dns::default()
        },
        ..AddResult::default()
    };
    let legacy = json!({"cniVersion": "0.1.0",
        "ip4": {"ip": "10.22.0.2/24", "gateway": "10.22.0.1"},
        "ip6": {"ip": "2001:db8::2/64", "gateway": "2001:db8::1"},
        "dns": {"nameservers": ["1.2.3.4"], "search": ["a", "b"]}});
    assert_eq!(result.to_value(V0_1_0).unwrap(), legacy);
    let current = result.print(V1_1_0).unwrap();
    let dns = "\"dns\": {\n        \"nameservers\": [\n            \"1.2.3.4\"\n        ],";
    assert!(current.contains(dns), "{current}");
}

#[test]
fn new_interface_keys_are_printed_from_1_0_0_on() {
    let mut result = bridge_result();
    result.interfaces.truncate(1);
    result.interfaces[0].mtu = Some(1500);
    result.interfaces[0].socket_path = Some("/s".into());
    result.interfaces[0].pci_id = Some("0000:00:01.0".into());
    let all = json!({"mac": "c2:11:22:00:00:01", "mtu": 1500, "name": "cni0",
        "pciID": "0000:00:01.0", "socketPath": "/s"});
    assert_eq!(result.to_value(V1_0_0).unwrap()["interfaces"][0], all);
    let old = json!({"name": "cni0", "mac": "c2:11:22:00:00:01"});
    assert_eq!(result.to_value(V0_4_0).unwrap()["interfaces"][0], old);
}

#[test]
fn legacy_versions_need_an_address() {
    for version in [V0_1_0, V0_2_0] {
        let error = AddResult::default().print(version).unwrap_err();
        assert_eq!(
            (error.code, error.msg.as_str()),
            (999, "cannot convert: no valid IP addresses")
        );
    }
    assert_eq!(
        AddResult::default().print(V1_0_0).unwrap(),
        "{\n    \"cniVersion\": \"1.0.0\"\n}"
    );
    assert_eq!(
        AddResult::default().print(V0_3_0).unwrap(),
        "{\n    \"cniVersion\": \"0.3.0\",\n    \"dns\": {}\n}"
    );
}

#[test]
fn another_family_is_refused() {
    for (stated, version, message) in [
        (
            "0.3.1",
            V1_0_0,
            r#"result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is "0.3.1""#,
        ),
        (
            "1.0.0",
            V0_4_0,
            r#"result type supports [0.3.0 0.3.1 0.4.0] but unmarshalled CNIVersion is "1.0.0""#,
        ),
        (
            "9.9.9",
            V0_2_0,
            r#"result type supports [ 0.1.0 0.2.0] but unmarshalled CNIVersion is "9.9.9""#,
        ),
    ] {
        let error = AddResult::parse(&json!({"cniVersion": stated}), version).unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (999, message));
    }
    assert!(AddResult::parse(&json!({"cniVersion": "1.0.0"}), V1_1_0).is_ok());
    assert!(AddResult::parse(&json!({"cniVersion": ""}), V1_1_0).is_ok());
    assert!(AddResult::parse(&json!({}), V0_3_0).is_ok());
}

#[test]
fn bad_documents_say_where() {
    for (document, version, message) in [
        (
            json!({"ips": [{}]}),
            V1_0_0,
            r#"json: key "ips[0].address" is missing"#,
        ),
        (
            json!({"ips": [{"address": "bad"}]}),
            V1_0_0,
            "invalid CIDR address: bad",
        ),
        (
            json!({"ip4": {}}),
            V0_1_0,
            r#"json: key "ip4.ip" is missing"#,
        ),
        (
            json!({"routes": [{"gw": "10.0.0.1"}]}),
            V1_0_0,
            r#"json: key "routes[0].dst" is missing"#,
        ),
        (
            json!({"routes": [{"dst": ""}]}),
            V1_0_0,
            "invalid CIDR address: ",
        ),
        (
            json!(5),
            V1_0_0,
            "json: cannot unmarshal number 5 into object",
        ),
        (
            json!({"ips": [{"address": "10.0.0.1/8", "interface": -1}]}),
            V1_0_0,
            r#"json: cannot unmarshal number -1 into key "ips[0].interface" of type integer (0 or more)"#,
        ),
    ] {
        let error = AddResult::parse(&document, version).unwrap_err();
        assert_eq!(error.msg, message);
    }
}

#[test]
fn a_caller_reads_any_version() {
    let node = |text: &str| Node::parse(text.as_bytes()).unwrap();
    let legacy = LEGACY.replace("VERSION", "0.2.0");
    let result = AddResult::parse_any(&node(&legacy), V1_1_0).unwrap();
    assert_eq!(result.ips, [ip_config("10.22.0.2/24", "10.22.0.1", None)]);
    let error = AddResult::parse_any(&node(r#"{"cniVersion":"2.0.0"}"#), V1_1_0).unwrap_err();
    assert_eq!(error.msg, "unsupported CNI result version \"2.0.0\"");
}

#[test]
fn routes_and_dns_read_from_configuration() {
    let route: Route =
        crate::json::from_value(json!({"DST": "10.0.0.0/8", "gw": "", "mtu": 0, "scope": null}))
            .unwrap();
    assert_eq!(route, Route::new(cidr("10.0.0.0/8"), None));
    assert_eq!(
        serde_json::to_value(&route).unwrap(),
        json!({"dst": "10.0.0.0/8"})
    );
    let dns: Dns = crate::json::from_value(json!({"Search": ["a"]})).unwrap();
    assert_eq!(
        serde_json::to_value(&dns).unwrap(),
        json!({"search": ["a"]})
    );
}

use crate::json::Node;

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits | 1 << 127))),
    ]
}

fn any_cidr() -> impl Strategy<Value = IpNetwork> {
    (any_ip(), 0u8..=128).prop_map(|(address, prefix)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        IpNetwork::new(address, prefix.min(most)).unwrap()
    })
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(".{1,10}")
}

fn any_texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(".{0,8}", 0..3)
}

fn any_nonzero() -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(1u32..)
}

prop_compose! {
    fn any_interface()(
        name in ".{0,10}", mac in any_text(), mtu in any_nonzero(), sandbox in any_text(),
        socket_path in any_text(), pci_id in any_text(),
    ) -> Interface {
        Interface { name, mac, mtu, sandbox, socket_path, pci_id }
    }
}

prop_compose! {
    fn any_route()(
        dst in any_cidr(), gw in proptest::option::of(any_ip()), mtu in any_nonzero(),
        advmss in any_nonzero(), priority in any_nonzero(), table in any::<Option<u32>>(),
        scope in any::<Option<u8>>(),
    ) -> Route {
        Route { dst, gw, mtu, advmss, priority, table, scope }
    }
}

prop_compose! {
    fn any_ip_config()(
        address in any_cidr(), gateway in proptest::option::of(any_ip()),
        interface in proptest::option::of(0usize..9),
    ) -> IpConfig {
        IpConfig { address, gateway, interface }
    }
}

prop_compose! {
    fn any_result()(
        interfaces in proptest::collection::vec(any_interface(), 0..3),
        ips in proptest::collection::vec(any_ip_config(), 1..4),
        routes in proptest::collection::vec(any_route(), 0..4),
        nameservers in any_texts(), domain in ".{0,5}", search in any_texts(),
        options in any_texts(),
    ) -> AddResult {
        AddResult { interfaces, ips, routes, dns: Dns { nameservers, domain, search, options } }
    }
}

proptest! {
    #[test]
    fn printing_and_parsing_keeps_what_the_version_can_say(
        result in any_result(),
        version in proptest::sample::select(SpecVersion::ALL),
    ) {
        let printed = result.print(version).unwrap();
        let value: Value = serde_json::from_str(&printed).unwrap();
        let read = AddResult::parse(&value, version).unwrap();
        match Shape::of(version) {
            Shape::Current => prop_assert_eq!(&read, &result),
            Shape::Listed => {
                prop_assert_eq!((&read.ips, &read.routes, &read.dns), (&result.ips, &result.routes, &result.dns));
                prop_assert_eq!(read.interfaces.len(), result.interfaces.len());
            }
            Shape::Legacy => prop_assert!(!read.ips.is_empty() && read.ips.len() <= 2),
        }
        prop_assert_eq!(read.print(version).unwrap(), printed);
        prop_assert_eq!(result.seen_by_caller(version).unwrap(), read);
    }
}
