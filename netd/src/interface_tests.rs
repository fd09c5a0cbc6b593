use kernel::LinkKind;

use super::*;
use crate::options::Options;

fn link(index: u32, name: &str) -> Link {
    Link {
        index: LinkIndex(index),
        name: name.parse().expect("name"),
        mac: None,
        mtu: 1500,
        up: true,
        oper_up: true,
        operstate: "UP",
        promisc: false,
        allmulti: false,
        tx_queue_len: 1000,
        gso_ipv4_max_size: None,
        master: None,
        alias: None,
        kind: LinkKind::None,
        peer: None,
        peer_elsewhere: false,
        port: None,
        loopback: name == "lo",
        permanent_mac: None,
        bus_device: None,
    }
}

fn address(link: u32, text: &str) -> Address {
    Address {
        link: LinkIndex(link),
        address: text.parse().expect("address"),
        tentative: false,
        dad_failed: false,
        deprecated: false,
        permanent: true,
        temporary: false,
        scope: 0,
    }
}

fn default_route(dst: &str, link: u32, priority: Option<u32>) -> Route {
    Route {
        link: Some(LinkIndex(link)),
        priority,
        ..Route::to(dst.parse().expect("dst"))
    }
}

/// eth0 with a secondary address, d0 with two, d0p with none, both families on eth0.
fn facts() -> Facts {
    Facts {
        links: vec![
            link(1, "lo"),
            link(2, "eth0"),
            link(3, "d0p"),
            link(4, "d0"),
        ],
        addresses: vec![
            address(1, "127.0.0.1/8"),
            address(1, "::1/128"),
            address(2, "192.168.50.1/24"),
            address(2, "192.168.50.201/24"),
            address(2, "fe80::1/64"),
            address(2, "fd00:50::1/64"),
            address(4, "198.51.100.5/24"),
            address(4, "198.51.100.6/24"),
        ],
        default_routes: vec![
            default_route("0.0.0.0/0", 2, None),
            default_route("::/0", 2, Some(1024)),
        ],
        reach: None,
    }
}

fn chosen(options: &Options, families: &[Family], facts: &Facts) -> String {
    match choose(options, families, facts) {
        Ok(external) => {
            let text = |ip: Option<IpAddr>| ip.map_or("-".to_owned(), |ip| ip.to_string());
            format!(
                "{} {} {} public {} {}",
                external.name,
                text(external.address.map(IpAddr::V4)),
                text(external.v6_address.map(IpAddr::V6)),
                text(external.public_ip.map(IpAddr::V4)),
                text(external.public_ipv6.map(IpAddr::V6)),
            )
        }
        Err(error) => format!("error: {error}"),
    }
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::blank();
    change(&mut options);
    options
}

fn iface(names: &[&str]) -> Options {
    options(|options| options.iface = names.iter().map(|&name| name.to_owned()).collect())
}

fn pattern(pattern: &str) -> Options {
    options(|options| options.iface_regex = vec![pattern.to_owned()])
}

const V4: &[Family] = &[Family::V4];
const V6: &[Family] = &[Family::V6];

#[test]
fn ipv4_choices_are_flannels() {
    let public = |ip: &str, names: &[&str]| {
        let names = iface(names);
        Options {
            public_ip: ip.parse().ok(),
            ..names
        }
    };
    let eth0 = "eth0 192.168.50.1 - public 192.168.50.1 -";
    let d0 = "d0 198.51.100.5 - public 198.51.100.5 -";
    for (name, options, expected) in [
        ("default route", Options::blank(), eth0),
        ("by name", iface(&["d0"]), d0),
        (
            "by address",
            iface(&["198.51.100.6"]),
            "d0 198.51.100.6 - public 198.51.100.6 -",
        ),
        (
            "secondary",
            iface(&["192.168.50.201"]),
            "eth0 192.168.50.201 - public 192.168.50.201 -",
        ),
        ("first match", iface(&["nosuch", "d0", "eth0"]), d0),
        ("pattern, address", pattern(r"^198\.51\."), d0),
        ("pattern, name", pattern("^eth"), eth0),
        (
            "public address",
            public("198.51.100.6", &[]),
            "d0 198.51.100.6 - public 198.51.100.6 -",
        ),
        (
            "NAT",
            public("192.0.2.77", &["eth0"]),
            "eth0 192.168.50.1 - public 192.0.2.77 -",
        ),
        (
            "missing name",
            iface(&["nosuch"]),
            "error: there is no interface nosuch",
        ),
        (
            "loopback",
            iface(&["lo"]),
            "error: interface lo has no usable IPv4 address",
        ),
        (
            "a name that matches is final",
            pattern("^d"),
            "error: interface d0p has no usable IPv4 address",
        ),
        (
            "public address of nobody",
            public("192.0.2.77", &[]),
            "error: no interface has the address 192.0.2.77",
        ),
    ] {
        assert_eq!(chosen(&options, V4, &facts()), expected, "{name}");
    }
    let none = chosen(&pattern("^zz"), V4, &facts());
    assert!(
        none.contains("eth0: [192.168.50.1 192.168.50.201], d0p: []"),
        "{none}"
    );
    let bad = chosen(&pattern("["), V4, &facts());
    assert!(
        bad.ends_with("\"[\" is not a regular expression: unclosed character class"),
        "{bad}"
    );
}

