use proptest::prelude::*;

use super::*;

fn lease(options: &[(u8, &[u8])]) -> Lease {
    let options = options.iter().map(|(code, value)| (*code, value.to_vec()));
    Lease {
        address: Ipv4Addr::new(10, 22, 0, 50),
        server: Ipv4Addr::new(10, 22, 0, 1),
        server_mac: [2; 6],
        options: Options(options.collect()),
    }
}

/// An option by code and value.
type Given<'a> = (u8, &'a [u8]);

const MASK: (u8, &[u8]) = (option::SUBNET_MASK, &[255, 255, 255, 0]);
const ROUTER: (u8, &[u8]) = (option::ROUTERS, &[10, 22, 0, 1]);

/// Address, gateway and routes as one line.
fn line(options: &[(u8, &[u8])]) -> String {
    let result = lease(options).result(0).unwrap();
    let ip = &result.ips[0];
    let mut line = ip.address.to_string();
    if let Some(gateway) = ip.gateway {
        line += &format!(" by {gateway}");
    }
    for route in &result.routes {
        let scope = route
            .scope
            .map_or(String::new(), |scope| format!(" scope {scope}"));
        line += &format!(", {} via {}{scope}", route.dst, route.gw.unwrap());
    }
    line
}

#[test]
fn results_are_as_recorded() {
    let classful = [192, 168, 77, 0, 10, 22, 0, 8];
    let classless = [24, 10, 99, 1, 10, 22, 0, 9, 16, 172, 16, 0, 0, 0, 0];
    let cases: [(&[Given<'_>], &str); 8] = [
        (&[MASK], "10.22.0.50/24"),
        (
            &[MASK, ROUTER],
            "10.22.0.50/24 by 10.22.0.1, 0.0.0.0/0 via 10.22.0.1",
        ),
        (
            &[MASK, (3, &[10, 22, 0, 4, 10, 22, 0, 5])],
            "10.22.0.50/24 by 10.22.0.4, 0.0.0.0/0 via 10.22.0.4",
        ),
        (
            &[MASK, ROUTER, (33, &classful)],
            "10.22.0.50/24 by 10.22.0.1, 192.168.77.0/24 via 10.22.0.8, 0.0.0.0/0 via 10.22.0.1",
        ),
        (
            &[MASK, ROUTER, (33, &classful), (121, &classless)],
            "10.22.0.50/24 by 10.22.0.1, 10.99.1.0/24 via 10.22.0.9, 172.16.0.0/16 via 0.0.0.0 scope 253",
        ),
        (
            &[MASK, ROUTER, (249, &[0, 10, 22, 0, 9])],
            "10.22.0.50/24 by 10.22.0.1, 0.0.0.0/0 via 10.22.0.9",
        ),
        // Damaged: as if it were not there.
        (
            &[
                MASK,
                ROUTER,
                (121, &[24, 10, 99]),
                (249, &[33, 1, 2, 3, 4, 5, 1, 2, 3, 4]),
            ],
            "10.22.0.50/24 by 10.22.0.1, 0.0.0.0/0 via 10.22.0.1",
        ),
        // Host bits, a class that has no networks, a pair that is cut off.
        (
            &[
                MASK,
                (
                    33,
                    &[10, 1, 2, 3, 10, 22, 0, 8, 224, 0, 0, 1, 10, 22, 0, 8, 1, 2],
                ),
            ],
            "10.22.0.50/24, 10.0.0.0/8 via 10.22.0.8",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(line(options), expected);
    }
}

#[test]
fn a_lease_without_a_usable_mask_is_refused() {
    let refused = |options: &[(u8, &[u8])]| lease(options).result(0).unwrap_err().to_string();
    assert_eq!(
        refused(&[ROUTER]),
        "DHCP option Subnet Mask not found in DHCPACK"
    );
    for bad in [&[255, 0, 255, 0][..], &[255, 255], &[0, 0, 0, 1]] {
        assert!(refused(&[(1, bad)]).contains("is no mask"), "{bad:?}");
    }
}

#[test]
fn priority_is_every_route_s() {
    let priorities = |priority| {
        let result = lease(&[MASK, ROUTER]).result(priority).unwrap();
        result.routes[0].priority
    };
    assert_eq!([0, -1, 77].map(priorities), [None, None, Some(77)]);
}

#[test]
fn name_resolution_is_handed_on_as_far_as_it_is_fit() {
    let dns = |options: &[(u8, &[u8])]| lease(options).dns();
    let search = b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04";
    let found = dns(&[
        (6, &[1, 1, 1, 1, 8, 8, 8, 8]),
        (15, b"a.test\0"),
        (119, search),
    ]);
    assert_eq!(found.nameservers, ["1.1.1.1", "8.8.8.8"]);
    assert_eq!(found.domain, "a.test");
    assert_eq!(found.search, ["eng.apple.com", "marketing.apple.com"]);
    let none = dns(&[
        (6, &[1, 1]),
        (15, b"a\nnameserver 6.6.6.6"),
        (119, b"\x03en\xc0\x00"),
    ]);
    assert!(none.is_empty(), "{none:?}");
    // A reference to itself.
    assert_eq!(domain_names(&[1, b'a', 0xc0, 2]), None);
}

#[test]
fn times_are_the_lease_s() {
    let ends = |options: &[(u8, &[u8])]| lease(options).times().map(|times| times.end.as_secs());
    assert_eq!(ends(&[]), Some(3600));
    assert_eq!(ends(&[(51, &[0, 0, 0, 9])]), Some(9));
    assert_eq!(ends(&[(51, &[255; 4])]), None);
    assert_eq!(ends(&[(51, &[1, 2])]), Some(3600));
}

proptest! {
    #[test]
    fn whatever_a_server_says_nothing_panics(
        options in prop::collection::btree_map(any::<u8>(), prop::collection::vec(any::<u8>(), 0..40), 0..9)
    ) {
        let lease = Lease { options: Options(options), ..lease(&[]) };
        let _ = (lease.result(1), lease.times());
    }

    #[test]
    fn names_never_panic(bytes in prop::collection::vec(prop_oneof![0_u8..5, 0xbe_u8..0xc4], 0..30)) {
        let _ = domain_names(&bytes);
    }
}
