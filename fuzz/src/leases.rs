//! What the store hands to netd: the network's configuration, and the other nodes' leases.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use backend::testing::devices;
use backend::{Backend, Family, Peers, Underlay, Vetting, Wanted};
use cluster::{
    Allocation, IpipOptions, LeaseAttrs, NetworkConfig, Subnets, UdpOptions, VtepData,
    WireguardData, WireguardOptions, overlap,
};
use host_gw_backend::HostGw;
use ipip_backend::Ipip;
use ipnetwork::IpNetwork;
use kernel::Secret;
use netd::{backends, check_config, store};
use udp_backend::Udp;
use vxlan_backend::Vxlan;
use wireguard_backend::Wireguard;

const OWN: &str = "10.244.7.0-24&fd44:0:0:7::-64";
const NAMES: [&str; 5] = ["host-gw", "ipip", "udp", "vxlan", "wireguard"];

/// A network of the backend `name`, in both families where it has them.
fn usual_config(name: &str) -> NetworkConfig {
    let v6 = !["ipip", "udp"].contains(&name);
    let text = format!(
        r#"{{"Network":"10.244.0.0/16","EnableIPv6":{v6},"IPv6Network":"fd44::/48",
            "Backend":{{"Type":"{name}"}}}}"#
    );
    NetworkConfig::parse(text.as_bytes()).unwrap()
}

/// The backend as a node runs it; `None` where its options are wrong, or it has no devices.
fn opened(config: &NetworkConfig) -> Option<Box<dyn Backend>> {
    Some(match config.backend.kind.as_str() {
        "host-gw" => Box::new(HostGw),
        "ipip" => Box::new(Ipip::new(IpipOptions::parse(config).ok()?).ok()?),
        "udp" => Box::new(Udp::new(UdpOptions::parse(config).ok()?).ok()?),
        "vxlan" => Box::new(Vxlan::new(config).ok()?),
        "wireguard" => {
            let options = WireguardOptions::parse(config).ok()?;
            Box::new(Wireguard::new(config, options, Secret::private_key([3; 32])).ok()?)
        }
        _ => return None,
    })
}

/// The usual network, with a store in the pods' network.
fn underlay() -> Underlay {
    let mut underlay = backend::testing::underlay();
    underlay.routes.need(["10.244.200.9".parse().unwrap()]);
    underlay
}

pub(crate) fn configs() -> Vec<Vec<u8>> {
    let config = |backend: &str| {
        format!(
            r#"{{"Network": "10.244.0.0/16", "SubnetLen": 24, "SubnetMin": "10.244.1.0",
                "SubnetMax": "10.244.99.0", "EnableIPv6": true, "IPv6Network": "fd44::/48",
                "IPv6SubnetLen": 64, "IPv6SubnetMin": "fd44:0:0:1::", "IPv6SubnetMax": "fd44:0:0:99::",
                "EnableNFTables": true, "Backend": {backend}}}"#
        )
    };
    let backends = [
        r#"{"Type": "vxlan", "VNI": 1, "Port": 8472, "GBP": true, "Learning": true, "DirectRouting": true,
            "MTU": 1450, "MacPrefix": "0E-2A"}"#,
        r#"{"Type": "wireguard", "ListenPort": 51820, "ListenPortV6": 51821, "Mode": "auto", "MTU": 1420,
            "PSK": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=", "PersistentKeepaliveInterval": 25}"#,
        r#"{"Type": "extension", "PreStartupCommand": "true", "PostStartupCommand": "true",
            "SubnetAddCommand": "cat", "SubnetRemoveCommand": "cat"}"#,
        r#"{"Type": "udp", "Port": 8285}"#,
        r#"{"Type": "host-gw"}"#,
        r#"{"Type": "alloc"}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = backends.map(|backend| config(backend).into()).into();
    seeds.push(
        br#"{"Network": "10.0.0.0/8", "Backend": {"Type": "ipip", "DirectRouting": true}}"#
            .to_vec(),
    );
    seeds
}

/// The network's configuration: what a daemon says of it, what `netd check-config` says, and what a node
/// makes of one that is right.
pub(crate) fn config(data: &[u8]) {
    let report = check_config::judge(data, Allocation::Drawn);
    let parsed = NetworkConfig::parse(data);
    let Ok(config) = parsed else {
        assert!(
            !report.errors.is_empty(),
            "a daemon refuses what the check passes"
        );
        return;
    };
    let usable = backends::check(&config);
    assert_eq!(
        usable.is_ok(),
        report.errors.is_empty(),
        "{:?}",
        report.errors
    );
    let (Ok(()), Some(backend)) = (usable, opened(&config)) else {
        return;
    };
    let underlay = underlay();
    let _ = backend.fits(&config, &underlay);
    let _ = backend.mtu(&config, &underlay);
    let devices = devices(backend.as_ref(), &config, &underlay);
    let own = Subnets::parse_key(OWN).unwrap();
    for family in Family::enabled_in(&config) {
        let _ = backend.lease_data(family, &devices);
    }
    backend.wanted(&config, &own, &Peers::new(), &underlay, &devices);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mac = r#"{"VNI":1,"VtepMAC":"02:11:22:33:44:55"}"#;
    let key = r#"{"PublicKey":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=","Port":51820}"#;
    let dual = "10.244.3.0-24&fd44:0:0:3::-64";
    let lease = |name: &str, data: &str, kind: &str, key: &str| {
        let value = format!(
            r#"{{"PublicIP":"192.168.50.3","PublicIPv6":"fd00:50::3","BackendType":"{name}",
                "BackendData":{data},"BackendV6Data":{data}}}"#
        );
        let text = format!("{kind}\0{key}\0{value}");
        text.into_bytes()
    };
    vec![
        lease("vxlan", mac, "vxlan", dual),
        lease("wireguard", key, "wireguard", dual),
        lease("host-gw", "null", "host-gw", "10.244.3.0-24"),
        lease("ipip", "null", "ipip", "10.244.3.0-24"),
        lease("", "null", "udp", "10.244.3.0-24"),
        lease(
            "extension",
            r#"{"a":[1]}"#,
            "vxlan",
            "0.0.0.0-0&fd44:0:0:3::-64",
        ),
    ]
}

