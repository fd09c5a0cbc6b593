use std::net::IpAddr;

use backend::testing::{
    OWN_MAC, addresses, behind_nat, config, devices, reasons, routes, underlay,
};
use kernel::LinkIndex;

use super::*;

const V4: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"vxlan"}}"#;
const DUAL: &str = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,
    "IPv6Network":"fd00:100::/48","Backend":{"Type":"vxlan"}}"#;
const DIRECT: &str = r#"{"Network":"10.100.0.0/16",
    "Backend":{"Type":"vxlan","DirectRouting":true}}"#;

fn tunnel(kind: &DeviceKind) -> &VxlanDevice {
    match kind {
        DeviceKind::Vxlan(device) => device,
        other => panic!("{other:?}"),
    }
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn wanted(text: &str, leases: &[(&str, &str)]) -> Wanted {
    let config = config(text);
    let backend = Vxlan::new(&config).expect("options");
    backend::testing::wanted(&backend, &config, &underlay(), leases)
}

const PEER2: (&str, &str) = (
    "10.100.66.0-24",
    r#"{"PublicIP":"192.168.50.2","PublicIPv6":null,"BackendType":"vxlan",
        "BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:02"}}"#,
);
const PEER3: (&str, &str) = (
    "10.100.93.0-24",
    r#"{"PublicIP":"192.168.60.3","PublicIPv6":null,"BackendType":"vxlan",
        "BackendData":{"VNI":1,"VtepMAC":"02-00-00-00-00-03"}}"#,
);
const DUAL_PEER: (&str, &str) = (
    "10.100.79.0-24&fd00:100:0:25::-64",
    r#"{"PublicIP":"192.168.50.4","PublicIPv6":"fd00:50::4","BackendType":"vxlan",
        "BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:04"},
        "BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:14"}}"#,
);

#[test]
fn a_peer_needs_route_neighbour_and_fdb_entry() {
    let wanted = wanted(V4, &[PEER2]);
    assert_eq!(
        routes(&wanted),
        ["10.100.66.0/24 via 10.100.66.0 dev 7 onlink"]
    );
    let gateway: IpAddr = "10.100.66.0".parse().expect("address");
    assert_eq!(
        wanted.neighbours.get(&(LinkIndex(7), gateway)),
        Some(&mac(2))
    );
    let node: IpAddr = "192.168.50.2".parse().expect("address");
    assert_eq!(wanted.fdb.get(&(LinkIndex(7), mac(2))), Some(&node));
    assert_eq!(addresses(&wanted), ["7 10.100.86.0/32"]);
    assert_eq!(wanted.unserved, []);
}

#[test]
fn dual_stack_is_twice_the_same() {
    let wanted = wanted(DUAL, &[DUAL_PEER]);
    assert_eq!(
        routes(&wanted),
        [
            "10.100.79.0/24 via 10.100.79.0 dev 7 onlink",
            "fd00:100:0:25::/64 via fd00:100:0:25:: dev 8 onlink",
        ]
    );
    let node: IpAddr = "fd00:50::4".parse().expect("address");
    assert_eq!(wanted.fdb.get(&(LinkIndex(8), mac(0x14))), Some(&node));
    assert_eq!(
        addresses(&wanted),
        ["7 10.100.86.0/32", "8 fd00:100:0:48::/128"]
    );
    let v4_peer_only = super::tests::wanted(DUAL, &[PEER2]);
    assert_eq!(
        routes(&v4_peer_only).len(),
        1,
        "a node without IPv6 is served in IPv4"
    );
    let v4_cluster = super::tests::wanted(V4, &[DUAL_PEER]);
    assert_eq!(
        routes(&v4_cluster).len(),
        1,
        "a dual-stack key is harmless to an IPv4 cluster"
    );
}

#[test]
fn direct_routing_applies_on_the_same_link_only() {
    let wanted = wanted(DIRECT, &[PEER2, PEER3]);
    assert_eq!(
        routes(&wanted),
        [
            "10.100.66.0/24 via 192.168.50.2 dev 2",
            "10.100.93.0/24 via 10.100.93.0 dev 7 onlink",
        ]
    );
    assert_eq!(wanted.neighbours.len(), 1);
    assert_eq!(wanted.fdb.len(), 1);
}

#[test]
fn bad_leases_are_reported_and_harm_nobody() {
    let table: &[(&str, &str, Reason)] = &[
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"host-gw"}"#,
            Reason::OtherBackend("host-gw".to_owned()),
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9"}"#,
            Reason::OtherBackend(String::new()),
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan"}"#,
            Reason::BadBackendData("there are none".to_owned()),
        ),
        (
            "10.100.1.7-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"02:00:00:00:00:09"}}"#,
            Reason::HostBits,
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"0.0.0.0","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"02:00:00:00:00:09"}}"#,
            Reason::NoPublicAddress,
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.1","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"02:00:00:00:00:09"}}"#,
            Reason::OwnAddress("192.168.50.1".parse().expect("address")),
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"00:00:00:00:00:00"}}"#,
            Reason::BadMac(MacAddr([0; 6]), "zero"),
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"ff:ff:ff:ff:ff:ff"}}"#,
            Reason::BadMac(MacAddr([0xff; 6]), "the broadcast address"),
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"01:00:5e:00:00:09"}}"#,
            Reason::BadMac(MacAddr([1, 0, 0x5e, 0, 0, 9]), "a multicast address"),
        ),
        (
            "10.100.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"02:00:00:00:00:ff"}}"#,
            Reason::OwnMac(OWN_MAC),
        ),
        (
            "10.200.1.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"02:00:00:00:00:09"}}"#,
            Reason::OutsideNetwork("10.100.0.0/16".parse().expect("network")),
        ),
        (
            "10.100.99.0-24",
            r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan",
                "BackendData":{"VtepMAC":"02:00:00:00:00:02"}}"#,
            Reason::Collision(mac(2)),
        ),
    ];
    for (key, value, reason) in table {
        let wanted = wanted(V4, &[PEER2, (key, value)]);
        assert_eq!(
            routes(&wanted),
            ["10.100.66.0/24 via 10.100.66.0 dev 7 onlink"],
            "{value}"
        );
        assert_eq!(reasons(&wanted), [reason], "{value}");
    }
    let short =
        r#"{"PublicIP":"192.168.50.9","BackendType":"vxlan","BackendData":{"VtepMAC":"02"}}"#;
    let wanted = wanted(V4, &[PEER2, ("10.100.1.0-24", short)]);
    assert!(matches!(
        wanted.unserved[0].reason,
        Reason::BadBackendData(_)
    ));
}