#[test]
fn patterns_match_digits_by_class() {
    assert!(chosen(&pattern(r"^198\.\d+\."), V4, &facts()).starts_with("d0 "));
}

#[test]
fn the_route_lookup_decides_interface_and_source() {
    let reach = Route {
        source: "198.51.100.6".parse().ok(),
        link: Some(LinkIndex(4)),
        ..Route::to("198.51.100.99/32".parse().expect("dst"))
    };
    let facts = Facts {
        reach: Some(reach),
        ..facts()
    };
    let options = options(|options| options.iface_can_reach = "198.51.100.99".parse().ok());
    assert_eq!(
        chosen(&options, V4, &facts),
        "d0 198.51.100.6 - public 198.51.100.6 -"
    );
    let unreachable = chosen(&options, V4, &super::tests::facts());
    assert_eq!(unreachable, "error: there is no route to 198.51.100.99");
}

#[test]
fn default_routes() {
    let with = |routes: Vec<Route>| Facts {
        default_routes: routes,
        ..facts()
    };
    let lowest = vec![
        default_route("0.0.0.0/0", 2, Some(100)),
        default_route("0.0.0.0/0", 4, Some(50)),
    ];
    assert!(chosen(&Options::blank(), V4, &with(lowest)).starts_with("d0 "));
    let none = chosen(&Options::blank(), V4, &with(Vec::new()));
    assert!(
        none.starts_with("error: there is no IPv4 default route"),
        "{none}"
    );
    let multipath = Route {
        kind: kernel::RouteKind::Multipath,
        ..default_route("0.0.0.0/0", 2, None)
    };
    let several = chosen(&Options::blank(), V4, &with(vec![multipath]));
    assert!(several.contains("several next hops"), "{several}");
    let apart = vec![
        default_route("0.0.0.0/0", 2, None),
        default_route("::/0", 4, None),
    ];
    let apart = chosen(&Options::blank(), &Family::ALL, &with(apart));
    assert!(apart.contains("eth0 for IPv4 and d0 for IPv6"), "{apart}");
}

#[test]
fn dual_stack_and_ipv6_only() {
    let both = "eth0 192.168.50.1 fd00:50::1 public 192.168.50.1 fd00:50::1";
    assert_eq!(chosen(&Options::blank(), &Family::ALL, &facts()), both);
    assert_eq!(chosen(&iface(&["eth0"]), &Family::ALL, &facts()), both);
    assert_eq!(
        chosen(&pattern("^(192|fd00)"), &Family::ALL, &facts()),
        both
    );
    let v6 = "eth0 - fd00:50::1 public - fd00:50::1";
    assert_eq!(chosen(&Options::blank(), V6, &facts()), v6);
    assert_eq!(chosen(&iface(&["fd00:50::1"]), V6, &facts()), v6);
    let no_v6 = chosen(&iface(&["d0"]), &Family::ALL, &facts());
    assert!(
        no_v6.ends_with("interface d0 has no usable IPv6 address"),
        "{no_v6}"
    );
    let apart = options(|options| {
        options.public_ip = "198.51.100.5".parse().ok();
        options.public_ipv6 = "fd00:50::1".parse().ok();
    });
    let apart = chosen(&apart, &Family::ALL, &facts());
    assert!(
        apart.contains("both families need one interface"),
        "{apart}"
    );
}

#[test]
fn better_addresses_come_first() {
    let worse = |change: fn(&mut Address)| {
        let mut worse = address(5, "fd00:60::bad/64");
        change(&mut worse);
        worse
    };
    for change in [
        (|address| address.deprecated = true) as fn(&mut Address),
        |address| address.permanent = false,
        |address| address.temporary = true,
        |address| address.address = "fe80::bad/64".parse().expect("address"),
    ] {
        let mut facts = facts();
        facts.links.push(link(5, "d1"));
        facts.addresses.push(worse(change));
        facts.addresses.push(address(5, "fd00:60::1/64"));
        let choice = chosen(&iface(&["d1"]), V6, &facts);
        assert_eq!(choice, "d1 - fd00:60::1 public - fd00:60::1");
    }
    let mut facts = facts();
    facts.links.push(link(5, "d1"));
    facts.addresses.push(address(5, "169.254.3.3/16"));
    facts.addresses.push(address(5, "203.0.113.5/24"));
    let choice = chosen(&iface(&["d1"]), V4, &facts);
    assert_eq!(choice, "d1 203.0.113.5 - public 203.0.113.5 -");
}

#[test]
fn a_link_without_mtu_is_refused() {
    let mut facts = facts();
    facts.links[1].mtu = 0;
    let choice = chosen(&Options::blank(), V4, &facts);
    assert_eq!(choice, "error: interface eth0 has MTU 0");
}
