//! Addresses, routes, neighbours and FDB entries, one by one and many at once, compared with what
//! `ip` and `bridge` say.

mod common;

use std::net::IpAddr;

use common::{Step, here, name};
use ipnetwork::IpNetwork;
use kernel::route::RouteFilter;
use kernel::testing::World;
use kernel::{Change, FdbEntry, LinkIndex, MacAddr, Neighbour, Netlink, Route, RouteKind};

/// A link that is up, with 10.0.0.2/24 and fd00::2/64, and a VXLAN device over it, up.
fn prepared() -> (Netlink, LinkIndex, LinkIndex) {
    let ip = here();
    ip.run("ip link add left type veth peer name right");
    ip.run("ip address add 10.0.0.2/24 dev left");
    ip.run("ip address add fd00::2/64 dev left nodad");
    ip.run("ip link set right up");
    ip.run("ip link set left up");
    ip.run("ip link add vx type vxlan id 1 dev left dstport 8472 nolearning");
    ip.run("ip link set vx up");
    let netlink = Netlink::open().step();
    let left = netlink.link(&name("left")).step().map(|link| link.index);
    let vx = netlink.link(&name("vx")).step().map(|link| link.index);
    (
        netlink,
        left.unwrap_or(LinkIndex(0)),
        vx.unwrap_or(LinkIndex(0)),
    )
}

fn net(text: &str) -> IpNetwork {
    text.parse().step()
}

fn ip(text: &str) -> IpAddr {
    text.parse().step()
}

#[test]
fn addresses() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    let table = [
        ("10.1.0.1/24", Some("10.1.0.255")),
        ("10.2.0.1/30", Some("10.2.0.3")),
        ("10.3.0.1/31", None),
        ("10.4.0.1/32", None),
        ("fd01::1/64", None),
        ("fd02::1/128", None),
    ];
    for (address, broadcast) in table {
        let address = net(address);
        netlink.add_address(left, address).step();
        let again = netlink.add_address(left, address).unwrap_err();
        assert!(again.is_exists(), "{again}: {}", again.source);
        assert_eq!(
            again.to_string().split(" (").next(),
            Some(&*format!("add address {address} to {left}"))
        );
        let seen = here().json("ip address show dev left");
        let seen = seen[0]["addr_info"].as_array().unwrap();
        let local = address.ip().to_string();
        let seen = seen.iter().find(|seen| seen["local"] == *local).unwrap();
        assert_eq!(seen["prefixlen"], address.prefix());
        assert_eq!(seen["broadcast"].as_str(), broadcast);
        assert_eq!(seen["scope"], "global");
    }
    let listed = netlink.addresses(Some(left)).step();
    assert!(listed.iter().all(|address| address.link == left));
    for (address, _) in table {
        let address = net(address);
        let found = listed
            .iter()
            .find(|found| found.address == address)
            .unwrap();
        assert!(
            found.permanent && !found.temporary && !found.deprecated,
            "{found:?}"
        );
        assert_eq!(found.scope, 0);
        netlink.delete_address(left, address).step();
        let again = netlink.delete_address(left, address).unwrap_err();
        assert!(again.is_gone(), "{again}: {}", again.source);
    }
    let all = netlink.addresses(None).step();
    let count = |addresses: &[kernel::Address], text| {
        addresses
            .iter()
            .filter(|address| address.address == net(text))
            .count()
    };
    assert_eq!(count(&all, "127.0.0.1/8"), 1);
    assert_eq!(count(&all, "fd01::1/64"), 0);
    let gone = netlink.addresses(Some(LinkIndex(4242))).unwrap_err();
    assert!(gone.is_gone(), "{gone}: {}", gone.source);
}

#[test]
fn duplicate_address_detection_is_seen_and_can_be_skipped() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    netlink.add_address(left, net("fd01::1/64")).step();
    netlink.add_address_nodad(left, net("fd02::1/64")).step();
    netlink.add_address_nodad(left, net("10.9.0.1/24")).step();
    let addresses = netlink.addresses(Some(left)).step();
    let find = |text| {
        addresses
            .iter()
            .find(|found| found.address == net(text))
            .unwrap()
    };
    assert!(find("fd01::1/64").tentative);
    assert!(!find("fd02::1/64").tentative);
    assert!(!find("10.9.0.1/24").tentative);
}

