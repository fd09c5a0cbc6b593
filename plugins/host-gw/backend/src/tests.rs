use std::sync::Arc;

use backend::NextHops;
use cluster::LeaseAttrs;
use kernel::{LinkIndex, Route};

use super::*;

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
        v6_address: "fd00:50::1".parse().ok(),
        public_ip: "192.168.50.1".parse().ok(),
        public_ipv6: "fd00:50::1".parse().ok(),
        routes: NextHops::new(&[
            route("192.168.50.0/24", None),
            route("fd00:50::/64", None),
            route("0.0.0.0/0", Some("192.168.50.254")),
        ]),
    }
}

fn wanted(config: &str, leases: &[(&str, &str)]) -> Wanted {
    let config = NetworkConfig::parse(config.as_bytes()).expect("config");
    let own = Subnets::parse_key("10.100.36.0-24&fd00:100:0:26::-64").expect("key");
    let peers = leases
        .iter()
        .map(|(key, value)| {
            let attrs = LeaseAttrs::parse(value.as_bytes()).expect("attrs");
            (Subnets::parse_key(key).expect("key"), Arc::new(attrs))
        })
        .collect();
    HostGw.wanted(&config, &own, &peers, &underlay(), &[])
}

const V4: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"host-gw"}}"#;
const DUAL: &str = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,
    "IPv6Network":"fd00:100::/48","Backend":{"Type":"host-gw"}}"#;
const PEER: (&str, &str) = (
    "10.100.23.0-24&fd00:100:0:3c::-64",
    r#"{"PublicIP":"192.168.50.2","PublicIPv6":"fd00:50::2","BackendType":"host-gw"}"#,
);

fn routes(wanted: &Wanted) -> Vec<String> {
    let print = |route: &Route| {
        assert_eq!(
            (route.protocol, route.onlink),
            (Route::PROTOCOL_PODWIRE, false)
        );
        let gateway = route.gateway.expect("gateway");
        format!(
            "{} via {gateway} dev {}",
            route.dst,
            route.link.expect("link").0
        )
    };
    wanted.routes.values().map(print).collect()
}

#[test]
fn peers_are_routed_to_over_the_external_interface() {
    assert_eq!(
        routes(&wanted(V4, &[PEER])),
        ["10.100.23.0/24 via 192.168.50.2 dev 2"]
    );
    assert_eq!(
        routes(&wanted(DUAL, &[PEER])),
        [
            "10.100.23.0/24 via 192.168.50.2 dev 2",
            "fd00:100:0:3c::/64 via fd00:50::2 dev 2"
        ]
    );
}

#[test]
fn a_next_hop_behind_a_router_is_reported_and_not_routed() {
    let far = (
        "10.100.24.0-24",
        r#"{"PublicIP":"192.168.60.3","BackendType":"host-gw"}"#,
    );
    let wanted = wanted(V4, &[PEER, far]);
    assert_eq!(wanted.routes.len(), 1);
    assert_eq!(wanted.unserved.len(), 1);
    let text = wanted.unserved[0].reason.to_string();
    assert_eq!(text, "not on-link: next hop 192.168.60.3");
}

#[test]
fn backend_data_do_not_matter() {
    let null = (
        "10.100.24.0-24",
        r#"{"PublicIP":"192.168.50.3","BackendType":"host-gw","BackendData":null}"#,
    );
    assert_eq!(wanted(V4, &[null]).routes.len(), 1);
}

#[test]
fn a_public_address_behind_nat_is_refused() {
    let config = NetworkConfig::parse(V4.as_bytes()).expect("config");
    assert_eq!(HostGw.fits(&config, &underlay()), Ok(()));
    let nat = Underlay {
        public_ip: "192.0.2.77".parse().ok(),
        ..underlay()
    };
    assert!(matches!(HostGw.fits(&config, &nat), Err(Unfit::Nat { .. })));
}
