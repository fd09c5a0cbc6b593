use super::*;

const CONFIG: &str = r#"{"Network":"10.244.0.0/16","EnableIPv6":true,
    "IPv6Network":"fd00:244::/48","Backend":{"Type":"vxlan","VNI":7}}"#;

fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text.as_bytes()).expect("config")
}

#[test]
fn a_changed_configuration_is_told_apart_from_a_rewritten_one() {
    let running = config(CONFIG);
    let same = CONFIG.replace('\n', " ").replace("Network", "network");
    assert_eq!(
        change(&running, Some(same.as_bytes()), Allocation::Drawn),
        None
    );
    for (from, to, words) in [
        ("10.244", "10.245", "changed: IPv4 network or subnets"),
        ("fd00:244", "fd00:245", "changed: IPv6 network or subnets"),
        ("vxlan", "host-gw", "changed: backend type"),
        (r#""VNI":7"#, r#""VNI":8"#, "changed: backend options"),
        (
            "/16",
            "",
            "it cannot be used: invalid CIDR address: 10.244.0.0",
        ),
    ] {
        let text = CONFIG.replace(from, to);
        assert_eq!(
            change(&running, Some(text.as_bytes()), Allocation::Drawn).as_deref(),
            Some(words)
        );
    }
    assert_eq!(
        change(&running, None, Allocation::Drawn).as_deref(),
        Some("there is none any more")
    );
}

fn seen(addresses: &[(u32, &str)], routes: &[Route]) -> Vec<String> {
    let name = |text: &str| text.parse().expect("name");
    let names = [(2, "eth0"), (3, "flannel.7"), (4, "cni0"), (5, "docker0")];
    let names = names
        .into_iter()
        .map(|(index, text)| (LinkIndex(index), name(text)))
        .collect();
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(link, text)| (LinkIndex(*link), text.parse().expect("address")))
        .collect();
    let own = Subnets::parse_key("10.244.7.0-24&fd00:244:0:7::-64").expect("key");
    overlaps(&config(CONFIG), &own, &names, &addresses, routes)
        .into_iter()
        .map(|finding| finding.object)
        .collect()
}

fn route(dst: &str, gateway: Option<&str>, link: u32) -> Route {
    Route {
        gateway: gateway.map(|address| address.parse().expect("gateway")),
        link: Some(LinkIndex(link)),
        ..Route::to(dst.parse().expect("dst"))
    }
}

#[test]
fn the_nodes_own_things_in_the_pods_network_are_found() {
    let addresses = [
        (2, "192.0.2.1/24"),
        (5, "10.244.99.1/24"),
        (2, "10.1.2.3/8"),
        (5, "fd00:244:0:99::1/64"),
    ];
    assert_eq!(
        seen(&addresses, &[]),
        [
            "the address 10.244.99.1/24 dev docker0",
            "the address 10.1.2.3/8 dev eth0",
            "the address fd00:244:0:99::1/64 dev docker0",
        ]
    );
    let routes = [
        route("10.244.128.0/20", Some("192.0.2.9"), 2),
        route("10.0.0.0/8", Some("192.0.2.9"), 2),
        route("192.168.0.0/16", Some("192.0.2.9"), 2),
    ];
    assert_eq!(
        seen(&[], &routes),
        [
            "the route to 10.244.128.0/20 dev eth0",
            "the route to 10.0.0.0/8 dev eth0"
        ]
    );
}

#[test]
fn pods_and_the_ways_to_pods_are_no_overlap() {
    let addresses = [
        (3, "10.244.7.0/32"),
        (4, "10.244.7.1/24"),
        (4, "fd00:244:0:7::1/64"),
    ];
    let ours = Route {
        protocol: Route::PROTOCOL_PODWIRE,
        ..route("10.244.8.0/24", Some("192.0.2.8"), 2)
    };
    let flannels = Route {
        onlink: true,
        ..route("10.244.9.0/24", Some("10.244.9.0"), 3)
    };
    let default = route("0.0.0.0/0", Some("192.0.2.254"), 2);
    let pod = route("10.244.7.9/32", None, 4);
    let none: [&str; 0] = [];
    assert_eq!(seen(&addresses, &[ours, flannels, default, pod]), none);
}
