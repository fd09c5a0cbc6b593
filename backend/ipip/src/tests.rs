use backend::Reason;
use backend::testing::{addresses, behind_nat, config, devices, reasons, routes};
use cluster::BackendError;

use super::*;

const TUNNELS: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"ipip"}}"#;
const DIRECT: &str =
    r#"{"Network":"10.100.0.0/16","Backend":{"Type":"ipip","DirectRouting":true}}"#;

fn opened(config: &NetworkConfig) -> Ipip {
    let options = IpipOptions::parse(config).expect("options");
    Ipip::new(options).expect("name")
}

fn wanted(text: &str, leases: &[(&str, &str)]) -> Wanted {
    let config = config(text);
    let backend = opened(&config);
    backend::testing::wanted(&backend, &config, &behind_nat(), leases)
}

const NEAR: (&str, &str) = (
    "10.100.71.0-24",
    r#"{"PublicIP":"192.168.50.2","PublicIPv6":null,"BackendType":"ipip"}"#,
);
const FAR: (&str, &str) = (
    "10.100.90.0-24",
    r#"{"PublicIP":"192.168.60.3","PublicIPv6":null,"BackendType":"ipip"}"#,
);
/// As flannel publishes it in a cluster with IPv6.
const DUAL: (&str, &str) = (
    "10.100.92.0-24&fd00:100:0:5d::-64",
    r#"{"PublicIP":"192.168.50.4","PublicIPv6":null,"BackendType":"ipip"}"#,
);

/// What the recordings of flanneld show.
#[test]
fn a_peer_needs_a_route_through_its_public_address() {
    for (config, expected) in [
        (
            TUNNELS,
            [
                "10.100.71.0/24 via 192.168.50.2 dev 7 onlink",
                "10.100.90.0/24 via 192.168.60.3 dev 7 onlink",
                "10.100.92.0/24 via 192.168.50.4 dev 7 onlink",
            ],
        ),
        (
            DIRECT,
            [
                "10.100.71.0/24 via 192.168.50.2 dev 2 onlink",
                "10.100.90.0/24 via 192.168.60.3 dev 7 onlink",
                "10.100.92.0/24 via 192.168.50.4 dev 2 onlink",
            ],
        ),
    ] {
        let wanted = wanted(config, &[NEAR, FAR, DUAL]);
        assert_eq!(routes(&wanted), expected, "{config}");
        assert_eq!(wanted.unserved, []);
        assert_eq!((wanted.neighbours.len(), wanted.fdb.len()), (0, 0));
        assert_eq!(addresses(&wanted), ["7 10.100.86.0/32"]);
        let replaced = wanted.addresses[0].replaces_within;
        assert_eq!(replaced.to_string(), "10.100.0.0/16");
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
            r#"{"PublicIP":"0.0.0.0","BackendType":"ipip"}"#,
            Reason::NoPublicAddress,
        ),
        (
            "10.100.1.7-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"ipip"}"#,
            Reason::HostBits,
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"203.0.113.7","BackendType":"ipip"}"#,
            Reason::OwnAddress("203.0.113.7".parse().expect("address")),
        ),
    ] {
        let wanted = wanted(TUNNELS, &[NEAR, (key, value)]);
        assert_eq!(wanted.routes.len(), 1, "{value}");
        assert_eq!(reasons(&wanted), [&reason], "{value}");
    }
}

/// Behind NAT as well: packets leave with the interface's address.
#[test]
fn the_device_is_flannels_and_20_bytes_smaller_than_the_interface() {
    let config = config(TUNNELS);
    let backend = opened(&config);
    for (mtu, expected) in [(1500, 1480), (9000, 8980), (1280, 1260)] {
        let underlay = Underlay {
            mtu,
            ..behind_nat()
        };
        let device = WantedDevice {
            families: vec![Family::V4],
            name: "flannel.ipip".parse().expect("name"),
            mtu: expected,
            kind: DeviceKind::Ipip("192.168.50.1".parse().expect("address")),
        };
        assert_eq!(backend.devices(&config, &underlay), [device]);
        assert_eq!(backend.mtu(&config, &underlay), expected);
    }
    assert_eq!(backend.lease_type(), "ipip");
    let devices = devices(&backend, &config, &behind_nat());
    assert_eq!(backend.lease_data(Family::V4, &devices), None);
}

#[test]
fn a_cluster_with_ipv6_is_refused() {
    let dual = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48",
        "Backend":{"Type":"ipip"}}"#;
    let refused = IpipOptions::parse(&config(dual));
    assert!(matches!(refused, Err(BackendError::Ipv4Only("ipip"))));
}
