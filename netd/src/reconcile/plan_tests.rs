use backend::WantedAddress;
use proptest::prelude::*;

use super::*;

const DEVICE: LinkIndex = LinkIndex(7);
const EXTERNAL: LinkIndex = LinkIndex(2);
const OTHER: LinkIndex = LinkIndex(3);

fn ownership() -> Ownership {
    Ownership {
        devices: BTreeSet::from([DEVICE]),
        flannel: BTreeSet::from([DEVICE]),
        external: Some(EXTERNAL),
        networks: vec![net("10.100.0.0/16"), net("fd00:100::/48")],
    }
}

fn net(text: &str) -> IpNetwork {
    text.parse().expect("network")
}

fn overlay(dst: &str) -> Route {
    let dst = net(dst);
    Wanted::route(dst, dst.network(), DEVICE, true)
}

fn direct(dst: &str, gateway: &str) -> Route {
    Wanted::route(net(dst), gateway.parse().expect("gateway"), EXTERNAL, false)
}

fn boot(route: Route) -> Route {
    Route {
        protocol: Route::PROTOCOL_BOOT,
        ..route
    }
}

fn wanted(routes: &[Route]) -> Wanted {
    let mut wanted = Wanted::default();
    for route in routes {
        wanted.add_route(route.clone());
    }
    wanted
}

fn seen(routes: &[Route]) -> Observed {
    Observed {
        routes: routes.to_vec(),
        ..Observed::default()
    }
}

/// To a peer, and from one that has left since.
#[test]
fn a_route_of_flannels_ipip_is_known_by_its_device_and_next_hop() {
    let on = |link, dst, gateway: &str| Route {
        link: Some(link),
        ..boot(Wanted::route(
            net(dst),
            gateway.parse().expect("gateway"),
            DEVICE,
            true,
        ))
    };
    let (dst, node) = ("10.100.1.0/24", "192.168.50.2");
    let ours = Wanted::route(net(dst), node.parse().expect("gateway"), DEVICE, true);
    for (what, route, stale) in [
        ("flannel's", on(DEVICE, dst, node), true),
        ("through a pod", on(DEVICE, dst, "10.100.7.7"), false),
        ("to no pods", on(DEVICE, "172.16.0.0/16", node), false),
        ("on another device", on(OTHER, dst, node), false),
        ("flannel's direct one", on(EXTERNAL, dst, node), false),
        (
            "not on-link",
            Route {
                onlink: false,
                ..on(DEVICE, dst, node)
            },
            false,
        ),
    ] {
        let observed = seen(std::slice::from_ref(&route));
        let changes = plan(&wanted(&[]), &observed, &ownership()).changes;
        let expected: Vec<Change> = stale
            .then(|| Change::DeleteRoute(route.clone()))
            .into_iter()
            .collect();
        assert_eq!(changes, expected, "{what}");
    }
    for flannels in [on(DEVICE, dst, node), on(EXTERNAL, dst, node)] {
        let changes = plan(
            &wanted(std::slice::from_ref(&ours)),
            &seen(&[flannels]),
            &ownership(),
        )
        .changes;
        assert_eq!(changes, [Change::ReplaceRoute(ours.clone())]);
    }
}

#[test]
fn a_blackhole_of_flannels_gives_way_to_ours() {
    let own = cluster::Subnets::parse_key("10.100.86.0-24&fd00:100:0:26::-64").expect("key");
    let mut want = Wanted::default();
    want.add_blackholes(&own);
    let ours: Vec<Route> = want.routes.values().cloned().collect();
    assert_eq!(ours.len(), 2);
    let flannels = |dst| Route {
        kind: RouteKind::Blackhole,
        ..boot(Route::to(net(dst)))
    };
    let found = seen(&[flannels("10.100.86.0/24"), flannels("10.100.87.0/24")]);
    let made = ours.iter().cloned().map(Change::ReplaceRoute);
    let removed = Change::DeleteRoute(flannels("10.100.86.0/24"));
    let expected: Vec<Change> = made.chain([removed]).collect();
    assert_eq!(plan(&want, &found, &ownership()).changes, expected);

    let removed: Vec<Change> = ours.iter().cloned().map(Change::DeleteRoute).collect();
    let plan = plan(&Wanted::default(), &seen(&ours), &ownership());
    assert_eq!(plan.changes, removed);
}

