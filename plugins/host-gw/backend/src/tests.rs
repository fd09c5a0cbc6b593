use backend::testing::{behind_nat, config, routes, underlay};

use super::*;

fn wanted(text: &str, leases: &[(&str, &str)]) -> Wanted {
    backend::testing::wanted(&HostGw, &config(text), &underlay(), leases)
}

const V4: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"host-gw"}}"#;
const DUAL: &str = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,
    "IPv6Network":"fd00:100::/48","Backend":{"Type":"host-gw"}}"#;
const PEER: (&str, &str) = (
    "10.100.23.0-24&fd00:100:0:3c::-64",
    r#"{"PublicIP":"192.168.50.2","PublicIPv6":"fd00:50::2","BackendType":"host-gw"}"#,
);

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
    let config = config(V4);
    assert_eq!(HostGw.fits(&config, &underlay()), Ok(()));
    let refused = HostGw.fits(&config, &behind_nat());
    assert!(matches!(refused, Err(Unfit::Nat { .. })));
}
