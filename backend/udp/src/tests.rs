use std::sync::Arc;

use backend::NextHops;
use cluster::{BackendError, LeaseAttrs};
use kernel::LinkIndex;

use super::*;

const UDP: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"udp"}}"#;
const PORT: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"udp","Port":9000}}"#;

const DEVICE: LinkIndex = LinkIndex(7);

fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text.as_bytes()).expect("config")
}

fn opened(config: &NetworkConfig) -> Udp {
    let options = UdpOptions::parse(config).expect("options");
    Udp::new(options).expect("name")
}

fn underlay() -> Underlay {
    let route = |dst: &str, gateway: Option<&str>| Route {
        gateway: gateway.map(|address| address.parse().expect("gateway")),
        link: Some(LinkIndex(2)),
        ..Route::to(dst.parse().expect("dst"))
    };
    Underlay {
        link: LinkIndex(2),
        name: "eth0".parse().expect("name"),
        mtu: 1500,
        address: "192.168.50.1".parse().ok(),
        v6_address: None,
        public_ip: "203.0.113.7".parse().ok(),
        public_ipv6: None,
        routes: NextHops::new(&[
            route("192.168.50.0/24", None),
            route("0.0.0.0/0", Some("192.168.50.254")),
        ]),
    }
}

fn device() -> Device {
    Device {
        families: vec![Family::V4],
        name: "flannel0".parse().expect("name"),
        link: DEVICE,
        mac: None,
        public_key: None,
        mtu: 1472,
        checksum_offload: None,
    }
}

fn wanted(text: &str, leases: &[(&str, &str)]) -> Wanted {
    let own = Subnets::parse_key("10.100.48.0-24").expect("key");
    let lease = |(key, value): &(&str, &str)| {
        let attrs = LeaseAttrs::parse(value.as_bytes()).expect("attrs");
        (Subnets::parse_key(key).expect("key"), Arc::new(attrs))
    };
    let peers = leases.iter().map(lease).collect();
    let config = config(text);
    let backend = opened(&config);
    backend.wanted(&config, &own, &peers, &underlay(), &[device()])
}

const NEAR: (&str, &str) = (
    "10.100.71.0-24",
    r#"{"PublicIP":"192.168.50.2","PublicIPv6":null}"#,
);
const FAR: (&str, &str) = (
    "10.100.90.0-24",
    r#"{"PublicIP":"192.168.60.3","PublicIPv6":null}"#,
);

/// `subnet address` of each peer that the program is told of.
fn peers(wanted: &Wanted) -> Vec<String> {
    let forwarding = wanted.forwarding.as_ref().expect("forwarding");
    let peers = forwarding.peers.iter();
    peers
        .map(|(subnet, node)| format!("{subnet} {node}"))
        .collect()
}

/// What the recordings of flanneld show: one route, whoever the peers are.
#[test]
fn the_network_is_behind_the_device_and_the_peers_are_told_to_the_program() {
    for (config, port) in [(UDP, 8285), (PORT, 9000)] {
        let wanted = wanted(config, &[FAR, NEAR]);
        let routes: Vec<_> = wanted.routes.values().collect();
        let [route] = routes[..] else {
            panic!("{routes:?}");
        };
        assert_eq!(route.dst.to_string(), "10.100.0.0/16");
        assert_eq!((route.link, route.gateway), (Some(DEVICE), None));
        assert_eq!((route.scope, route.protocol), (0, Route::PROTOCOL_PODWIRE));
        let [address] = wanted.addresses.as_slice() else {
            panic!("{:?}", wanted.addresses);
        };
        assert_eq!(address.link, DEVICE);
        assert_eq!(address.address.to_string(), "10.100.48.0/32");
        assert_eq!(address.replaces_within.to_string(), "10.100.0.0/16");
        assert_eq!(
            peers(&wanted),
            ["10.100.71.0/24 192.168.50.2", "10.100.90.0/24 192.168.60.3"]
        );
        let forwarding = wanted.forwarding.expect("forwarding");
        assert_eq!(forwarding.local.to_string(), format!("192.168.50.1:{port}"));
        assert_eq!(forwarding.own.to_string(), "10.100.48.0/24");
        assert_eq!(
            (forwarding.device.as_str(), forwarding.link),
            ("flannel0", DEVICE)
        );
        assert_eq!((wanted.neighbours.len(), wanted.fdb.len()), (0, 0));
        assert_eq!(wanted.unserved, []);
    }
}

#[test]
fn leases_that_cannot_be_served_are_told_and_harm_nobody() {
    for (key, value, reason) in [
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan"}"#,
            Reason::OtherBackend("vxlan".to_owned()),
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"0.0.0.0"}"#,
            Reason::NoPublicAddress,
        ),
        (
            "10.100.1.7-24",
            r#"{"PublicIP":"192.168.50.9"}"#,
            Reason::HostBits,
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"203.0.113.7"}"#,
            Reason::OwnAddress("203.0.113.7".parse().expect("address")),
        ),
        (
            "10.100.48.128-25",
            r#"{"PublicIP":"192.168.50.9"}"#,
            Reason::OverlapsOwn("10.100.48.0/24".parse().expect("subnet")),
        ),
    ] {
        let wanted = wanted(UDP, &[NEAR, (key, value)]);
        assert_eq!(peers(&wanted), ["10.100.71.0/24 192.168.50.2"], "{value}");
        let reasons: Vec<&Reason> = wanted.unserved.iter().map(|peer| &peer.reason).collect();
        assert_eq!(reasons, [&reason], "{value}");
    }
}

#[test]
fn the_device_is_flannels_and_28_bytes_smaller_than_the_interface() {
    let config = config(UDP);
    let backend = opened(&config);
    for (mtu, expected) in [(1500, 1472), (9000, 8972), (1280, 1252)] {
        let underlay = Underlay { mtu, ..underlay() };
        let device = WantedDevice {
            families: vec![Family::V4],
            name: "flannel0".parse().expect("name"),
            mtu: expected,
            kind: DeviceKind::Tun,
        };
        assert_eq!(backend.devices(&config, &underlay), [device]);
        assert_eq!(backend.mtu(&config, &underlay), expected);
    }
    assert_eq!(backend.lease_type(), "");
    assert_eq!(backend.lease_data(Family::V4, &[device()]), None);
}

#[test]
fn a_cluster_with_ipv6_is_refused() {
    let dual = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48",
        "Backend":{"Type":"udp"}}"#;
    let refused = UdpOptions::parse(&config(dual));
    assert!(matches!(refused, Err(BackendError::Ipv4Only("udp"))));
}
