//! WireGuard devices: given keys and peers, and compared with what `wg` says.
//!
//! A kernel without them skips these, unless `REQUIRE_KINDS=1` (see `tools/with-vm`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Step, here, name};
use kernel::testing::World;
use kernel::{
    Change, LinkIndex, Netlink, NewKind, NewLink, PublicKey, Secret, WireguardPeer,
    WireguardSettings,
};

/// `None`, with the reason, where the kernel has no WireGuard.
fn device(netlink: &Netlink) -> Option<LinkIndex> {
    if !netlink.has_link_kind(&NewKind::Wireguard).step() {
        let required = std::env::var_os("REQUIRE_KINDS").is_some_and(|value| value == "1");
        assert!(!required, "REQUIRE_KINDS=1, but there is no wireguard");
        eprintln!("skipped: this kernel has no wireguard");
        return None;
    }
    let name = name("wg0");
    let new = NewLink {
        up: true,
        ..NewLink::new(&name, NewKind::Wireguard)
    };
    Some(netlink.add_link(&new).step().index)
}

fn peer(number: u8, allowed_ips: &[&str]) -> WireguardPeer {
    WireguardPeer {
        public_key: PublicKey([number; 32]),
        preshared_key: None,
        endpoint: "192.0.2.1:51820".parse().ok(),
        keepalive: 0,
        allowed_ips: allowed_ips.iter().map(|net| net.parse().unwrap()).collect(),
    }
}

fn apply(netlink: &Netlink, changes: &[Change]) {
    let outcomes = netlink.apply(changes).step();
    assert_eq!(outcomes.len(), changes.len());
    outcomes.into_iter().for_each(Step::step);
}

/// Lines of `wg show wg0 dump`, fields separated by blanks.
fn dump() -> Vec<String> {
    let text = here().run("wg show wg0 dump");
    text.lines().map(|line| line.replace('\t', " ")).collect()
}

#[test]
fn a_device_is_as_wg_shows_it() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let Some(link) = device(&netlink) else { return };
    let bare = netlink.wireguard(link).step();
    assert_eq!((bare.private_key, bare.public_key), (None, None));

    let settings = WireguardSettings {
        private_key: Secret::new_private_key().step(),
        listen_port: 51999,
    };
    netlink.set_wireguard(link, &settings).step();
    let seen = netlink.wireguard(link).step();
    assert_eq!(seen.private_key.as_ref(), Some(&settings.private_key));
    assert_eq!(seen.listen_port, 51999);
    let private = STANDARD.encode(settings.private_key.reveal());
    let public = seen.public_key.unwrap();
    assert_eq!(dump(), [format!("{private} {public} 51999 off")]);

    let first = WireguardPeer {
        preshared_key: Some(Secret::preshared_key([9; 32])),
        keepalive: 25,
        ..peer(1, &["10.1.0.0/24", "fd00:1::/64"])
    };
    let second = WireguardPeer {
        endpoint: "[fd00:50::2]:51821".parse().ok(),
        ..peer(2, &["10.2.0.0/24"])
    };
    let set = |peer: &WireguardPeer| Change::SetWireguardPeer(link, peer.clone());
    apply(&netlink, &[set(&first), set(&second)]);
    let shared = STANDARD.encode([9; 32]);
    let (one, two) = (first.public_key, second.public_key);
    let lines = dump();
    for line in [
        format!("{one} {shared} 192.0.2.1:51820 10.1.0.0/24,fd00:1::/64 0 0 0 25"),
        format!("{two} (none) [fd00:50::2]:51821 10.2.0.0/24 0 0 0 off"),
    ] {
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
    let peers = netlink.wireguard(link).step().peers;
    let mut peers: Vec<WireguardPeer> = peers.into_iter().map(|state| state.peer).collect();
    peers.sort();
    assert_eq!(peers, [first.clone(), second]);

    // Networks move to the peer that is given them last, and an endpoint that is left out stays.
    let moved = WireguardPeer {
        endpoint: None,
        ..peer(2, &["10.1.0.0/24", "10.3.0.0/24"])
    };
    apply(&netlink, &[set(&moved)]);
    let lines = dump();
    for line in [
        format!("{one} {shared} 192.0.2.1:51820 fd00:1::/64 0 0 0 25"),
        format!("{two} (none) [fd00:50::2]:51821 10.1.0.0/24,10.3.0.0/24 0 0 0 off"),
    ] {
        assert!(
            lines.contains(&line)
                || lines
                    .contains(&line.replace("10.1.0.0/24,10.3.0.0/24", "10.3.0.0/24,10.1.0.0/24")),
            "{line}: {lines:#?}"
        );
    }
    let remove = |key| Change::RemoveWireguardPeer(link, key);
    apply(&netlink, &[remove(one), remove(one), remove(two)]);
    assert_eq!(dump().len(), 1);
}

/// More than one message holds: many peers, and one with many networks; other changes between.
#[test]
fn many_peers_are_read_whole() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let Some(link) = device(&netlink) else { return };
    let numbered = |number: u32| {
        let [a, b, ..] = number.to_le_bytes();
        let mut wide = peer(1, &[&format!("10.{b}.{a}.0/24")]);
        wide.public_key.0[..2].copy_from_slice(&[a, b]);
        wide
    };
    let mut peers: Vec<WireguardPeer> = (0..300).map(numbered).collect();
    peers[150].allowed_ips = (0..2000u32)
        .map(|number| {
            let [a, b, ..] = number.to_le_bytes();
            format!("172.16.{b}.{a}/32").parse().unwrap()
        })
        .collect();
    let mut changes: Vec<Change> = peers
        .iter()
        .map(|peer| Change::SetWireguardPeer(link, peer.clone()))
        .collect();
    let address = "10.255.0.1/32".parse().unwrap();
    changes.insert(200, Change::AddAddress(link, address));
    apply(&netlink, &changes);
    let seen = netlink.wireguard(link).step().peers;
    let mut seen: Vec<WireguardPeer> = seen.into_iter().map(|state| state.peer).collect();
    seen.sort();
    peers.sort();
    assert!(seen == peers, "{} of {}", seen.len(), peers.len());
    assert!(here().run("ip addr show dev wg0").contains("10.255.0.1/32"));
}

#[test]
fn what_is_no_wireguard_device_is_told() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let error = netlink.wireguard(LinkIndex(1)).unwrap_err();
    // ENOENT: no such family; EOPNOTSUPP: lo is of another kind.
    assert!(
        matches!(error.errno(), Some(2 | 95)),
        "{error}: {}",
        error.source
    );
    let change = Change::RemoveWireguardPeer(LinkIndex(4242), PublicKey([1; 32]));
    match device(&netlink) {
        // What is to be deleted is gone with its device.
        Some(_) => apply(&netlink, &[change]),
        None => drop(netlink.apply(&[change]).unwrap_err()),
    }
}