/// One route of each sort for the links and addresses of `prepared`, all different.
fn routes_of_each_sort(left: LinkIndex) -> Vec<Route> {
    let v4 = Route {
        link: Some(left),
        ..Route::to(net("10.1.0.0/24"))
    };
    let v6 = Route {
        link: Some(left),
        ..Route::to(net("fd01::/64"))
    };
    let to = |route: &Route, dst| Route {
        dst: net(dst),
        ..route.clone()
    };
    let via = |route: &Route, dst, gateway| Route {
        gateway: Some(ip(gateway)),
        ..to(route, dst)
    };
    let mut routes = vec![
        v4.clone(),
        v6.clone(),
        Route {
            scope: 253,
            ..to(&v4, "10.2.0.0/24")
        },
        Route {
            onlink: true,
            ..via(&v4, "10.8.0.0/24", "10.77.0.1")
        },
        Route {
            onlink: true,
            ..via(&v6, "fd08::/64", "fd77::1")
        },
        Route {
            kind: RouteKind::Blackhole,
            link: None,
            ..to(&v4, "10.9.0.0/24")
        },
        Route {
            kind: RouteKind::Blackhole,
            link: None,
            ..to(&v6, "fd09::/64")
        },
        via(&v4, "10.10.0.0/24", "fd00::1"),
    ];
    for (base, gateway, source, dsts) in [
        (
            v4,
            "10.0.0.1",
            "10.0.0.2",
            [
                "0.0.0.0/0",
                "10.3.0.0/24",
                "10.4.0.0/24",
                "10.5.0.0/24",
                "10.6.0.0/24",
                "10.7.0.1/32",
            ],
        ),
        (
            v6,
            "fd00::1",
            "fd00::2",
            [
                "::/0",
                "fd03::/64",
                "fd04::/64",
                "fd05::/64",
                "fd06::/64",
                "fd07::1/128",
            ],
        ),
    ] {
        let [default, metrics, priority, protocol, table, host] = dsts;
        routes.push(via(&base, default, gateway));
        routes.push(Route {
            mtu: Some(1400),
            advmss: Some(1300),
            ..via(&base, metrics, gateway)
        });
        routes.push(Route {
            priority: Some(77),
            source: Some(ip(source)),
            ..via(&base, priority, gateway)
        });
        routes.push(Route {
            protocol: Route::PROTOCOL_PODWIRE,
            ..via(&base, protocol, gateway)
        });
        routes.push(Route {
            table: 100_000,
            ..via(&base, table, gateway)
        });
        routes.push(Route {
            table: 100,
            ..via(&base, host, gateway)
        });
    }
    routes
}

#[test]
fn routes_read_back_equal_to_what_was_added() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    let before = netlink.routes(&RouteFilter::default()).step();
    let routes = routes_of_each_sort(left);
    for route in &routes {
        if let Err(error) = netlink.add_route(route) {
            panic!("{error}: {}", error.source);
        }
        let again = netlink.add_route(route).unwrap_err();
        assert!(again.is_exists(), "{again}: {}", again.source);
        netlink.replace_route(route).step();
    }
    let mut after = netlink.routes(&RouteFilter::default()).step();
    after.retain(|route| !before.contains(route));
    let mut wanted = routes.clone();
    after.sort();
    wanted.sort();
    assert_eq!(after, wanted);
    assert!(
        routes
            .iter()
            .all(|route| route.clone().normalised() == *route)
    );
    for route in &routes {
        netlink.delete_route(route).step();
        let again = netlink.delete_route(route).unwrap_err();
        assert!(again.is_gone(), "{again}: {}", again.source);
    }
    let mut left = netlink.routes(&RouteFilter::default()).step();
    let mut before = before;
    left.sort();
    before.sort();
    assert_eq!(left, before);
}

