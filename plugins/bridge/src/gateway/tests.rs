use super::*;

fn result(ips: &[(&str, Option<&str>)], routes: &str) -> AddResult {
    AddResult {
        ips: ips
            .iter()
            .map(|(address, gateway)| IpConfig {
                address: address.parse().unwrap(),
                gateway: gateway.map(|gateway| gateway.parse().unwrap()),
                interface: Some(2),
            })
            .collect(),
        routes: cni::json::from_slice(routes.as_bytes()).unwrap(),
        ..AddResult::default()
    }
}

#[test]
fn a_missing_gateway_is_the_first_address_of_the_subnet() {
    for (address, gateway) in [
        ("10.22.0.5/24", "10.22.0.1"),
        ("10.22.0.5/31", "10.22.0.5"),
        ("10.22.0.5/32", "10.22.0.6"),
        ("2001:db8:22::5/64", "2001:db8:22::1"),
    ] {
        let mut result = result(&[(address, None)], "[]");
        complete(&mut result, false);
        assert_eq!(result.ips[0].gateway, Some(gateway.parse().unwrap()));
        assert_eq!(result.routes, []);
    }
}

#[test]
fn a_gateway_that_no_link_can_have_is_no_address() {
    let four = ("10.22.0.5/24", Some("0.0.0.0"));
    let six = ("2001:db8:22::5/64", Some("2001:db8:22::1"));
    let expected: IpNetwork = "2001:db8:22::1/64".parse().unwrap();
    assert_eq!(addresses(&result(&[four, six], "[]").ips), [expected]);
}

