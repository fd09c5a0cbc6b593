use backend::testing::{OWN_KEY, addresses, devices, peers, reasons, routes, underlay};
use kernel::LinkIndex;
use proptest::prelude::*;

use super::*;

fn config(mode: &str, families: &str) -> NetworkConfig {
    let families = match families {
        "v4" => r#""Network":"10.100.0.0/16""#,
        "v6" => r#""EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:100::/48""#,
        _ => r#""Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48""#,
    };
    let backend = format!(r#"{{"Type":"wireguard"{mode}}}"#);
    let text = format!(r#"{{{families},"Backend":{backend}}}"#);
    backend::testing::config(&text)
}

fn backend(config: &NetworkConfig) -> Wireguard {
    let options = WireguardOptions::parse(config).expect("options");
    Wireguard::new(config, options, Secret::private_key([3; 32])).expect("names")
}

fn wanted(mode: &str, families: &str, leases: &[(&str, String)]) -> Wanted {
    let config = config(mode, families);
    backend::testing::wanted(&backend(&config), &config, &underlay(), leases)
}

fn key(number: u8) -> String {
    PublicKey([number; 32]).to_string()
}

/// A node with one family, its data as flannel 0.20 writes them.
fn old_peer(number: u8) -> String {
    let key = key(number);
    format!(
        r#"{{"PublicIP":"192.168.50.{number}","PublicIPv6":null,"BackendType":"wireguard",
            "BackendData":{{"PublicKey":"{key}"}}}}"#
    )
}

/// A dual-stack node as flannel writes it now.
fn dual_peer(number: u8, port: u16, port_v6: u16) -> String {
    let key = key(number);
    format!(
        r#"{{"PublicIP":"192.168.50.{number}","PublicIPv6":"fd00:50::{number}",
            "BackendType":"wireguard","BackendData":{{"PublicKey":"{key}","Port":{port}}},
            "BackendV6Data":{{"PublicKey":"{key}","Port":{port_v6}}}}}"#
    )
}

/// `7 AQEB… 192.168.50.2:51820 10.100.66.0/24`
fn lines(wanted: &Wanted) -> Vec<String> {
    let line = |((link, key), peer): (&(LinkIndex, PublicKey), &WireguardPeer)| {
        assert_eq!(*key, peer.public_key);
        let endpoint = peer.endpoint.expect("endpoint");
        let networks: Vec<String> = peer.allowed_ips.iter().map(ToString::to_string).collect();
        format!("{link} {key} {endpoint} {}", networks.join(","))
    };
    wanted.wireguard.iter().map(line).collect()
}

const PLACE2: &str = "10.100.66.0-24";
const DUAL2: &str = "10.100.66.0-24&fd00:100:0:42::-64";

#[test]
fn a_peer_is_its_key_its_address_and_its_subnet() {
    let wanted = wanted("", "v4", &[(PLACE2, old_peer(2))]);
    let line = format!("7 {} 192.168.50.2:51820 10.100.66.0/24", key(2));
    assert_eq!(lines(&wanted), [line]);
    assert_eq!(routes(&wanted), ["10.100.0.0/16 dev 7 scope 253"]);
    assert_eq!(addresses(&wanted), ["7 10.100.86.0/32"]);
    assert!(wanted.fdb.is_empty() && wanted.neighbours.is_empty());
    assert_eq!(wanted.unserved, []);
}

#[test]
fn separate_devices_have_each_their_family() {
    let wanted = wanted("", "dual", &[(DUAL2, dual_peer(2, 51820, 51999))]);
    let key = key(2);
    assert_eq!(
        lines(&wanted),
        [
            format!("7 {key} 192.168.50.2:51820 10.100.66.0/24"),
            format!("8 {key} [fd00:50::2]:51999 fd00:100:0:42::/64"),
        ]
    );
    assert_eq!(
        routes(&wanted),
        ["10.100.0.0/16 dev 7 scope 253", "fd00:100::/48 dev 8"]
    );
    assert_eq!(
        addresses(&wanted),
        ["7 10.100.86.0/32", "8 fd00:100:0:48::/128"]
    );
}