#[test]
fn routes_are_those_that_ip_shows() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    for route in routes_of_each_sort(left) {
        netlink.add_route(&route).step();
    }
    let seen = &here().json("ip -N route show 10.4.0.0/24")[0];
    assert_eq!(
        (&seen["gateway"], &seen["metric"]),
        (&"10.0.0.1".into(), &77.into())
    );
    assert_eq!(
        (&seen["prefsrc"], &seen["dev"]),
        (&"10.0.0.2".into(), &"left".into())
    );
    let seen = &here().json("ip -N route show 10.5.0.0/24")[0];
    assert_eq!(seen["protocol"], "112");
    let seen = &here().json("ip -6 route show fd03::/64")[0];
    assert_eq!(
        seen["metrics"][0],
        serde_json::json!({"mtu": 1400, "advmss": 1300})
    );
    let seen = &here().json("ip -6 route show fd08::/64")[0];
    assert_eq!(
        (&seen["gateway"], &seen["flags"][0]),
        (&"fd77::1".into(), &"onlink".into())
    );
    let seen = &here().json("ip route show table 100000")[0];
    assert_eq!(
        (&seen["dst"], &seen["gateway"]),
        (&"10.6.0.0/24".into(), &"10.0.0.1".into())
    );
    let seen = &here().json("ip route show 10.9.0.0/24")[0];
    assert_eq!(seen["type"], "blackhole");
    let seen = &here().json("ip route show 10.10.0.0/24")[0];
    assert_eq!(
        seen["via"],
        serde_json::json!({"family": "inet6", "host": "fd00::1"})
    );
}

#[test]
fn dumps_are_filtered() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    for route in routes_of_each_sort(left) {
        netlink.add_route(&route).step();
    }
    let count = |filter: RouteFilter| netlink.routes(&filter).step().len();
    let all = RouteFilter::default();
    let (v4, v6) = (
        count(RouteFilter {
            ipv6: Some(false),
            ..all.clone()
        }),
        count(RouteFilter {
            ipv6: Some(true),
            ..all.clone()
        }),
    );
    assert!(v4 > 8 && v6 > 8);
    assert_eq!(v4 + v6, count(all.clone()));
    assert_eq!(
        count(RouteFilter {
            table: Some(100_000),
            ..all.clone()
        }),
        2
    );
    assert_eq!(
        count(RouteFilter {
            table: Some(100),
            ..all.clone()
        }),
        2
    );
    assert_eq!(
        count(RouteFilter {
            table: Some(101),
            ..all.clone()
        }),
        0
    );
    assert_eq!(
        count(RouteFilter {
            protocol: Some(112),
            ..all.clone()
        }),
        2
    );
    let lo = netlink
        .routes(&RouteFilter {
            link: Some(LinkIndex(1)),
            ..all.clone()
        })
        .step();
    assert!(
        !lo.is_empty()
            && lo
                .iter()
                .all(|route| route.link.is_none_or(|link| link.0 == 1)),
        "{lo:?}"
    );
    let none = RouteFilter {
        link: Some(LinkIndex(4242)),
        ..all
    };
    assert!(netlink.routes(&none).unwrap_err().is_gone());
}

