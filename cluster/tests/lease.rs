//! Keys, values and `subnet.env`, byte for byte; and the arithmetic of free subnets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::net::{Ipv4Addr, Ipv6Addr};

use cluster::{LeaseAttrs, NetworkConfig, RawJson, SubnetEnv, SubnetEnvError, Subnets, VtepData};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use proptest::prelude::*;

fn key(text: &str) -> Subnets {
    Subnets::parse_key(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn keys_of_subnets_are_read_and_printed() {
    for text in [
        "10.5.7.0-24",
        "10.5.7.0-24&fd00:10:5:7::-64",
        "0.0.0.0-0&fd00:100:0:56::-64",
    ] {
        assert_eq!(key(text).key(), text);
    }
    let odd = [
        ("x/10.100.206.0-24", "10.100.206.0-24"),
        ("abc10.5.7.0-24", "10.5.7.0-24"),
        ("1.10.5.7.0-24", "10.5.7.0-24"),
        ("10.5.7.0-24&fd00:0::-64", "10.5.7.0-24&fd00::-64"),
        ("10.5.7.0-024", "10.5.7.0-24"),
    ];
    for (text, proper) in odd {
        assert_eq!(key(text).key(), proper, "{text}");
    }
    assert_eq!(
        key("10.100.205.7-24").v4.unwrap().ip(),
        Ipv4Addr::new(10, 100, 205, 7)
    );
    assert_eq!(key("0.0.0.0-0&fd00::-64").v4, None);
}

#[test]
fn other_names_are_refused() {
    for text in [
        "10.5.7.0-32",
        "10.5.7.0",
        "10.5.7-24",
        "10.5.7.300-24",
        "10.5.7.0-24x",
        "10.100.14.0-245",
        "&fd00::-64",
        "10.5.7.0-24&fd00::",
        "10.5.7.0-24&fd00-64",
        "10.5.7.0-24&fd00::-128",
        "10.5.7.0-24&FD00::-64",
        "0.0.0.0-0",
        "",
        "foo",
        "10.5.7.0-+2",
    ] {
        assert!(Subnets::parse_key(text).is_err(), "{text}");
    }
}

#[test]
fn values_are_read_as_flannel_reads_them() {
    let read = |text: &str| LeaseAttrs::parse(text.as_bytes());
    let attrs = read(r#"{"PublicIP":"192.0.2.1"}"#).unwrap();
    assert_eq!(attrs, LeaseAttrs::new(Ipv4Addr::new(192, 0, 2, 1), None));
    assert_eq!(
        read("null").unwrap(),
        LeaseAttrs::new(Ipv4Addr::UNSPECIFIED, None)
    );
    for bad in [
        "",
        "not json",
        "[]",
        r#"{"PublicIP":null,"BackendType":"vxlan"}"#,
        r#"{"PublicIP":"x"}"#,
        r#"{"PublicIP":"::1"}"#,
        r#"{"PublicIP":5}"#,
        r#"{"PublicIP":"192.0.2.1","PublicIPv6":"x"}"#,
        r#"{"PublicIP":"192.0.2.1","BackendType":5}"#,
        r#"{"PublicIP":"192.0.2.1"} x"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let attrs =
        read(r#"{"PublicIP":"192.0.2.1","BackendType":"host-gw","BackendData":null}"#).unwrap();
    assert_eq!(
        (attrs.backend_type.as_ref(), attrs.backend_data),
        ("host-gw", None)
    );
    let upper = read(r#"{"PublicIP":"192.0.2.1","BackendType":"VXLAN"}"#).unwrap();
    assert_eq!(upper.backend_type, "VXLAN");
}

#[test]
fn vtep_data_is_read_in_every_spelling() {
    for (text, vni, last) in [
        (r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:AC"}"#, Some(1), 0xac),
        (r#"{"VNI":1,"VtepMAC":"02-00-00-00-00-ad"}"#, Some(1), 0xad),
        (r#"{"VNI":1,"VtepMAC":"0200.0000.00ae"}"#, Some(1), 0xae),
        (r#"{"vtepmac":"02:00:00:00:00:af"}"#, None, 0xaf),
        (
            r#"{ "VNI":99, "VtepMAC":"02:00:00:00:00:b0","Y":"z"}"#,
            Some(99),
            0xb0,
        ),
        (
            r#"{"VNI":70000,"VtepMAC":"02:00:00:00:00:b4"}"#,
            Some(70_000),
            0xb4,
        ),
    ] {
        let value = format!(
            r#"{{ "publicip":"192.0.2.1", "X":{{"a":[1]}}, "backendtype":"vxlan", "backenddata":{text} }}"#
        );
        let attrs = LeaseAttrs::parse(value.as_bytes()).unwrap();
        let data = VtepData::parse(attrs.backend_data.as_ref().unwrap()).unwrap();
        assert_eq!(
            data,
            VtepData {
                vni,
                mac: [2, 0, 0, 0, 0, last]
            },
            "{text}"
        );
    }
    for bad in [
        "{}",
        "5",
        r#"{"VtepMAC":5}"#,
        r#"{"VtepMAC":""}"#,
        r#"{"VtepMAC":"02:00:00:00:00:00:00:b3"}"#,
        r#"{"VtepMAC":"02:00:00:00:00"}"#,
        r#"{"VtepMAC":"02:00:00:00:00:0"}"#,
        r#"{"VtepMAC":"020000000000"}"#,
        r#"{"VNI":"1","VtepMAC":"02:00:00:00:00:01"}"#,
    ] {
        let data = RawJson::new(&serde_json::from_str(bad).unwrap());
        assert!(VtepData::parse(&data).is_err(), "{bad}");
    }
}

#[test]
fn values_are_printed_byte_for_byte() {
    for text in [
        r#"{"PublicIP":"192.0.2.1","PublicIPv6":null}"#,
        r#"{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"host-gw"}"#,
        r#"{"PublicIP":"192.0.2.11","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:11:22:33:44:55"}}"#,
        r#"{"PublicIP":"192.0.2.11","PublicIPv6":"2001:db8::11","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:11:22:33:44:55"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:11:22:33:44:66"}}"#,
        r#"{"PublicIP":"0.0.0.0","PublicIPv6":"fd00:50::1","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"02:11:22:33:44:55"}}"#,
    ] {
        assert_eq!(LeaseAttrs::parse(text.as_bytes()).unwrap().to_json(), text);
    }
    let vtep = VtepData {
        vni: Some(1),
        mac: [2, 0, 0, 0, 0, 0xab],
    };
    assert_eq!(
        vtep.to_json().as_str(),
        r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:ab"}"#
    );
}

#[test]
fn subnet_env_is_flannels_byte_for_byte() {
    let v4 = NetworkConfig::parse(br#"{"Network":"10.5.0.0/16"}"#).unwrap();
    let env = SubnetEnv::new(&v4, &key("10.5.72.0-24"), 1450, false).to_string();
    assert_eq!(
        env,
        "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1450\n\
         FLANNEL_IPMASQ=false\n"
    );
    let dual = r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10:5::/48"}"#;
    let dual = NetworkConfig::parse(dual.as_bytes()).unwrap();
    let env = SubnetEnv::new(&dual, &key("10.5.72.0-24&fd00:10:5:48::-64"), 1450, true);
    assert_eq!(
        env.to_string(),
        "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\n\
         FLANNEL_IPV6_NETWORK=fd00:10:5::/48\nFLANNEL_IPV6_SUBNET=fd00:10:5:48::1/64\n\
         FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    );
    assert_eq!(SubnetEnv::parse(&env.to_string()).unwrap(), env);
    assert_eq!(env.subnets(), key("10.5.72.0-24&fd00:10:5:48::-64"));
    let v6 = r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:100::/48"}"#;
    let v6 = NetworkConfig::parse(v6.as_bytes()).unwrap();
    assert_eq!(
        SubnetEnv::new(&v6, &key("0.0.0.0-0&fd00:100:0:56::-64"), 1450, false).to_string(),
        "FLANNEL_IPV6_NETWORK=fd00:100::/48\nFLANNEL_IPV6_SUBNET=fd00:100:0:56::1/64\n\
         FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
    );
}

#[test]
fn subnet_env_is_read_as_the_cni_plugin_reads_it() {
    let text = "# x\nFLANNEL_NETWORK=10.5.0.0/16,10.6.0.0/16,10.5.0.0/16\nOTHER=1\n\
                FLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=TRUE\n";
    let env = SubnetEnv::parse(text).unwrap();
    assert_eq!((env.networks.len(), env.mtu, env.ip_masq), (2, 1450, false));
    let missing = SubnetEnv::parse("FLANNEL_MTU\nFLANNEL_IPMASQ=true\n").unwrap_err();
    assert_eq!(
        missing.to_string(),
        "is missing FLANNEL_NETWORK, FLANNEL_SUBNET, FLANNEL_MTU"
    );
    for (line, key) in [
        ("FLANNEL_NETWORK=x", "FLANNEL_NETWORK"),
        ("FLANNEL_SUBNET=10.5.72.1", "FLANNEL_SUBNET"),
        ("FLANNEL_SUBNET=\"10.5.72.1/24\"", "FLANNEL_SUBNET"),
        ("FLANNEL_MTU=-50", "FLANNEL_MTU"),
    ] {
        let error = SubnetEnv::parse(&format!("{text}{line}\n")).unwrap_err();
        assert!(matches!(&error, SubnetEnvError::Value { key: found, .. } if *found == key));
        assert!(error.to_string().starts_with(key), "{error}");
    }
}

#[test]
fn the_previous_subnet_is_read_as_flanneld_reads_it() {
    let v4 = Some(key("10.5.72.0-24"));
    for (text, previous) in [
        ("FLANNEL_SUBNET=10.5.72.1/24\n", v4),
        ("export FLANNEL_SUBNET = \"10.5.72.1/24\" # x\n", v4),
        ("FLANNEL_SUBNET='10.5.72.1/24'\nFLANNEL_MTU=x", v4),
        ("FLANNEL_SUBNET=10.5.72.1/24,10.6.0.1/24\n", None),
        ("FLANNEL_SUBNET=10.5.72.1\n", None),
        ("FLANNEL_SUBNET=x\n", None),
        ("", None),
        (
            "FLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_IPV6_SUBNET=fd00::1/64",
            Some(key("10.5.72.0-24&fd00::-64")),
        ),
    ] {
        assert_eq!(SubnetEnv::previous(text), previous, "{text}");
    }
}

fn v4_net() -> impl Strategy<Value = Ipv4Network> {
    (any::<u32>(), 1u8..=31).prop_map(|(ip, len)| Ipv4Network::new(ip.into(), len).unwrap())
}

fn v6_net() -> impl Strategy<Value = Ipv6Network> {
    (any::<u128>(), 1u8..=127)
        .prop_map(|(ip, len)| Ipv6Network::new(Ipv6Addr::from(ip), len).unwrap())
}

/// Subnets of a small network, of several lengths, some reaching beyond it.
fn nearby() -> impl Strategy<Value = Subnets> {
    (0u32..1 << 12, 18u8..=30).prop_map(|(ip, len)| {
        Subnets::only_v4(Ipv4Network::new((0x0a00_0000 + ip).into(), len).unwrap())
    })
}

proptest! {
    #[test]
    fn keys_survive_printing(v4 in proptest::option::of(v4_net()), v6 in proptest::option::of(v6_net())) {
        prop_assume!(v4.is_some() || v6.is_some());
        let subnets = Subnets { v4, v6 };
        prop_assert_eq!(Subnets::parse_key(&subnets.key()).unwrap(), subnets);
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = Subnets::parse_key(&text);
        let _ = LeaseAttrs::parse(text.as_bytes());
        let _ = SubnetEnv::parse(&text);
        let _ = SubnetEnv::previous(&text);
    }

    #[test]
    fn no_key_like_text_panics(text in "[0-9a-f.:&/-]{0,40}") {
        if let Ok(subnets) = Subnets::parse_key(&text) {
            prop_assert_eq!(Subnets::parse_key(&subnets.key()).unwrap(), subnets);
        }
    }

    #[test]
    fn free_subnets_are_exactly_those_that_nobody_overlaps(leases in proptest::collection::vec(nearby(), 0..12)) {
        let config = NetworkConfig::parse(br#"{"Network":"10.0.0.0/21","SubnetLen":26}"#).unwrap();
        let pool = config.v4.unwrap();
        let taken = pool.taken(&leases);
        let by_hand: Vec<IpNetwork> = (1..32u32)
            .map(|n| Ipv4Network::new((0x0a00_0000 + n * 64).into(), 26).unwrap())
            .filter(|net| !leases.iter().any(|lease| lease.overlaps(&Subnets::only_v4(*net))))
            .map(IpNetwork::V4)
            .collect();
        let free = pool.free(&taken);
        let found: Vec<_> = (0..free).map(|n| pool.nth_free(&taken, n).unwrap()).collect();
        prop_assert_eq!(&found, &by_hand);
        prop_assert_eq!(pool.nth_free(&taken, free), None);
        for net in found {
            prop_assert!(pool.is_free(&taken, net));
        }
    }
}
