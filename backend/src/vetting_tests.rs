use super::*;
use crate::{NextHops, testing};

const CONFIG: &str = r#"{"Network":"10.244.0.0/16","EnableIPv6":true,
    "IPv6Network":"fd00:244::/48","Backend":{"Type":"vxlan"}}"#;
/// A network that the nodes' own addresses are in.
const WIDE: &str = r#"{"Network":"192.0.0.0/8","EnableIPv6":true,
    "IPv6Network":"fd00::/16","IPv6SubnetLen":64,"Backend":{"Type":"vxlan"}}"#;
const OWN: &str = "10.244.7.0-24&fd00:244:0:7::-64";

fn underlay() -> Underlay {
    use testing::route;
    let mut routes = NextHops::new(&[
        route("192.0.2.0/25", None),
        route("0.0.0.0/0", Some("192.0.3.254")),
        route("::/0", Some("fd00:51::fe")),
    ]);
    let stores = ["192.0.4.9", "fd00:52::9"];
    routes.need(stores.map(|address| address.parse().expect("address")));
    Underlay {
        address: "192.0.2.1".parse().ok(),
        v6_address: "fd00:50::1".parse().ok(),
        public_ip: "192.0.2.101".parse().ok(),
        public_ipv6: "fd00:50::101".parse().ok(),
        routes,
        ..testing::underlay()
    }
}