#[test]
fn several_next_hops_are_not_mistaken_for_one() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    let route = |dst, gateway| Route {
        gateway: Some(ip(gateway)),
        link: Some(left),
        ..Route::to(net(dst))
    };
    for (dst, first, second) in [
        ("10.1.0.0/24", "10.0.0.1", "10.0.0.3"),
        ("fd01::/64", "fd00::1", "fd00::3"),
    ] {
        netlink.add_route(&route(dst, first)).step();
        netlink.add_route(&route(dst, second)).step();
    }
    here().run("ip route add 10.2.0.0/24 nexthop via 10.0.0.1 nexthop via 10.0.0.3");
    let routes = netlink.routes(&RouteFilter::default()).step();
    let to = |dst| {
        let found = routes.iter().filter(move |route| route.dst == net(dst));
        found
            .map(|route| (route.kind, route.gateway))
            .collect::<Vec<_>>()
    };
    let unicast = |gateway| (RouteKind::Unicast, Some(ip(gateway)));
    assert_eq!(
        to("10.1.0.0/24"),
        [unicast("10.0.0.3"), unicast("10.0.0.1")]
    );
    assert_eq!(to("10.2.0.0/24"), [(RouteKind::Multipath, None)]);
    assert_eq!(to("fd01::/64"), [(RouteKind::Multipath, None)]);
    let all = RouteFilter::default();
    let by_next_hop = netlink.routes_by_next_hop(&all).step();
    let hops = |dst| {
        let found = by_next_hop
            .iter()
            .filter(move |route| route.dst == net(dst));
        let mut hops: Vec<_> = found
            .map(|route| (route.kind, route.gateway, route.link))
            .collect();
        hops.sort();
        hops
    };
    let hop = |kind, gateway| (kind, Some(ip(gateway)), Some(left));
    for (dst, kind, gateways) in [
        ("10.1.0.0/24", RouteKind::Unicast, ["10.0.0.1", "10.0.0.3"]),
        (
            "10.2.0.0/24",
            RouteKind::Multipath,
            ["10.0.0.1", "10.0.0.3"],
        ),
        ("fd01::/64", RouteKind::Multipath, ["fd00::1", "fd00::3"]),
    ] {
        assert_eq!(hops(dst), gateways.map(|gateway| hop(kind, gateway)));
    }
    let others = |routes: &[Route]| {
        let plain = routes
            .iter()
            .filter(|route| route.kind != RouteKind::Multipath);
        plain.cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&by_next_hop), others(&routes));
}

#[test]
fn refusals_say_what_and_why() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    let route = Route {
        gateway: Some(ip("10.99.0.1")),
        link: Some(left),
        ..Route::to(net("10.1.0.0/24"))
    };
    let error = netlink.replace_route(&route).unwrap_err();
    let text =
        format!("replace route 10.1.0.0/24 via 10.99.0.1 dev {left} (Nexthop has invalid gateway)");
    assert_eq!(error.to_string(), text);
    assert_eq!(error.source.kind(), std::io::ErrorKind::NetworkUnreachable);
    let host_bits = Route {
        link: Some(left),
        ..Route::to(net("10.1.0.7/24"))
    };
    let error = netlink.add_route(&host_bits).unwrap_err();
    assert_eq!(
        error.source.kind(),
        std::io::ErrorKind::InvalidInput,
        "{error}"
    );
}

#[test]
fn lookups() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    for (near, far, gateway, source) in [
        ("10.0.0.9", "192.0.2.1", "10.0.0.1", "10.0.0.2"),
        ("fd00::9", "2001:db8::1", "fd00::1", "fd00::2"),
    ] {
        let direct = netlink.route_to(ip(near)).step().unwrap();
        assert_eq!((direct.link, direct.gateway), (Some(left), None));
        assert_eq!(
            (direct.source, direct.dst),
            (Some(ip(source)), ip(near).into())
        );
        assert_eq!(netlink.route_to(ip(far)).step(), None);
        let dst = if ip(far).is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        let default = Route {
            gateway: Some(ip(gateway)),
            ..Route::to(net(dst))
        };
        netlink.add_route(&default).step();
        let routed = netlink.route_to(ip(far)).step().unwrap();
        assert_eq!(
            (routed.link, routed.gateway),
            (Some(left), Some(ip(gateway)))
        );
    }
    let own = netlink.route_to(ip("10.0.0.2")).step().unwrap();
    assert_eq!(own.kind, RouteKind::Other(2));
}

fn mac(last: u16) -> MacAddr {
    let [high, low] = last.to_be_bytes();
    MacAddr([2, 0, 0, 0, high, low])
}