#[test]
fn two_subnets_of_one_node_share_its_fdb_entry() {
    let second = ("10.100.67.0-24", PEER2.1);
    let both = wanted(V4, &[PEER2, second]);
    assert_eq!(
        (both.routes.len(), both.neighbours.len(), both.fdb.len()),
        (2, 2, 1)
    );
    let one = wanted(V4, &[second]);
    assert_eq!(
        one.fdb, both.fdb,
        "the entry stays while one of them needs it"
    );
}

#[test]
fn devices_are_flannels() {
    /// Name, VNI, port, MTU.
    type Expected = (&'static str, u32, u16, u32);
    let table: &[(&str, &[Expected])] = &[
        (V4, &[("flannel.1", 1, 0, 1450)]),
        (
            DUAL,
            &[("flannel.1", 1, 0, 1450), ("flannel-v6.1", 1, 0, 1430)],
        ),
        (
            r#"{"Network":"10.0.0.0/16","Backend":{"type":"VXLAN","vni":42,"port":4789}}"#,
            &[("flannel.42", 42, 4789, 1450)],
        ),
        (
            r#"{"Network":"10.0.0.0/16","Backend":{"Type":"vxlan","VNI":9999999}}"#,
            &[("flannel.9999999", 9_999_999, 0, 1450)],
        ),
        (
            r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00::/48",
                "Backend":{"Type":"vxlan","VNI":9999}}"#,
            &[("flannel-v6.9999", 9_999, 0, 1430)],
        ),
        (
            r#"{"Network":"10.0.0.0/16","Backend":{"Type":"vxlan","MTU":1400}}"#,
            &[("flannel.1", 1, 0, 1350)],
        ),
        (
            r#"{"Network":"10.0.0.0/16","Backend":{"Type":"vxlan","MTU":9000}}"#,
            &[("flannel.1", 1, 0, 1450)],
        ),
    ];
    for (text, expected) in table {
        let config = config(text);
        let backend = Vxlan::new(&config).expect("options");
        let devices = backend.devices(&config, &underlay());
        let seen: Vec<(&str, u32, u16, u32)> = devices
            .iter()
            .map(|device| {
                let tunnel = &tunnel(&device.kind).tunnel;
                (device.name.as_str(), tunnel.vni, tunnel.port, device.mtu)
            })
            .collect();
        assert_eq!(seen, *expected, "{text}");
        let smallest = expected.iter().map(|(.., mtu)| *mtu).min();
        assert_eq!(Some(backend.mtu(&config, &underlay())), smallest);
    }
}

#[test]
fn behind_nat_the_device_has_the_interfaces_address_and_accepts_the_public_one() {
    let config = config(V4);
    let backend = Vxlan::new(&config).expect("options");
    let tunnel_end =
        |underlay: &Underlay| tunnel(&backend.devices(&config, underlay)[0].kind).clone();
    let device = tunnel_end(&behind_nat());
    assert_eq!(device.tunnel.local, "192.168.50.1".parse().ok());
    assert_eq!(device.other_local, "203.0.113.7".parse().ok());
    assert_eq!(tunnel_end(&underlay()).other_local, None);
}

#[test]
fn behind_nat_the_kernel_computes_checksums_unless_told_otherwise() {
    let config = config(V4);
    for (told, plain, behind) in [
        (ChecksumOffload::Auto, None, Some(false)),
        (ChecksumOffload::On, Some(true), Some(true)),
        (ChecksumOffload::Off, Some(false), Some(false)),
    ] {
        let backend = Vxlan::new(&config).expect("options");
        let backend = backend.with_checksum_offload(told);
        let offload = |underlay: &Underlay| {
            tunnel(&backend.devices(&config, underlay)[0].kind).checksum_offload
        };
        assert_eq!(
            (offload(&underlay()), offload(&behind_nat())),
            (plain, behind)
        );
    }
}

#[test]
fn the_published_data_are_flannels() {
    let config = config(V4);
    let backend = Vxlan::new(&config).expect("options");
    let devices = devices(&backend, &config, &underlay());
    let data = backend.lease_data(Family::V4, &devices).expect("data");
    assert_eq!(data.as_str(), r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:ff"}"#);
    assert_eq!(backend.lease_data(Family::V6, &devices), None);
    assert_eq!(published_vni(70_000), 4464);
}

#[test]
fn a_vni_that_no_name_can_carry_is_refused() {
    let text = r#"{"Network":"10.0.0.0/16","Backend":{"Type":"vxlan","VNI":10000000}}"#;
    assert!(matches!(
        Vxlan::new(&config(text)),
        Err(OptionsError::Options(_))
    ));
}