#[test]
fn a_default_route_is_added_once_per_family_unless_there_is_one() {
    let v4 = ("10.22.0.5/24", None);
    let v6 = ("2001:db8:22::5/64", Some("2001:db8:22::9"));
    let cases: [(&[_], &str, &[&str]); 8] = [
        (&[v4], "[]", &["0.0.0.0/0 10.22.0.1"]),
        (
            &[v4, ("10.23.0.5/24", None)],
            "[]",
            &["0.0.0.0/0 10.22.0.1"],
        ),
        (
            &[v6, v4],
            "[]",
            &["::/0 2001:db8:22::9", "0.0.0.0/0 10.22.0.1"],
        ),
        (
            &[v4],
            r#"[{"dst":"0.0.0.0/0","gw":"10.22.0.7"}]"#,
            &["0.0.0.0/0 10.22.0.7"],
        ),
        // It gets the same gateway: adding another would be adding the same.
        (&[v4], r#"[{"dst":"0.0.0.0/0"}]"#, &["0.0.0.0/0 -"]),
        (&[v6], r#"[{"dst":"::/0","table":254}]"#, &["::/0 -"]),
        (
            &[v4],
            r#"[{"dst":"0.0.0.0/0","table":9}]"#,
            &["0.0.0.0/0 -", "0.0.0.0/0 10.22.0.1"],
        ),
        (
            &[v4],
            r#"[{"dst":"0.0.0.0/0","scope":253}]"#,
            &["0.0.0.0/0 -", "0.0.0.0/0 10.22.0.1"],
        ),
    ];
    for (ips, routes, expected) in cases {
        let mut result = result(ips, routes);
        complete(&mut result, true);
        let gateway = |route: &Route| route.gw.map_or("-".to_owned(), |gw| gw.to_string());
        let seen = result
            .routes
            .iter()
            .map(|route| format!("{} {}", route.dst, gateway(route)));
        assert_eq!(seen.collect::<Vec<_>>(), expected, "{routes}");
    }
}

#[test]
fn the_bridge_gets_ipv4_gateways_first() {
    let result = result(
        &[
            ("2001:db8::5/64", Some("2001:db8::1")),
            ("10.22.0.5/24", Some("10.22.0.1")),
        ],
        "[]",
    );
    let addresses: Vec<String> = addresses(&result.ips)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["10.22.0.1/24", "2001:db8::1/64"]);
}

/// Which addresses have to go, or why the wanted one cannot be had.
#[test]
fn another_ipv4_address_and_an_overlapping_ipv6_subnet_are_in_the_way() {
    let v4 = "10.22.0.1/24";
    let v6 = "2001:db8:22::1/64";
    for (present, wanted, without_force, with_force) in [
        (vec![], v4, Some(vec![]), vec![]),
        (vec![v6, "fe80::1/64"], v4, Some(vec![]), vec![]),
        (vec!["10.99.0.1/24"], v4, None, vec!["10.99.0.1/24"]),
        (vec!["10.22.0.1/16"], v4, None, vec!["10.22.0.1/16"]),
        (
            vec!["2001:db8:99::1/64", "fe80::1/64"],
            v6,
            Some(vec![]),
            vec![],
        ),
        (vec!["2001:db8::1/32"], v6, None, vec!["2001:db8::1/32"]),
        (vec!["2001:db8:22::/80"], v6, None, vec!["2001:db8:22::/80"]),
    ] {
        let present: Vec<IpNetwork> = present.iter().map(|one| one.parse().unwrap()).collect();
        let wanted = wanted.parse().unwrap();
        let add = |instead_of: Vec<&str>| Plan::Add {
            instead_of: instead_of.iter().map(|one| one.parse().unwrap()).collect(),
        };
        assert_eq!(
            plan(&present, &wanted, false),
            without_force.map(add),
            "{present:?}"
        );
        assert_eq!(
            plan(&present, &wanted, true),
            Some(add(with_force)),
            "{present:?}"
        );
    }
}

#[test]
fn the_address_itself_ends_the_walk() {
    let wanted: IpNetwork = "10.22.0.1/24".parse().unwrap();
    let other: IpNetwork = "10.99.0.1/24".parse().unwrap();
    assert_eq!(plan(&[wanted, other], &wanted, false), Some(Plan::Nothing));
    assert_eq!(plan(&[other, wanted], &wanted, false), None);
}

/// On a bridge of another network, of which a pod is on it already; `earlier` happens before the address is replaced,
/// `meanwhile` before ADD fails. What the bridge has in the end.
fn after_a_failed_replacement(earlier: &str, meanwhile: &str) -> Option<Vec<String>> {
    let _world = kernel::testing::World::new()?;
    harness::sh(
        "ip link add cni0 type bridge; ip link set cni0 up; ip addr add 10.99.0.1/24 dev cni0
         for port in old own; do ip link add $port type veth peer name $port-end; ip link set $port master cni0; done",
    );
    let host = Netlink::open().unwrap();
    let link = |name: &str| host.link(&name.parse().unwrap()).unwrap().unwrap();
    let bridge = Bridge {
        link: link("cni0"),
        made: false,
    };
    let port = link("own");
    let own = Own {
        port: port.index,
        network: "dbnet",
        up_early: false,
    };
    let mut undo = Undo::new();
    let gateway = Gateway::bridge(&host, &bridge, &port, own);
    harness::sh(earlier);
    let wanted = ["10.22.0.1/24".parse().unwrap()];
    gateway.ensure(&wanted, true, &mut undo).unwrap();
    harness::sh(meanwhile);
    drop(undo);
    let seen = gateway.present().unwrap();
    Some(
        seen.iter()
            .filter(|address| address.is_ipv4())
            .map(ToString::to_string)
            .collect(),
    )
}

#[test]
fn what_was_replaced_comes_back_first() {
    let join = "ip link add new type veth peer name new-end; ip link set new master cni0";
    let both = &["10.99.0.1/24", "10.22.0.1/24"][..];
    for (earlier, meanwhile, expected) in [
        ("true", "true", &["10.99.0.1/24"][..]),
        ("true", join, both),
        // Whose port came after that of this ADD may have still to look for a gateway, and finds this one.
        (join, "true", both),
    ] {
        let Some(seen) = after_a_failed_replacement(earlier, meanwhile) else {
            return;
        };
        assert_eq!(seen, expected, "{earlier}; {meanwhile}");
    }
}