#[test]
fn neighbours_and_fdb_entries() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, vx) = prepared();
    here().run("ip neighbour add 10.244.9.0 dev vx lladdr 02:00:00:00:00:99 nud reachable");
    here().run("bridge fdb append 02:00:00:00:00:98 dev vx dst 10.0.0.98 port 4789");
    let neighbour = |address, number| Neighbour {
        link: vx,
        address: ip(address),
        mac: mac(number),
    };
    let entry = |number, dst| FdbEntry {
        link: vx,
        mac: mac(number),
        dst: ip(dst),
    };
    let neighbours = [neighbour("10.244.1.0", 1), neighbour("fd44:1::", 1)];
    let entries = [entry(1, "10.0.0.11"), entry(2, "10.0.0.12")];
    let mut changes = Vec::new();
    changes.extend(neighbours.iter().cloned().map(Change::ReplaceNeighbour));
    changes.extend(entries.iter().cloned().map(Change::ReplaceFdb));
    for _ in 0..2 {
        let outcomes = netlink.apply(&changes).step();
        outcomes.into_iter().for_each(|outcome| outcome.step());
        let mut seen = netlink.neighbours(vx).step();
        seen.sort();
        assert_eq!(seen, neighbours);
        let mut seen = netlink.fdb(vx).step();
        seen.sort();
        assert_eq!(seen, entries);
    }
    assert_eq!(netlink.neighbours(left).step(), []);
    assert_eq!(netlink.fdb(left).step(), []);
    let seen = here().run("bridge fdb show dev vx");
    assert!(
        seen.lines()
            .any(|line| line.trim() == "02:00:00:00:00:01 dst 10.0.0.11 self permanent"),
        "{seen}"
    );
    let seen = &here().json("ip neighbour show 10.244.1.0 dev vx")[0];
    assert_eq!(
        (&seen["lladdr"], &seen["state"][0]),
        (&"02:00:00:00:00:01".into(), &"PERMANENT".into())
    );

    // The same hardware address behind another VTEP; another hardware address for a neighbour.
    let moved = [
        Change::ReplaceFdb(entry(1, "10.0.0.13")),
        Change::ReplaceNeighbour(neighbour("10.244.1.0", 7)),
    ];
    netlink
        .apply(&moved)
        .step()
        .into_iter()
        .for_each(|outcome| outcome.step());
    assert_eq!(netlink.fdb(vx).step().len(), 2);
    assert!(netlink.fdb(vx).step().contains(&entry(1, "10.0.0.13")));
    assert!(
        netlink
            .neighbours(vx)
            .step()
            .contains(&neighbour("10.244.1.0", 7))
    );

    let deletes = [
        Change::DeleteFdb(entry(1, "10.0.0.13")),
        Change::DeleteFdb(entry(2, "10.0.0.12")),
        Change::DeleteNeighbour(neighbour("10.244.1.0", 7)),
        Change::DeleteNeighbour(neighbour("fd44:1::", 1)),
    ];
    for _ in 0..2 {
        netlink
            .apply(&deletes)
            .step()
            .into_iter()
            .for_each(|outcome| outcome.step());
        assert_eq!(netlink.neighbours(vx).step(), []);
        assert_eq!(netlink.fdb(vx).step(), []);
    }
    assert!(here().run("bridge fdb show dev vx").contains("10.0.0.98"));
}

/// What vxlan wants for `count` peers.
fn peers(vx: LinkIndex, count: u16) -> Vec<Change> {
    let mut changes = Vec::new();
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        let subnet: IpAddr = [10, 128 + (high >> 1), high << 7 | low >> 1, low << 7].into();
        let vtep: IpAddr = [172, 16, high, low].into();
        let gateway = Some(subnet);
        let dst = IpNetwork::new(subnet, 25).step();
        let route = Route {
            gateway,
            link: Some(vx),
            onlink: true,
            ..Route::to(dst)
        };
        changes.push(Change::ReplaceNeighbour(Neighbour {
            link: vx,
            address: subnet,
            mac: mac(number),
        }));
        changes.push(Change::ReplaceFdb(FdbEntry {
            link: vx,
            mac: mac(number),
            dst: vtep,
        }));
        changes.push(Change::ReplaceRoute(route));
    }
    changes
}

