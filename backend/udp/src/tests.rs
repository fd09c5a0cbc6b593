use backend::Reason;
use backend::testing::{DEVICE, addresses, behind_nat, config, devices, reasons, routes};
use cluster::BackendError;

use super::*;

const UDP: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"udp"}}"#;
const PORT: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"udp","Port":9000}}"#;

fn opened(config: &NetworkConfig) -> Udp {
    let options = UdpOptions::parse(config).expect("options");
    Udp::new(options).expect("name")
}

fn wanted(text: &str, leases: &[(&str, &str)]) -> Wanted {
    let config = config(text);
    let backend = opened(&config);
    backend::testing::wanted(&backend, &config, &behind_nat(), leases)
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
        assert_eq!(routes(&wanted), ["10.100.0.0/16 dev 7"]);
        assert_eq!(addresses(&wanted), ["7 10.100.86.0/32"]);
        let replaced = wanted.addresses[0].replaces_within;
        assert_eq!(replaced.to_string(), "10.100.0.0/16");
        assert_eq!(
            peers(&wanted),
            ["10.100.71.0/24 192.168.50.2", "10.100.90.0/24 192.168.60.3"]
        );
        let forwarding = wanted.forwarding.expect("forwarding");
        assert_eq!(forwarding.local.to_string(), format!("192.168.50.1:{port}"));
        assert_eq!(forwarding.own.to_string(), "10.100.86.0/24");
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
            "10.100.86.128-25",
            r#"{"PublicIP":"192.168.50.9"}"#,
            Reason::OverlapsOwn("10.100.86.0/24".parse().expect("subnet")),
        ),
    ] {
        let wanted = wanted(UDP, &[NEAR, (key, value)]);
        assert_eq!(peers(&wanted), ["10.100.71.0/24 192.168.50.2"], "{value}");
        assert_eq!(reasons(&wanted), [&reason], "{value}");
    }
}

#[test]
fn the_device_is_flannels_and_28_bytes_smaller_than_the_interface() {
    let config = config(UDP);
    let backend = opened(&config);
    for (mtu, expected) in [(1500, 1472), (9000, 8972), (1280, 1252)] {
        let underlay = Underlay {
            mtu,
            ..behind_nat()
        };
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
    let devices = devices(&backend, &config, &behind_nat());
    assert_eq!(backend.lease_data(Family::V4, &devices), None);
}

#[test]
fn a_cluster_with_ipv6_is_refused() {
    let dual = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48",
        "Backend":{"Type":"udp"}}"#;
    let refused = UdpOptions::parse(&config(dual));
    assert!(matches!(refused, Err(BackendError::Ipv4Only("udp"))));
}