#[test]
fn one_device_has_both() {
    for (mode, endpoint) in [
        ("auto", "192.168.50.2:51820"),
        ("ipv4", "192.168.50.2:51820"),
        ("ipv6", "[fd00:50::2]:51820"),
    ] {
        let mode = format!(r#","Mode":"{mode}""#);
        let wanted = wanted(&mode, "dual", &[(DUAL2, dual_peer(2, 51820, 51821))]);
        let both = "10.100.66.0/24,fd00:100:0:42::/64";
        assert_eq!(lines(&wanted), [format!("7 {} {endpoint} {both}", key(2))]);
        assert_eq!(
            routes(&wanted),
            ["10.100.0.0/16 dev 7 scope 253", "fd00:100::/48 dev 7"]
        );
        assert_eq!(
            addresses(&wanted),
            ["7 10.100.86.0/32", "7 fd00:100:0:48::/128"]
        );
        assert_eq!(wanted.unserved, []);
    }
}

#[test]
fn the_peers_port_counts_and_else_the_own() {
    let options = r#","ListenPort":1111,"ListenPortV6":2222"#;
    let wanted = wanted(
        options,
        "dual",
        &[
            (DUAL2, dual_peer(2, 51820, 0)),
            ("10.100.67.0-24", old_peer(3)),
        ],
    );
    assert_eq!(
        lines(&wanted),
        [
            format!("7 {} 192.168.50.2:51820 10.100.66.0/24", key(2)),
            format!("7 {} 192.168.50.3:1111 10.100.67.0/24", key(3)),
            format!("8 {} [fd00:50::2]:2222 fd00:100:0:42::/64", key(2)),
        ]
    );
}

#[test]
fn ipv6_alone_has_its_device_alone() {
    let lease = format!(
        r#"{{"PublicIP":"0.0.0.0","PublicIPv6":"fd00:50::2","BackendType":"wireguard",
            "BackendV6Data":{{"PublicKey":"{}"}}}}"#,
        key(2)
    );
    let place = "0.0.0.0-0&fd00:100:0:42::-64";
    let separate = wanted("", "v6", &[(place, lease.clone())]);
    let expected = |port: u16| format!("7 {} [fd00:50::2]:{port} fd00:100:0:42::/64", key(2));
    assert_eq!(lines(&separate), [expected(51821)]);
    let single = wanted(r#","Mode":"auto""#, "v6", &[(place, lease)]);
    assert_eq!(lines(&single), [expected(51820)]);
}