fn inverse(change: &Change) -> Change {
    match change.clone() {
        Change::ReplaceRoute(route) => Change::DeleteRoute(route),
        Change::ReplaceNeighbour(entry) => Change::DeleteNeighbour(entry),
        Change::ReplaceFdb(entry) => Change::DeleteFdb(entry),
        other => other,
    }
}

#[test]
fn fifteen_thousand_changes() {
    let Some(_world) = World::new() else { return };
    let (netlink, _, vx) = prepared();
    // Not what is measured here, and too small for so many on a fresh machine.
    for level in ["gc_thresh1", "gc_thresh2", "gc_thresh3"] {
        let _ = kernel::sysctl::set(&format!("net/ipv4/neigh/default/{level}"), "100000");
    }
    let changes = peers(vx, 5000);
    let start = std::time::Instant::now();
    let outcomes = netlink.apply(&changes).step();
    println!("applied {} changes in {:?}", changes.len(), start.elapsed());
    assert_eq!(outcomes.len(), changes.len());
    outcomes.into_iter().for_each(|outcome| outcome.step());
    let start = std::time::Instant::now();
    let routes = netlink
        .routes(&RouteFilter {
            link: Some(vx),
            table: Some(254),
            ..Default::default()
        })
        .step();
    let neighbours = netlink.neighbours(vx).step();
    let entries = netlink.fdb(vx).step();
    println!("read them in {:?}", start.elapsed());
    assert_eq!((neighbours.len(), entries.len()), (5000, 5000));
    let wanted: std::collections::HashSet<_> = changes.iter().collect();
    let v4 = routes.into_iter().filter(|route| route.dst.is_ipv4());
    let seen = v4
        .map(Change::ReplaceRoute)
        .chain(neighbours.into_iter().map(Change::ReplaceNeighbour))
        .chain(entries.into_iter().map(Change::ReplaceFdb));
    assert_eq!(
        seen.filter(|change| wanted.contains(change)).count(),
        changes.len()
    );
    let deletes: Vec<Change> = changes.iter().rev().map(inverse).collect();
    let start = std::time::Instant::now();
    let outcomes = netlink.apply(&deletes).step();
    println!("deleted them in {:?}", start.elapsed());
    outcomes.into_iter().for_each(|outcome| outcome.step());
    assert_eq!(netlink.fdb(vx).step(), []);
}

#[test]
fn a_failed_change_is_named_and_stops_nothing() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, vx) = prepared();
    let mut changes = peers(vx, 200);
    let unreachable = Route {
        gateway: Some(ip("192.0.2.1")),
        link: Some(left),
        ..Route::to(net("10.1.0.0/24"))
    };
    let nowhere = Change::AddAddress(LinkIndex(4242), net("10.9.0.1/24"));
    // Also the last one of a send, and the first one of the next.
    changes[127] = nowhere.clone();
    changes[128] = nowhere.clone();
    changes[150] = Change::ReplaceRoute(unreachable);
    changes.push(Change::AddAddress(left, net("fd09::1/64")));
    changes.push(Change::DeleteAddress(left, net("fd08::1/64")));
    changes.push(nowhere);
    let end = changes.len() - 1;
    let outcomes = netlink.apply(&changes).step();
    let failed: Vec<_> = outcomes
        .iter()
        .enumerate()
        .filter_map(|(place, outcome)| Some((place, outcome.as_ref().err()?.to_string())))
        .collect();
    let places: Vec<_> = failed.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [127, 128, 150, end]);
    let [second, _, first, _] = failed.as_slice() else {
        panic!("{failed:?}")
    };
    let text =
        format!("replace route 10.1.0.0/24 via 192.0.2.1 dev {left} (Nexthop has invalid gateway)");
    assert_eq!(first.1, text);
    assert!(
        second.1.starts_with("add address 10.9.0.1/24 to 4242"),
        "{second:?}"
    );
    let addresses = netlink.addresses(Some(left)).step();
    assert!(
        addresses
            .iter()
            .any(|address| address.address == net("fd09::1/64"))
    );
}
