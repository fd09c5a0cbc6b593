//! What is planned for what there is.

use super::*;

const LINK: LinkIndex = LinkIndex(5);

fn route(text: &str) -> Route {
    let words: Vec<&str> = text.split(' ').collect();
    let after = |key: &str| {
        let at = words.iter().position(|word| *word == key)?;
        words.get(at + 1)?.parse().ok()
    };
    let mut route = Route::to(words[0].parse().unwrap());
    route.gateway = after("via");
    route.source = after("src");
    route.link = Some(LINK);
    route.scope = if words.contains(&"link") {
        SCOPE_LINK
    } else {
        0
    };
    route
}

fn shown(routes: &[Route]) -> Vec<String> {
    let text = |route: &Route| {
        let text = route.to_string();
        text.replace(" dev 5", "")
            .replace(" scope 253", " link")
            .replace(" table 100", "")
    };
    assert!(
        routes
            .iter()
            .all(|route| route.table == 100 && route.link == Some(LINK))
    );
    routes.iter().map(text).collect()
}

fn table(address: &str, gateway: Option<&str>, main: &[&str], gateways: &[&str]) -> Vec<String> {
    let source = Source {
        address: address.parse().unwrap(),
        gateway: gateway.map(|text| text.parse().unwrap()),
        table: 100,
    };
    let mut configured = Gateways::default();
    for gateway in gateways {
        match gateway.parse().unwrap() {
            v4 @ IpAddr::V4(_) => configured.ipv4 = Some(v4),
            v6 => configured.ipv6 = Some(v6),
        }
    }
    let main: Vec<Route> = main.iter().map(|text| route(text)).collect();
    shown(&table_of(&source, LINK, &main, &configured))
}

const MAIN: [&str; 4] = [
    "0.0.0.0/0 via 10.22.0.1",
    "10.22.0.0/24 link src 10.22.0.5",
    "2001:db8:22::/64",
    "::/0 via 2001:db8:22::1",
];

#[test]
fn a_table_has_the_interfaces_routes_and_one_default_route() {
    for (address, gateway, main, gateways, expected) in [
        (
            "10.22.0.5/24",
            Some("10.22.0.1"),
            &MAIN[..],
            &[][..],
            &[
                "10.22.0.0/24 link src 10.22.0.5",
                "2001:db8:22::/64",
                "0.0.0.0/0 via 10.22.0.1",
            ][..],
        ),
        // That of the main table wins.
        (
            "2001:db8:22::5/64",
            Some("2001:db8:22::9"),
            &MAIN,
            &[],
            &["2001:db8:22::/64", "::/0 via 2001:db8:22::1"],
        ),
        // The configured one wins over both, for its family.
        (
            "2001:db8:22::5/64",
            Some("2001:db8:22::9"),
            &MAIN,
            &["2001:db8:22::77", "10.22.0.77"],
            &["2001:db8:22::/64", "::/0 via 2001:db8:22::77"],
        ),
        (
            "10.22.0.5/24",
            None,
            &[],
            &["10.22.0.77"],
            &["0.0.0.0/0 via 10.22.0.77"],
        ),
        (
            "10.22.0.5/24",
            Some("10.22.0.1"),
            &[],
            &[],
            &["0.0.0.0/0 via 10.22.0.1"],
        ),
        ("10.22.0.5/24", None, &[], &["2001:db8:22::77"], &[]),
        // Other subnets' routes are others'; by the address's own gateway is not.
        (
            "10.22.0.5/32",
            Some("169.254.1.1"),
            &[
                "169.254.1.1/32 link src 10.22.0.5",
                "10.0.0.0/8 via 169.254.1.1",
                "10.99.0.0/16 via 10.33.0.1",
                "10.33.0.0/24 link src 10.33.0.5",
                "192.168.6.0/24 link",
            ],
            &[],
            &[
                "192.168.6.0/24 link",
                "169.254.1.1/32 link src 10.22.0.5",
                "10.0.0.0/8 via 169.254.1.1",
                "0.0.0.0/0 via 169.254.1.1",
            ],
        ),
        // Two by two next hops stay two, the first one first: each is put before what is there.
        (
            "10.22.0.5/24",
            None,
            &["10.9.0.0/16 via 10.22.0.8", "10.9.0.0/16 via 10.22.0.9"],
            &[],
            &["10.9.0.0/16 via 10.22.0.9", "10.9.0.0/16 via 10.22.0.8"],
        ),
    ] {
        assert_eq!(
            table(address, gateway, main, gateways),
            expected,
            "{address} {main:?}"
        );
    }
}

#[test]
fn the_main_table_keeps_the_way_to_neighbours_with_hints() {
    let main: Vec<Route> = MAIN
        .iter()
        .chain(&["192.168.6.0/24 link"])
        .map(|text| route(text))
        .collect();
    assert_eq!(leaving(&main, &[]), main);
    let hints = ["10.22.0.5/24", "2001:db8:22::5/64"].map(|text| hint(text.parse().unwrap(), LINK));
    let left = |main: &[Route]| -> Vec<String> {
        let left = leaving(main, &hints);
        left.iter().map(|route| route.dst.to_string()).collect()
    };
    assert_eq!(left(&main), ["0.0.0.0/0", "2001:db8:22::/64", "::/0"]);
    // An earlier ADD's.
    assert_eq!(left(&hints), [""; 0]);
    assert_eq!(
        hints[0].to_string(),
        "10.22.0.0/24 dev 5 scope 253 src 10.22.0.5"
    );
}

#[test]
fn tables_are_the_first_that_nobody_uses() {
    let used = BTreeSet::from([100, 102, 252]);
    let free: Vec<u32> = free_tables(&used).take(3).collect();
    assert_eq!(free, [101, 103, 104]);
    let all = (100..=252).collect();
    assert_eq!(free_tables(&all).next(), Some(256));
}

#[test]
fn a_rule_is_a_sources_when_it_says_nothing_else() {
    let address: IpAddr = "10.22.0.5".parse().unwrap();
    let mut seen = rule(address, 100);
    seen.priority = Some(32765);
    assert_eq!(source_of(&seen), Some(address));
    let mut marked = seen.clone();
    marked.oif = Some("eth0".parse().unwrap());
    assert_eq!(source_of(&marked), None);
    seen.from = "10.22.0.0/24".parse().unwrap();
    assert_eq!(source_of(&seen), None);
}
