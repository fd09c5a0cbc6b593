use std::sync::Arc;

use backend::{NextHops, Reason};
use cluster::{BackendError, LeaseAttrs};
use kernel::LinkIndex;

use super::*;

const TUNNELS: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"ipip"}}"#;
const DIRECT: &str =
    r#"{"Network":"10.100.0.0/16","Backend":{"Type":"ipip","DirectRouting":true}}"#;

const DEVICE: LinkIndex = LinkIndex(7);

fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text.as_bytes()).expect("config")
}

fn opened(config: &NetworkConfig) -> Ipip {
    let options = IpipOptions::parse(config).expect("options");
    Ipip::new(options).expect("name")
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
        name: "flannel.ipip".parse().expect("name"),
        link: DEVICE,
        mac: None,
        public_key: None,
        mtu: 1480,
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

fn routes(wanted: &Wanted) -> Vec<String> {
    let print = |route: &Route| {
        assert_eq!(route.protocol, Route::PROTOCOL_PODWIRE);
        let gateway = route.gateway.expect("gateway");
        let link = route.link.expect("link").0;
        let onlink = if route.onlink { " onlink" } else { "" };
        format!("{} via {gateway} dev {link}{onlink}", route.dst)
    };
    wanted.routes.values().map(print).collect()
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
        let [address] = wanted.addresses.as_slice() else {
            panic!("{:?}", wanted.addresses);
        };
        assert_eq!(
            (address.link, address.address.to_string().as_str()),
            (DEVICE, "10.100.48.0/32")
        );
        assert_eq!(address.replaces_within.to_string(), "10.100.0.0/16");
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
        let reasons: Vec<&Reason> = wanted.unserved.iter().map(|peer| &peer.reason).collect();
        assert_eq!(reasons, [&reason], "{value}");
    }
}

/// Behind NAT as well: packets leave with the interface's address.
#[test]
fn the_device_is_flannels_and_20_bytes_smaller_than_the_interface() {
    let config = config(TUNNELS);
    let backend = opened(&config);
    for (mtu, expected) in [(1500, 1480), (9000, 8980), (1280, 1260)] {
        let underlay = Underlay { mtu, ..underlay() };
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
    assert_eq!(backend.lease_data(Family::V4, &[device()]), None);
}

#[test]
fn a_cluster_with_ipv6_is_refused() {
    let dual = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48",
        "Backend":{"Type":"ipip"}}"#;
    let refused = IpipOptions::parse(&config(dual));
    assert!(matches!(refused, Err(BackendError::Ipv4Only("ipip"))));
}