fn peers(leases: &[(&str, &str, &str)]) -> Peers {
    let leases = leases.iter().map(|&(key, v4, v6)| {
        let v6 = match v6 {
            "" => "null".to_owned(),
            v6 => format!("{v6:?}"),
        };
        let value = format!(r#"{{"PublicIP":"{v4}","PublicIPv6":{v6},"BackendType":"vxlan"}}"#);
        (key, value)
    });
    testing::peers(&leases.collect::<Vec<_>>())
}

fn vet(family: Family, config: &str, own: &str, peers: &Peers) -> Vec<Result<String, Reason>> {
    let config = testing::config(config);
    let vetting = Vetting {
        family,
        config: &config,
        lease_type: "vxlan",
        own: &testing::subnets(own),
        underlay: &underlay(),
    };
    vetting
        .peers(peers)
        .into_iter()
        .map(|vetted| match vetted {
            Ok(peer) => Ok(format!("{} at {}", peer.subnet, peer.public_ip)),
            Err(unserved) => Err(unserved.reason),
        })
        .collect()
}

fn network(text: &str) -> IpNetwork {
    text.parse().expect("network")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

#[test]
fn leases_that_cannot_be_right_are_not_served() {
    let (v4, v6) = ("192.0.2.9", "fd00:50::9");
    let bad = |text: &str, kind| Reason::BadPublicAddress(address(text), kind);
    let table: &[(Family, &str, &str, Reason)] = &[
        (
            Family::V4,
            "8.8.8.0-24",
            v4,
            Reason::OutsideNetwork(network("10.244.0.0/16")),
        ),
        (
            Family::V4,
            "10.0.0.0-8",
            v4,
            Reason::OutsideNetwork(network("10.244.0.0/16")),
        ),
        (
            Family::V4,
            "192.0.2.0-25",
            v4,
            Reason::OutsideNetwork(network("10.244.0.0/16")),
        ),
        (Family::V4, "10.244.0.0-16", v4, Reason::TooWide(24)),
        (Family::V4, "10.244.8.0-23", v4, Reason::TooWide(24)),
        (Family::V4, "10.244.8.5-24", v4, Reason::HostBits),
        (
            Family::V4,
            "10.244.7.128-25",
            v4,
            Reason::OverlapsOwn(network("10.244.7.0/24")),
        ),
        (
            Family::V4,
            "10.244.7.0-24",
            v4,
            Reason::OverlapsOwn(network("10.244.7.0/24")),
        ),
        (
            Family::V4,
            "10.244.8.0-24",
            "0.0.0.0",
            Reason::NoPublicAddress,
        ),
        (
            Family::V4,
            "10.244.8.0-24",
            "127.0.0.1",
            bad("127.0.0.1", "a loopback address"),
        ),
        (
            Family::V4,
            "10.244.8.0-24",
            "224.0.0.1",
            bad("224.0.0.1", "a multicast address"),
        ),
        (
            Family::V4,
            "10.244.8.0-24",
            "255.255.255.255",
            bad("255.255.255.255", "no node's address"),
        ),
        (
            Family::V4,
            "10.244.8.0-24",
            "192.0.2.1",
            Reason::OwnAddress(address("192.0.2.1")),
        ),
        (
            Family::V4,
            "10.244.8.0-24",
            "192.0.2.101",
            Reason::OwnAddress(address("192.0.2.101")),
        ),
        (
            Family::V4,
            "10.244.8.0-24",
            "10.244.8.9",
            Reason::Covers(address("10.244.8.9")),
        ),
        (
            Family::V6,
            "0.0.0.0-0&2001:db8::-64",
            v6,
            Reason::OutsideNetwork(network("fd00:244::/48")),
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244::-48",
            v6,
            Reason::TooWide(64),
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::5-64",
            v6,
            Reason::HostBits,
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:7:8000::-65",
            v6,
            Reason::OverlapsOwn(network("fd00:244:0:7::/64")),
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::-64",
            "",
            Reason::NoPublicAddress,
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::-64",
            "::",
            Reason::NoPublicAddress,
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::-64",
            "::1",
            bad("::1", "a loopback address"),
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::-64",
            "ff02::1",
            bad("ff02::1", "a multicast address"),
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::-64",
            "::ffff:192.0.2.9",
            bad("::ffff:192.0.2.9", "no node's address"),
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::-64",
            "fd00:50::101",
            Reason::OwnAddress(address("fd00:50::101")),
        ),
        (
            Family::V6,
            "0.0.0.0-0&fd00:244:0:8::-64",
            "fd00:244:0:8::9",
            Reason::Covers(address("fd00:244:0:8::9")),
        ),
    ];
    for (family, key, public, reason) in table {
        let lease = match family {
            Family::V4 => (*key, *public, ""),
            Family::V6 => (*key, "0.0.0.0", *public),
        };
        let seen = vet(*family, CONFIG, OWN, &peers(&[lease]));
        assert_eq!(seen, [Err(reason.clone())], "{key} {public}");
    }
}

#[test]
fn what_the_node_needs_is_never_behind_a_peer() {
    let own = "192.9.9.0-24&fd00:9:9:9::-64";
    for (family, key, covered) in [
        (Family::V4, "192.0.2.0-24", "192.0.2.101"),
        (Family::V4, "192.0.3.0-24", "192.0.3.254"),
        (Family::V4, "192.0.4.0-24", "192.0.4.9"),
        (Family::V6, "0.0.0.0-0&fd00:50::-64", "fd00:50::101"),
        (Family::V6, "0.0.0.0-0&fd00:51::-64", "fd00:51::fe"),
        (Family::V6, "0.0.0.0-0&fd00:52::-64", "fd00:52::9"),
    ] {
        let lease = (key, "198.51.100.9", "2001:db8::9");
        let seen = vet(family, WIDE, own, &peers(&[lease]));
        assert_eq!(seen, [Err(Reason::Covers(address(covered)))], "{key}");
    }
    let harmless = ("192.0.5.0-24", "198.51.100.9", "");
    let seen = vet(Family::V4, WIDE, own, &peers(&[harmless]));
    assert_eq!(seen, [Ok("192.0.5.0/24 at 198.51.100.9".to_owned())]);
}

#[test]
fn of_two_that_overlap_the_usual_one_is_served() {
    let served = |key: &str, n: u8| (key.to_owned(), format!("192.0.2.{n}"));
    let table: &[(&[&str], &str)] = &[
        // As the configuration makes them, rather than another length.
        (
            &["10.244.8.0-25", "10.244.8.0-24&fd00:244:0:8::-64"],
            "10.244.8.0/24",
        ),
        (&["10.244.8.128-25", "10.244.8.0-24"], "10.244.8.0/24"),
        (
            &["10.244.8.0-26", "10.244.8.0-25", "10.244.8.64-27"],
            "10.244.8.0/25",
        ),
        // The same subnet under two names: the one with both families, as the configuration has.
        (
            &["10.244.8.0-24", "10.244.8.0-24&fd00:244:0:8::-64"],
            "10.244.8.0/24",
        ),
    ];
    for (keys, winner) in table {
        let leases: Vec<_> = keys
            .iter()
            .zip(10..)
            .map(|(key, n)| served(key, n))
            .collect();
        let leases: Vec<_> = leases
            .iter()
            .map(|(key, ip)| (key.as_str(), ip.as_str(), "fd00:50::9"))
            .collect();
        let table = peers(&leases);
        let seen = vet(Family::V4, CONFIG, OWN, &table);
        let good: Vec<_> = seen.iter().flatten().collect();
        assert_eq!(good.len(), 1, "{keys:?}: {seen:?}");
        assert!(good[0].starts_with(winner), "{keys:?}: {good:?}");
        let refused = seen.iter().filter_map(|vetted| vetted.as_ref().err());
        for reason in refused {
            assert_eq!(*reason, Reason::Overlaps(network(winner)), "{keys:?}");
        }
    }
    let both = peers(&[
        ("10.244.8.0-24", "192.0.2.10", ""),
        (
            "10.244.8.0-24&fd00:244:0:8::-64",
            "192.0.2.11",
            "fd00:50::9",
        ),
    ]);
    let seen = vet(Family::V4, CONFIG, OWN, &both);
    assert_eq!(seen[1], Ok("10.244.8.0/24 at 192.0.2.11".to_owned()));
}

#[test]
fn a_lease_that_is_wrong_by_itself_takes_nothing_from_others() {
    let table = peers(&[
        ("10.244.8.0-24", "127.0.0.1", ""),
        ("10.244.8.128-25", "192.0.2.9", ""),
        ("10.244.8.0-22", "192.0.2.9", ""),
    ]);
    let seen = vet(Family::V4, CONFIG, OWN, &table);
    let good: Vec<_> = seen.iter().flatten().collect();
    assert_eq!(good, ["10.244.8.128/25 at 192.0.2.9"]);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn leases() -> impl Strategy<Value = Vec<(String, u8)>> {
        let lease = (0u32..64, 22u8..=28, 2u8..40).prop_map(|(at, length, node)| {
            let ip = std::net::Ipv4Addr::from_bits(0x0AF4_0800 + at * 32);
            let subnet = IpNetwork::new(ip.into(), length).expect("length");
            (format!("{}-{length}", subnet.network()), node)
        });
        proptest::collection::vec(lease, 0..12)
    }

    proptest! {
        /// Whichever node looks, the same leases are served, but for what is its own; and what is
        /// served never overlaps.
        #[test]
        fn all_nodes_decide_the_same(leases in leases()) {
            let leases: Vec<_> = leases
                .iter()
                .map(|(key, node)| (key.as_str(), format!("198.51.100.{node}")))
                .collect();
            let leases: Vec<_> =
                leases.iter().map(|(key, ip)| (*key, ip.as_str(), "")).collect();
            let table = peers(&leases);
            let here = vet(Family::V4, CONFIG, OWN, &table);
            let there = vet(Family::V4, CONFIG, "10.244.99.0-24&fd00:244:0:99::-64", &table);
            prop_assert_eq!(&here, &there);
            let served: Vec<IpNetwork> = here
                .iter()
                .flatten()
                .map(|text| network(text.split(' ').next().expect("subnet")))
                .collect();
            for (at, a) in served.iter().enumerate() {
                for b in &served[at + 1..] {
                    prop_assert!(!overlap(*a, *b), "{a} and {b}");
                }
            }
            // Nothing is refused for an overlap with something that is not served.
            for reason in here.iter().filter_map(|vetted| vetted.as_ref().err()) {
                if let Reason::Overlaps(other) = reason {
                    prop_assert!(served.contains(other), "{other} is not served");
                }
            }
        }
    }
}