#[test]
fn keys_and_keepalive_go_to_every_peer() {
    let psk = cluster::print_key(&[9; 32]);
    let options = format!(r#","PSK":"{psk}","PersistentKeepaliveInterval":25"#);
    let leases = [(PLACE2, old_peer(2)), ("10.100.67.0-24", old_peer(3))];
    let wanted = wanted(&options, "v4", &leases);
    assert_eq!(wanted.wireguard.len(), 2);
    for peer in wanted.wireguard.values() {
        assert_eq!(peer.keepalive, 25);
        assert_eq!(peer.preshared_key, Some(Secret::preshared_key([9; 32])));
    }
    let text = format!("{wanted:?} {:?}", backend(&config(&options, "v4")));
    assert!(!text.contains(&psk) && !text.contains("9, 9, 9"), "{text}");
}

#[test]
fn bad_leases_are_reported_and_harm_nobody() {
    let data = |data: &str| {
        format!(r#"{{"PublicIP":"192.168.50.9","BackendType":"wireguard","BackendData":{data}}}"#)
    };
    let bad = |what: &str| Reason::BadBackendData(what.to_owned());
    let own = OWN_KEY.to_string();
    let two = PublicKey([2; 32]);
    let table = [
        (
            r#"{"PublicIP":"192.168.50.9","BackendType":"wireguard"}"#.to_owned(),
            bad("there are none"),
        ),
        (
            data(r#""text""#),
            bad("the wireguard backend data cannot be read"),
        ),
        (
            data("{}"),
            bad("the wireguard backend data has no PublicKey"),
        ),
        (
            data(r#"{"PublicKey":"not-a-key"}"#),
            bad(r#"PublicKey "not-a-key" is not a key of 32 bytes in base64"#),
        ),
        (
            data(&format!(r#"{{"PublicKey":"{}","Port":70000}}"#, key(9))),
            bad("Port 70000 is out of range: 0 to 65535"),
        ),
        (
            data(&format!(r#"{{"PublicKey":"{own}"}}"#)),
            Reason::OwnKey(OWN_KEY),
        ),
        (
            data(&format!(r#"{{"PublicKey":"{two}"}}"#)),
            Reason::KeyTaken(two),
        ),
        (
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}}"#
                .to_owned(),
            Reason::OtherBackend("vxlan".to_owned()),
        ),
    ];
    for (lease, reason) in table {
        let leases = [(PLACE2, old_peer(2)), ("10.100.99.0-24", lease.clone())];
        let wanted = wanted("", "v4", &leases);
        let served = format!("7 {two} 192.168.50.2:51820 10.100.66.0/24");
        assert_eq!(lines(&wanted), [served], "{lease}");
        assert_eq!(reasons(&wanted), [&reason], "{lease}");
    }
}

#[test]
fn two_subnets_of_one_node_are_one_peer() {
    let both = [(PLACE2, old_peer(2)), ("10.100.67.0-24", old_peer(2))];
    let expected = format!(
        "7 {} 192.168.50.2:51820 10.100.66.0/24,10.100.67.0/24",
        key(2)
    );
    assert_eq!(lines(&wanted("", "v4", &both)), [expected]);
}

#[test]
fn devices_are_flannels() {
    for (mode, families, expected) in [
        ("", "v4", &[("flannel-wg", 51820, 1420)][..]),
        ("", "v6", &[("flannel-wg-v6", 51821, 1420)]),
        (
            "",
            "dual",
            &[("flannel-wg", 51820, 1420), ("flannel-wg-v6", 51821, 1420)],
        ),
        (r#","Mode":"auto""#, "dual", &[("flannel-wg", 51820, 1420)]),
        (r#","Mode":"ipv6""#, "v6", &[("flannel-wg", 51820, 1420)]),
        (r#","MTU":1400"#, "v4", &[("flannel-wg", 51820, 1320)]),
        (r#","MTU":9000"#, "v4", &[("flannel-wg", 51820, 1420)]),
        (
            r#","ListenPort":51999"#,
            "v4",
            &[("flannel-wg", 51999, 1420)],
        ),
    ] {
        let config = config(mode, families);
        let backend = backend(&config);
        let devices = backend.devices(&config, &underlay());
        let seen: Vec<(&str, u16, u32)> = devices
            .iter()
            .map(|device| match &device.kind {
                DeviceKind::Wireguard(settings) => {
                    (device.name.as_str(), settings.listen_port, device.mtu)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, expected, "{mode} {families}");
        assert_eq!(backend.mtu(&config, &underlay()), expected[0].2);
    }
}

#[test]
fn the_published_data_are_flannels() {
    let own = OWN_KEY.to_string();
    let data = |port: u16| format!(r#"{{"PublicKey":"{own}","Port":{port}}}"#);
    for (mode, families, v4, v6) in [
        ("", "v4", Some(51820), None),
        ("", "v6", None, Some(51821)),
        ("", "dual", Some(51820), Some(51821)),
        (r#","Mode":"auto""#, "dual", Some(51820), Some(51820)),
    ] {
        let config = config(mode, families);
        let backend = backend(&config);
        let devices = devices(&backend, &config, &underlay());
        for (family, port) in [(Family::V4, v4), (Family::V6, v6)] {
            let published = backend.lease_data(family, &devices);
            let text = published.as_ref().map(RawJson::as_str);
            assert_eq!(
                text,
                port.map(data).as_deref(),
                "{mode} {families} {family:?}"
            );
        }
    }
    let config = config("", "v4");
    assert_eq!(backend(&config).lease_data(Family::V4, &[]), None);
}

proptest! {
    /// No two peers of a device may send from the same network, whatever is published.
    #[test]
    fn a_network_has_one_peer(leases in proptest::collection::vec((0u8..6, 0u8..4, 1u8..5), 0..12)) {
        let leases: Vec<(String, String)> = leases
            .into_iter()
            .map(|(place, length, node)| {
                (format!("10.100.{}.0-{}", place * 8, 21 + length), old_peer(node))
            })
            .collect();
        let leases: Vec<(&str, String)> = leases
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        let wanted = wanted("", "v4", &leases);
        let networks: Vec<_> = wanted
            .wireguard
            .values()
            .flat_map(|peer| peer.allowed_ips.iter().copied())
            .collect();
        for (index, one) in networks.iter().enumerate() {
            for other in &networks[index + 1..] {
                prop_assert!(!cluster::overlap(*one, *other), "{} {}", one, other);
            }
        }
        prop_assert_eq!(
            networks.len() + wanted.unserved.len(),
            peers(&leases).len()
        );
    }
}