/// A lease in the store: which backend reads it (by the length of the word, if it is none), a zero, the
/// name, a zero, the value.
pub(crate) fn lease(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == 0);
    let (Some(kind), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let kind = String::from_utf8_lossy(kind);
    let kind = match NAMES.iter().find(|name| **name == kind) {
        Some(name) => name,
        None => NAMES[kind.len() % NAMES.len()],
    };
    match store::decode(&String::from_utf8_lossy(key), value) {
        Ok((subnets, attrs)) => served(&usual_config(kind), subnets, attrs),
        Err(malformed) => assert!(!netd::chain(&malformed).is_empty()),
    }
}

/// What a node makes of a lease that can be read: whatever it says, none takes the node's own packets away.
fn served(config: &NetworkConfig, subnets: Subnets, attrs: LeaseAttrs) {
    assert_eq!(Subnets::parse_key(&subnets.key()).ok(), Some(subnets));
    let printed = LeaseAttrs::parse(attrs.to_json().as_bytes());
    assert_eq!(printed.ok().as_ref(), Some(&attrs));
    for data in [&attrs.backend_data, &attrs.backend_v6_data]
        .into_iter()
        .flatten()
    {
        if let Ok(vtep) = VtepData::parse(data) {
            assert_eq!(VtepData::parse(&vtep.to_json()).ok(), Some(vtep));
        }
        if let Ok(wireguard) = WireguardData::parse(data) {
            assert_eq!(
                WireguardData::parse(&wireguard.to_json()).ok(),
                Some(wireguard)
            );
        }
    }
    let peers = with_neighbours(subnets, attrs);
    let backend = opened(config).unwrap();
    let underlay = underlay();
    let own = Subnets::parse_key(OWN).unwrap();
    let devices = devices(backend.as_ref(), config, &underlay);
    let wanted = backend.wanted(config, &own, &peers, &underlay, &devices);
    assert_eq!(
        wanted,
        backend.wanted(config, &own, &peers, &underlay, &devices)
    );
    for unserved in &wanted.unserved {
        assert!(!unserved.reason.to_string().is_empty());
        assert!(!unserved.reason.label().is_empty());
    }
    for family in Family::enabled_in(config) {
        let vetting = backend.vetting(family, config, &own, &underlay);
        harmless(&vetting, &wanted);
    }
}

/// The lease among usual ones.
fn with_neighbours(subnets: Subnets, attrs: LeaseAttrs) -> Peers {
    let mut peers = Peers::new();
    for usual in seeds() {
        let mut parts = usual.splitn(3, |&byte| byte == 0).skip(1);
        let key = String::from_utf8_lossy(parts.next().unwrap()).into_owned();
        let (subnets, attrs) = store::decode(&key, parts.next().unwrap()).unwrap();
        peers.insert(subnets, Arc::new(attrs));
    }
    peers.insert(subnets, Arc::new(attrs));
    peers
}

/// Routes stay inside the network, apart from each other, and away from what the node itself needs.
fn harmless(vetting: &Vetting<'_>, wanted: &Wanted) {
    let family = vetting.family;
    let network = family.network(vetting.config).unwrap();
    let own = family.subnet(vetting.own).unwrap();
    let underlay = vetting.underlay;
    let ours = [underlay.public(family), underlay.local(family)];
    let needed: BTreeSet<IpAddr> = underlay.routes.needed().copied().collect();
    // A WireGuard or tun device has one route, to all of the network, and each peer its part of that.
    let parts = wanted.wireguard.values().flat_map(|peer| &peer.allowed_ips);
    let told = wanted.forwarding.iter().flat_map(|told| told.peers.keys());
    let told: Vec<_> = told.copied().map(IpNetwork::V4).collect();
    let routes = wanted.routes.keys().map(|key| &key.dst);
    let is_shared =
        |dst: &IpNetwork| ["wireguard", ""].contains(&vetting.lease_type) && *dst == network;
    let routes: Vec<_> = routes
        .filter(|dst| !is_shared(dst))
        .chain(parts)
        .chain(&told)
        .copied()
        .filter(|dst| Family::of(dst.ip()) == family)
        .collect();
    for (at, dst) in routes.iter().enumerate() {
        assert!(
            network.contains(dst.ip()) && dst.prefix() >= network.prefix(),
            "{dst} is outside"
        );
        assert!(!overlap(*dst, own), "{dst} is this node's own");
        for address in ours.iter().flatten().chain(&needed) {
            assert!(!dst.contains(*address), "{dst} covers {address}");
        }
        for other in &routes[at + 1..] {
            assert!(!overlap(*dst, *other), "{dst} and {other} overlap");
        }
    }
}