#[test]
fn routes_by_table() {
    let a = overlay("10.100.1.0/24");
    let kernel_route = Route {
        protocol: 2,
        gateway: None,
        onlink: false,
        ..a.clone()
    };
    let elsewhere = Route {
        link: Some(OTHER),
        ..boot(direct("10.100.1.0/24", "192.0.2.1"))
    };
    let replace = |route: &Route| Change::ReplaceRoute(route.clone());
    let delete = |route: &Route| Change::DeleteRoute(route.clone());
    /// Name, wanted, seen, changes, number of conflicts.
    type Row = (&'static str, Vec<Route>, Vec<Route>, Vec<Change>, usize);
    let table: Vec<Row> = vec![
        ("missing", vec![a.clone()], vec![], vec![replace(&a)], 0),
        ("there", vec![a.clone()], vec![a.clone()], vec![], 0),
        ("not wanted", vec![], vec![a.clone()], vec![delete(&a)], 0),
        (
            "of another device",
            vec![a.clone()],
            vec![Route {
                link: Some(OTHER),
                ..a.clone()
            }],
            vec![replace(&a)],
            0,
        ),
        (
            "of flanneld",
            vec![a.clone()],
            vec![boot(a.clone())],
            vec![replace(&a)],
            0,
        ),
        (
            "of flanneld, stale",
            vec![],
            vec![boot(a.clone())],
            vec![delete(&boot(a.clone()))],
            0,
        ),
        (
            "of flanneld, over the external interface",
            vec![a.clone()],
            vec![boot(direct("10.100.1.0/24", "192.168.50.9"))],
            vec![replace(&a)],
            0,
        ),
        (
            "somebody's gateway route elsewhere",
            vec![],
            vec![boot(direct("10.9.0.0/16", "192.168.50.9"))],
            vec![],
            0,
        ),
        (
            "somebody's on-link route over our device",
            vec![],
            vec![Route {
                gateway: "10.9.9.9".parse().ok(),
                ..boot(overlay("10.9.0.0/16"))
            }],
            vec![],
            0,
        ),
        (
            "a bridge's subnet in the way",
            vec![a.clone()],
            vec![kernel_route],
            vec![],
            1,
        ),
        (
            "an administrator's route in the way",
            vec![a.clone()],
            vec![elsewhere],
            vec![],
            1,
        ),
        (
            "twice, the right one last",
            vec![a.clone()],
            vec![
                Route {
                    link: Some(OTHER),
                    ..a.clone()
                },
                a.clone(),
            ],
            vec![delete(&Route {
                link: Some(OTHER),
                ..a.clone()
            })],
            0,
        ),
    ];
    for (name, want, have, changes, conflicts) in table {
        let plan = plan(&wanted(&want), &seen(&have), &ownership());
        assert_eq!(plan.changes, changes, "{name}");
        assert_eq!(plan.conflicts.len(), conflicts, "{name}");
    }
}

#[test]
fn what_a_packet_needs_comes_before_its_route() {
    let mut want = wanted(&[overlay("10.100.1.0/24")]);
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let neighbour = Neighbour {
        link: DEVICE,
        address: "10.100.1.0".parse().expect("address"),
        mac,
    };
    let fdb = FdbEntry {
        link: DEVICE,
        mac,
        dst: "192.0.2.1".parse().expect("address"),
    };
    assert!(want.add_neighbour(&neighbour) && want.add_fdb(&fdb));
    let up = plan(&want, &Observed::default(), &ownership()).changes;
    assert!(
        matches!(
            up[..],
            [
                Change::ReplaceFdb(_),
                Change::ReplaceNeighbour(_),
                Change::ReplaceRoute(_)
            ]
        ),
        "{up:?}"
    );
    let full = apply(&Observed::default(), &up);
    let down = plan(&Wanted::default(), &full, &ownership()).changes;
    assert!(
        matches!(
            down[..],
            [
                Change::DeleteRoute(_),
                Change::DeleteNeighbour(_),
                Change::DeleteFdb(_)
            ]
        ),
        "{down:?}"
    );
}

#[test]
fn a_changed_endpoint_moves_the_entry_and_a_changed_mac_leaves_none_behind() {
    let entry = |mac: u8, dst: &str| FdbEntry {
        link: DEVICE,
        mac: MacAddr([2, 0, 0, 0, 0, mac]),
        dst: dst.parse().expect("address"),
    };
    let mut want = Wanted::default();
    assert!(want.add_fdb(&entry(1, "192.0.2.9")));
    let observed = Observed {
        fdb: vec![entry(1, "192.0.2.1"), entry(2, "192.0.2.2")],
        ..Observed::default()
    };
    let after = apply(&observed, &plan(&want, &observed, &ownership()).changes);
    assert_eq!(after.fdb, [entry(1, "192.0.2.9")]);
    let flood = FdbEntry {
        mac: MacAddr([0; 6]),
        ..entry(0, "239.0.0.1")
    };
    let observed = Observed {
        fdb: vec![flood],
        ..Observed::default()
    };
    assert_eq!(
        plan(&Wanted::default(), &observed, &ownership()).changes,
        []
    );
}

#[test]
fn addresses_of_an_older_lease_go_and_others_stay() {
    let want = Wanted {
        addresses: vec![WantedAddress {
            link: DEVICE,
            address: net("10.100.86.0/32"),
            replaces_within: net("10.100.0.0/16"),
        }],
        ..Wanted::default()
    };
    let observed = Observed {
        addresses: vec![
            (DEVICE, net("10.100.9.9/24")),
            (DEVICE, net("172.20.0.1/24")),
            (OTHER, net("10.100.5.1/24")),
        ],
        ..Observed::default()
    };
    let changes = plan(&want, &observed, &ownership()).changes;
    assert_eq!(
        changes,
        [
            Change::AddAddress(DEVICE, net("10.100.86.0/32")),
            Change::DeleteAddress(DEVICE, net("10.100.9.9/24")),
        ]
    );
}

/// What the kernel does with changes, as far as a plan relies on it.
fn apply(observed: &Observed, changes: &[Change]) -> Observed {
    let mut after = observed.clone();
    for change in changes {
        match change.clone() {
            Change::AddAddress(link, address) => after.addresses.push((link, address)),
            Change::DeleteAddress(link, address) => {
                after.addresses.retain(|found| *found != (link, address));
            }
            Change::ReplaceRoute(route) => {
                let key = RouteKey::of(&route);
                let first = after
                    .routes
                    .iter()
                    .position(|found| RouteKey::of(found) == key);
                match first {
                    Some(first) => after.routes[first] = route,
                    None => after.routes.push(route),
                }
            }
            Change::DeleteRoute(route) => {
                if let Some(found) = after.routes.iter().position(|found| *found == route) {
                    after.routes.remove(found);
                }
            }
            Change::ReplaceNeighbour(new) => {
                after
                    .neighbours
                    .retain(|old| (old.link, old.address) != (new.link, new.address));
                after.neighbours.push(new);
            }
            Change::DeleteNeighbour(gone) => after.neighbours.retain(|found| *found != gone),
            Change::ReplaceFdb(new) => {
                let same = |old: &FdbEntry| (old.link, old.mac) == (new.link, new.mac);
                match after.fdb.iter().position(same) {
                    Some(_) if after.fdb.contains(&new) => {}
                    Some(first) => after.fdb[first] = new,
                    None => after.fdb.push(new),
                }
            }
            Change::DeleteFdb(gone) => after.fdb.retain(|found| *found != gone),
            Change::SetUp(_)
            | Change::AddRoute(_)
            | Change::AddAddressNoDad(..)
            | Change::ReplaceNeighbourBy(..)
            | Change::ReplaceBridgeFdb(_) => {
                panic!("no plan has {change}")
            }
            Change::SetWireguardPeer(link, new) => set_peer(&mut after.wireguard, link, new),
            Change::RemoveWireguardPeer(link, key) => after
                .wireguard
                .retain(|(on, peer)| (*on, peer.public_key) != (link, key)),
        }
    }
    after
}

/// As the kernel: an endpoint that is left out stays, and a network belongs to the last that got it.
fn set_peer(peers: &mut Vec<(LinkIndex, WireguardPeer)>, link: LinkIndex, new: WireguardPeer) {
    let same =
        |(on, peer): &(LinkIndex, WireguardPeer)| (*on, peer.public_key) == (link, new.public_key);
    let before = peers.iter().position(same).map(|at| peers.remove(at).1);
    for (_, other) in peers.iter_mut().filter(|(on, _)| *on == link) {
        other
            .allowed_ips
            .retain(|network| !new.allowed_ips.contains(network));
    }
    let endpoint = new.endpoint.or(before.and_then(|before| before.endpoint));
    peers.push((link, WireguardPeer { endpoint, ..new }));
}

fn wireguard_peer(key: u8, endpoint: u8, networks: &[u8]) -> WireguardPeer {
    WireguardPeer {
        public_key: PublicKey([key; 32]),
        preshared_key: None,
        endpoint: format!("192.0.2.{endpoint}:51820").parse().ok(),
        keepalive: 0,
        allowed_ips: networks
            .iter()
            .map(|number| net(&format!("10.100.{number}.0/24")))
            .collect(),
    }
}

fn wanted_peers(peers: &[WireguardPeer]) -> Wanted {
    let mut wanted = Wanted::default();
    for peer in peers {
        assert!(wanted.add_wireguard_peer(DEVICE, peer.clone()));
    }
    wanted
}

fn seen_peers(peers: &[WireguardPeer]) -> Observed {
    Observed {
        wireguard: peers.iter().map(|peer| (DEVICE, peer.clone())).collect(),
        ..Observed::default()
    }
}

#[test]
fn peers_by_table() {
    let a = wireguard_peer(1, 1, &[1]);
    let set = |peer: &WireguardPeer| Change::SetWireguardPeer(DEVICE, peer.clone());
    let remove = |key: u8| Change::RemoveWireguardPeer(DEVICE, PublicKey([key; 32]));
    let without_endpoint = |peer: &WireguardPeer| WireguardPeer {
        endpoint: None,
        ..peer.clone()
    };
    let elsewhere = WireguardPeer {
        allowed_ips: [net("172.20.0.9/32")].into(),
        ..wireguard_peer(9, 9, &[])
    };
    let slow = WireguardPeer {
        keepalive: 25,
        ..a.clone()
    };
    /// Name, wanted, seen, changes.
    type Row = (
        &'static str,
        Vec<WireguardPeer>,
        Vec<WireguardPeer>,
        Vec<Change>,
    );
    let table: Vec<Row> = vec![
        ("missing", vec![a.clone()], vec![], vec![set(&a)]),
        ("there", vec![a.clone()], vec![a.clone()], vec![]),
        (
            "its lease is gone",
            vec![],
            vec![a.clone()],
            vec![remove(1)],
        ),
        (
            "at another address",
            vec![a.clone()],
            vec![wireguard_peer(1, 2, &[1])],
            vec![set(&a)],
        ),
        (
            "with other networks, endpoint left alone",
            vec![a.clone()],
            vec![wireguard_peer(1, 1, &[2, 3])],
            vec![set(&without_endpoint(&a))],
        ),
        (
            "another keepalive",
            vec![slow.clone()],
            vec![a.clone()],
            vec![set(&without_endpoint(&slow))],
        ),
        (
            "another key: the new one takes the network, then the old one goes",
            vec![wireguard_peer(2, 1, &[1])],
            vec![a.clone()],
            vec![set(&wireguard_peer(2, 1, &[1])), remove(1)],
        ),
        (
            "without networks, as flannel leaves one whose key changed",
            vec![],
            vec![wireguard_peer(5, 5, &[])],
            vec![remove(5)],
        ),
        (
            "somebody's, of another network",
            vec![],
            vec![elsewhere],
            vec![],
        ),
    ];
    for (name, want, have, changes) in table {
        let plan = plan(&wanted_peers(&want), &seen_peers(&have), &ownership());
        assert_eq!(plan.changes, changes, "{name}");
    }
}

#[test]
fn the_route_to_the_whole_network_is_taken_over_from_flannel() {
    let ours = Wanted::device_route(net("10.100.0.0/16"), DEVICE);
    assert_eq!((ours.scope, ours.gateway), (253, None));
    let v6 = Wanted::device_route(net("fd00:100::/48"), DEVICE);
    assert_eq!(v6.scope, 0);
    let want = wanted(&[ours.clone(), v6.clone()]);
    let by_hand = boot(Wanted::device_route(net("172.20.0.9/32"), DEVICE));
    let flannels = [boot(ours.clone()), boot(v6.clone()), by_hand];
    let changes = plan(&want, &seen(&flannels), &ownership()).changes;
    assert_eq!(
        changes,
        [Change::ReplaceRoute(ours.clone()), Change::ReplaceRoute(v6)]
    );
    let foreign = Route {
        link: Some(OTHER),
        ..boot(ours)
    };
    let plan = plan(&want, &seen(&[foreign]), &ownership());
    assert_eq!(plan.conflicts.len(), 1);
}

/// Peers with networks of which each belongs to one.
fn any_peers() -> impl Strategy<Value = Vec<WireguardPeer>> {
    proptest::collection::btree_map(0u8..6, (0u8..4, 0u8..3), 0..6).prop_map(|networks| {
        let mut peers: BTreeMap<u8, WireguardPeer> = BTreeMap::new();
        for (network, (key, endpoint)) in networks {
            let fresh = wireguard_peer(key, endpoint, &[]);
            let peer = peers.entry(key).or_insert(fresh);
            peer.allowed_ips
                .insert(net(&format!("10.100.{network}.0/24")));
        }
        peers.into_values().collect()
    })
}

fn any_dst() -> impl Strategy<Value = IpNetwork> {
    (0u8..2, 0u8..5).prop_map(|(family, number)| match family {
        0 => net(&format!("10.100.{number}.0/24")),
        _ => net(&format!("fd00:100:0:{number}::/64")),
    })
}

fn any_wanted_route() -> impl Strategy<Value = Route> {
    (any_dst(), any::<bool>()).prop_map(|(dst, overlay)| match (overlay, dst) {
        (true, _) => Wanted::route(dst, dst.network(), DEVICE, true),
        (false, IpNetwork::V4(_)) => Wanted::route(
            dst,
            "192.168.50.9".parse().expect("gateway"),
            EXTERNAL,
            false,
        ),
        (false, IpNetwork::V6(_)) => {
            Wanted::route(dst, "fd00:50::9".parse().expect("gateway"), EXTERNAL, false)
        }
    })
}

fn any_seen_route() -> impl Strategy<Value = Route> {
    let protocol = prop_oneof![
        Just(Route::PROTOCOL_PODWIRE),
        Just(Route::PROTOCOL_BOOT),
        Just(2u8),
        Just(4u8)
    ];
    let link = prop_oneof![Just(DEVICE), Just(EXTERNAL), Just(OTHER)];
    (
        any_wanted_route(),
        protocol,
        link,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(route, protocol, link, gateway, keep_link)| Route {
            protocol,
            link: if keep_link { route.link } else { Some(link) },
            gateway: route.gateway.filter(|_| gateway),
            ..route
        })
}

fn any_neighbour() -> impl Strategy<Value = Neighbour> {
    (any::<bool>(), 0u8..4, 0u8..4).prop_map(|(ours, address, mac)| Neighbour {
        link: if ours { DEVICE } else { OTHER },
        address: IpAddr::from([10, 100, address, 0]),
        mac: MacAddr([2, 0, 0, 0, 0, mac]),
    })
}

fn any_fdb() -> impl Strategy<Value = FdbEntry> {
    (any::<bool>(), 0u8..4, 0u8..4).prop_map(|(ours, dst, mac)| FdbEntry {
        link: if ours { DEVICE } else { OTHER },
        dst: IpAddr::from([192, 0, 2, dst]),
        mac: MacAddr([2, 0, 0, 0, 0, mac]),
    })
}

prop_compose! {
    fn any_wanted()(
        routes in prop::collection::vec(any_wanted_route(), 0..6),
        neighbours in prop::collection::vec(any_neighbour(), 0..4),
        fdb in prop::collection::vec(any_fdb(), 0..4),
        address in 0u8..3,
        peers in any_peers(),
    ) -> Wanted {
        let mut want = wanted(&routes);
        want.wireguard = wanted_peers(&peers).wireguard;
        for neighbour in neighbours {
            want.add_neighbour(&Neighbour { link: DEVICE, ..neighbour });
        }
        for entry in fdb {
            want.add_fdb(&FdbEntry { link: DEVICE, ..entry });
        }
        want.addresses.push(WantedAddress {
            link: DEVICE,
            address: net(&format!("10.100.{address}.0/32")),
            replaces_within: net("10.100.0.0/16"),
        });
        want
    }
}

prop_compose! {
    fn any_observed()(
        routes in prop::collection::hash_set(any_seen_route(), 0..8),
        neighbours in prop::collection::hash_set(any_neighbour(), 0..6),
        fdb in prop::collection::hash_set(any_fdb(), 0..6),
        addresses in prop::collection::hash_set((any::<bool>(), 0u8..3, 0u8..2), 0..4),
        peers in any_peers(),
    ) -> Observed {
        let mut known = BTreeSet::new();
        Observed {
            routes: routes.into_iter().collect(),
            neighbours: neighbours
                .into_iter()
                .filter(|neighbour| known.insert((neighbour.link, neighbour.address)))
                .collect(),
            fdb: fdb.into_iter().collect(),
            wireguard: seen_peers(&peers).wireguard,
            addresses: addresses
                .into_iter()
                .map(|(ours, subnet, inside)| {
                    let first = if inside == 0 { 10 } else { 172 };
                    let address = net(&format!("{first}.100.{subnet}.0/32"));
                    (if ours { DEVICE } else { OTHER }, address)
                })
                .collect(),
        }
    }
}

proptest! {
    #[test]
    fn applying_a_plan_gives_what_is_wanted(want in any_wanted(), observed in any_observed()) {
        let ownership = ownership();
        let first = plan(&want, &observed, &ownership);
        let after = apply(&observed, &first.changes);

        let again = plan(&want, &after, &ownership);
        prop_assert_eq!(&again.changes, &vec![], "planning again gives nothing");
        prop_assert_eq!(&again.conflicts, &first.conflicts);

        let blocked: BTreeSet<RouteKey> = first.conflicts.iter().map(RouteKey::of).collect();
        for (key, route) in &want.routes {
            let programmed = after.routes.iter().filter(|found| *found == route).count();
            prop_assert_eq!(programmed, usize::from(!blocked.contains(key)), "{:?}", route);
        }
        for (&(link, _), peer) in &want.wireguard {
            prop_assert!(after.wireguard.contains(&(link, peer.clone())), "{:?}", peer);
        }
        prop_assert_eq!(after.wireguard.len(), want.wireguard.len());
        for (&(link, address), &mac) in &want.neighbours {
            let neighbour = Neighbour { link, address, mac };
            prop_assert!(after.neighbours.contains(&neighbour));
        }
        for (&(link, mac), &dst) in &want.fdb {
            let entry = FdbEntry { link, mac, dst };
            prop_assert!(after.fdb.contains(&entry));
        }
    }

    #[test]
    fn nothing_of_anyone_elses_is_touched(want in any_wanted(), observed in any_observed()) {
        let ownership = ownership();
        let after = apply(&observed, &plan(&want, &observed, &ownership).changes);
        for route in observed.routes.iter().filter(|route| !ownership.owns(route, &want)) {
            prop_assert!(after.routes.contains(route), "{:?}", route);
        }
        for route in after.routes.iter().filter(|route| !observed.routes.contains(route)) {
            prop_assert_eq!(want.routes.get(&RouteKey::of(route)), Some(route));
        }
        for neighbour in observed.neighbours.iter().filter(|found| found.link != DEVICE) {
            prop_assert!(after.neighbours.contains(neighbour));
        }
        for entry in observed.fdb.iter().filter(|found| found.link != DEVICE) {
            prop_assert!(after.fdb.contains(entry));
        }
        for address in observed.addresses.iter().filter(|(link, _)| *link != DEVICE) {
            prop_assert!(after.addresses.contains(address));
        }
    }

    #[test]
    fn nothing_of_ours_outlives_its_peer(observed in any_observed()) {
        let ownership = ownership();
        let nothing = Wanted::default();
        let after = apply(&observed, &plan(&nothing, &observed, &ownership).changes);
        prop_assert!(!after.routes.iter().any(|route| ownership.owns(route, &nothing)));
        prop_assert!(!after.neighbours.iter().any(|found| found.link == DEVICE));
        prop_assert!(!after.fdb.iter().any(|found| found.link == DEVICE));
    }
}
