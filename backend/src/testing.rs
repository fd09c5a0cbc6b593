//! What tests of backends share: a node and its network, the others' leases, and what is wanted, in words.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use cluster::{LeaseAttrs, NetworkConfig, Subnets};
use kernel::{LinkIndex, MacAddr, PublicKey, Route};

use crate::{Backend, Device, DeviceKind, NextHops, Peers, Reason, Underlay, Wanted};

/// The node's external interface.
pub const EXTERNAL: LinkIndex = LinkIndex(2);
/// The first device of a backend; the next ones follow.
pub const DEVICE: LinkIndex = LinkIndex(7);
/// The MAC of each device that has one.
pub const OWN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xff]);
/// The public key of each device that has one.
pub const OWN_KEY: PublicKey = PublicKey([0xee; 32]);

/// A network config.
pub fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text.as_bytes()).expect("config")
}

/// The subnets of a lease, by its key.
pub fn subnets(key: &str) -> Subnets {
    Subnets::parse_key(key).expect("key")
}

/// The node's lease.
pub fn own() -> Subnets {
    subnets("10.100.86.0-24&fd00:100:0:48::-64")
}

/// The others' leases, each by its key and what is published with it.
pub fn peers<K: AsRef<str>, V: AsRef<str>>(leases: &[(K, V)]) -> Peers {
    let lease = |(key, value): &(K, V)| {
        let attrs = LeaseAttrs::parse(value.as_ref().as_bytes()).expect("attrs");
        (subnets(key.as_ref()), Arc::new(attrs))
    };
    leases.iter().map(lease).collect()
}

/// A route over the external interface.
pub fn route(dst: &str, gateway: Option<&str>) -> Route {
    Route {
        gateway: gateway.map(|address| address.parse().expect("gateway")),
        link: Some(EXTERNAL),
        ..Route::to(dst.parse().expect("dst"))
    }
}

/// The node's network: others are on the link in both families, and behind a router in IPv4.
pub fn underlay() -> Underlay {
    Underlay {
        link: EXTERNAL,
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

/// The same with a public IPv4 address that is not the interface's.
pub fn behind_nat() -> Underlay {
    Underlay {
        public_ip: "203.0.113.7".parse().ok(),
        ..underlay()
    }
}

/// The devices that the backend wants, as the kernel has them.
pub fn devices(backend: &dyn Backend, config: &NetworkConfig, underlay: &Underlay) -> Vec<Device> {
    let wanted = backend.devices(config, underlay).into_iter();
    let made = wanted.zip(DEVICE.0..).map(|(wanted, index)| Device {
        link: LinkIndex(index),
        mac: wanted.kind.has_mac().then_some(OWN_MAC),
        public_key: matches!(wanted.kind, DeviceKind::Wireguard(_)).then_some(OWN_KEY),
        checksum_offload: None,
        families: wanted.families,
        name: wanted.name,
        mtu: wanted.mtu,
    });
    made.collect()
}

/// What the node wants for the others' leases, with the devices that the backend wants.
pub fn wanted<K: AsRef<str>, V: AsRef<str>>(
    backend: &dyn Backend,
    config: &NetworkConfig,
    underlay: &Underlay,
    leases: &[(K, V)],
) -> Wanted {
    let devices = devices(backend, config, underlay);
    backend.wanted(config, &own(), &peers(leases), underlay, &devices)
}

/// Each route in short: `10.100.66.0/24 via 10.100.66.0 dev 7 onlink`.
pub fn routes(wanted: &Wanted) -> Vec<String> {
    wanted.routes.values().map(line).collect()
}

fn line(route: &Route) -> String {
    assert_eq!(route.protocol, Route::PROTOCOL_PODWIRE);
    let onlink = if route.onlink { " onlink" } else { "" };
    format!("{route}{onlink}")
}

/// Each address with its device: `7 10.100.86.0/32`.
pub fn addresses(wanted: &Wanted) -> Vec<String> {
    let addresses = wanted.addresses.iter();
    addresses
        .map(|wanted| format!("{} {}", wanted.link, wanted.address))
        .collect()
}

/// Why each lease that gets nothing does.
pub fn reasons(wanted: &Wanted) -> Vec<&Reason> {
    wanted.unserved.iter().map(|peer| &peer.reason).collect()
}
