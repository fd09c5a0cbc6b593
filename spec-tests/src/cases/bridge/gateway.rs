//! bridge: gateway addresses, forwarding, routes and duplicate address detection.

use crate::cases::{bridge::BRIDGE, packets::*, prelude::*, sight::*};

const BRIDGE_NAME: &str = "suite0";

fn on_bridge(bench: &mut Bench) -> Result<Vec<String>, Failure> {
    addresses(bench, HOST, BRIDGE_NAME)
}

/// A bridge that is there before, with these addresses.
fn existing(bench: &mut Bench, addresses: &[&str]) -> Result<(), Failure> {
    bench.run("ip", &["link", "add", BRIDGE_NAME, "type", "bridge"])?;
    bench.run("ip", &["link", "set", BRIDGE_NAME, "up"])?;
    for address in addresses {
        let mut args = vec!["address", "add", address, "dev", BRIDGE_NAME];
        if address.contains(':') {
            args.push("nodad");
        }
        bench.run("ip", &args)?;
    }
    Ok(())
}

submit!(Case {
    id: "bridge/gateway/01",
    rule: "isGateway puts the gateway address with the subnet's length on the bridge.",
    faults: &[
        Fault::Config("/isGateway", ""),
        Fault::After("ADD", "ip address flush dev suite0")
    ],
    run: |bench| {
        attach(bench, json!({}))?;
        expect("addresses", &list(&["10.88.0.1/24"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/02",
    rule: "isGateway puts an IPv6 gateway on the bridge as well.",
    faults: &[
        Fault::Config("/isGateway", ""),
        Fault::After("ADD", "ip -6 address flush dev suite0 scope global")
    ],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        expect(
            "addresses",
            &list(&["10.88.0.1/24", "2001:db8::1/64"]),
            &on_bridge(bench)?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/03",
    rule: "Without isGateway the bridge gets no address.",
    faults: &[Fault::Config("/isGateway", "=true")],
    run: |bench| {
        attach(bench, json!({ "isGateway": false, "ipam": dual() }))?;
        expect("addresses", &list(&[]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/04",
    rule: "The gateway that IPAM names is the one on the bridge.",
    faults: &[Fault::Config("/ipam/gateway", "")],
    run: |bench| {
        attach(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "gateway": "10.88.0.254" } }),
        )?;
        expect("addresses", &list(&["10.88.0.254/24"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/05",
    rule: "With isGateway and no gateway from IPAM it is the network address plus one, on the bridge and in the result.",
    faults: &[
        Fault::Config("/isGateway", ""),
        Fault::Result("/ips/1/gateway", "")
    ],
    run: |bench| {
        let ipam = told(
            bench,
            &[("10.88.7.9/24", ""), ("2001:db8:7::9/64", "")],
            Value::Null,
        )?;
        let (_, result) = attach(bench, json!({ "ipam": ipam }))?;
        expect(
            "addresses",
            &list(&["10.88.7.1/24", "2001:db8:7::1/64"]),
            &on_bridge(bench)?,
        )?;
        expect("gateway", &json!("10.88.7.1"), &result["ips"][0]["gateway"])?;
        expect(
            "IPv6 gateway",
            &json!("2001:db8:7::1"),
            &result["ips"][1]["gateway"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/06",
    rule: "Without isGateway an address that IPAM gives no gateway for has none in the result.",
    faults: &[
        Fault::Config("/isGateway", "=true"),
        Fault::Result("/ips/0/gateway", "10.88.7.1")
    ],
    run: |bench| {
        let ipam = told(bench, &[("10.88.7.9/24", "")], Value::Null)?;
        let (_, result) = attach(bench, json!({ "isGateway": false, "ipam": ipam }))?;
        expect("gateway", &Value::Null, &result["ips"][0]["gateway"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/07",
    rule: "The second pod finds the gateway address on the bridge and leaves it alone.",
    needs: &["ping"],
    faults: &[
        Fault::ExitOne,
        Fault::Before(
            "ADD",
            "ip address flush dev suite0; ip address add 10.88.0.99/24 dev suite0"
        )
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        attach_other(bench, "other", &config)?;
        expect(
            "addresses",
            &list(&["10.88.0.1/24", "2001:db8::1/64"]),
            &on_bridge(bench)?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/08",
    rule: "Pods reach the gateway, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/isGateway", ""),
        Fault::After("ADD", "ip -6 address flush dev suite0 scope global")
    ],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        answers(bench, "pod", "10.88.0.1")?;
        answers(bench, "pod", "2001:db8::1")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/09",
    rule: "The bridge and its gateway address stay when the last pod goes.",
    faults: &[
        Fault::After("DEL", "ip link del suite0"),
        Fault::After("DEL", "ip address flush dev suite0")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("addresses", &list(&["10.88.0.1/24"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway/10",
    rule: "A gateway's MAC address stays while pods come and go.",
    faults: &[Fault::After(
        "DEL",
        "ip link set suite0 address 02:00:00:00:00:77"
    )],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        let before = link(bench, HOST, BRIDGE_NAME)?["address"].clone();
        for pod in ["a", "b", "c"] {
            attach_other(bench, pod, &config)?;
        }
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        for pod in ["a", "b", "c"] {
            detach_other(bench, pod, &config)?;
        }
        expect("MAC", &before, &link(bench, HOST, BRIDGE_NAME)?["address"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/forwarding/01",
    rule: "isGateway enables IPv4 forwarding.",
    faults: &[
        Fault::Config("/isGateway", ""),
        Fault::After("ADD", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    ],
    run: |bench| {
        bench.run("sh", &["-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"])?;
        attach(bench, json!({}))?;
        expect(
            "ip_forward",
            &"1".to_owned(),
            &sysctl(bench, HOST, "net/ipv4/ip_forward")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/forwarding/02",
    rule: "isGateway enables IPv6 forwarding when there is an IPv6 gateway.",
    faults: &[
        Fault::Config("/isGateway", ""),
        Fault::After("ADD", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")
    ],
    run: |bench| {
        bench.run(
            "sh",
            &["-c", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"],
        )?;
        attach(bench, json!({ "ipam": six() }))?;
        expect(
            "forwarding",
            &"1".to_owned(),
            &sysctl(bench, HOST, "net/ipv6/conf/all/forwarding")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/forwarding/03",
    rule: "Forwarding of a family without a gateway is left alone.",
    faults: &[Fault::After(
        "ADD",
        "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
    )],
    run: |bench| {
        bench.run(
            "sh",
            &["-c", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"],
        )?;
        attach(bench, json!({}))?;
        expect(
            "forwarding",
            &"0".to_owned(),
            &sysctl(bench, HOST, "net/ipv6/conf/all/forwarding")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/forwarding/04",
    rule: "Without isGateway forwarding is left alone.",
    faults: &[Fault::Config("/isGateway", "=true")],
    run: |bench| {
        bench.run("sh", &["-c", "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"])?;
        attach(bench, json!({ "isGateway": false, "ipam": dual() }))?;
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            expect(key, &"0".to_owned(), &sysctl(bench, HOST, key)?)?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/default-gateway/01",
    rule: "isDefaultGateway adds a default route by the gateway, in the kernel and in the result.",
    faults: &[
        Fault::Config("/isDefaultGateway", ""),
        Fault::Result("/routes", ""),
        Fault::After("ADD", "ip -n pod route del default")
    ],
    run: |bench| {
        let (_, result) = attach(
            bench,
            json!({ "isGateway": null, "isDefaultGateway": true }),
        )?;
        expect(
            "routes",
            &list(&["default via 10.88.0.1 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )?;
        expect(
            "routes of the result",
            &json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.1" }]),
            &result["routes"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/default-gateway/02",
    rule: "isDefaultGateway implies isGateway.",
    faults: &[
        Fault::Config("/isDefaultGateway", ""),
        Fault::After("ADD", "ip address flush dev suite0")
    ],
    run: |bench| {
        attach(
            bench,
            json!({ "isGateway": null, "isDefaultGateway": true }),
        )?;
        expect("addresses", &list(&["10.88.0.1/24"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/default-gateway/03",
    rule: "isDefaultGateway adds an IPv6 default route.",
    faults: &[
        Fault::Config("/isDefaultGateway", ""),
        Fault::After("ADD", "ip -n pod -6 route del default")
    ],
    run: |bench| {
        attach(bench, json!({ "isDefaultGateway": true, "ipam": six() }))?;
        expect(
            "routes",
            &list(&["default via 2001:db8::1 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/default-gateway/04",
    rule: "isDefaultGateway adds one default route for each family.",
    faults: &[
        Fault::Config("/isDefaultGateway", ""),
        Fault::After("ADD", "ip -n pod -6 route del default"),
        Fault::Result("/routes/1", "")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "isDefaultGateway": true, "ipam": dual() }))?;
        let expected = list(&[
            "default via 10.88.0.1 dev eth0",
            "default via 2001:db8::1 dev eth0",
        ]);
        expect("routes", &expected, &routes(bench, "pod", "main")?)?;
        expect(
            "routes of the result",
            &Some(2),
            &result["routes"].as_array().map(Vec::len),
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/default-gateway/05",
    rule: "A default route with a next hop from IPAM takes the place of the one by the bridge.",
    faults: &[Fault::Config("/ipam/routes", "")],
    run: |bench| {
        let ipam = routed(
            host_local(&["10.88.0.0/24"]),
            json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.77" }]),
        );
        attach(bench, json!({ "isDefaultGateway": true, "ipam": ipam }))?;
        expect(
            "routes",
            &list(&["default via 10.88.0.77 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/default-gateway/06",
    rule: "Without isDefaultGateway there is no default route.",
    faults: &[Fault::Config("/isDefaultGateway", "=true")],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        expect("routes", &list(&[]), &routes(bench, "pod", "main")?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/default-gateway/07",
    rule: "isDefaultGateway beside an IPAM default route without a next hop gives one default route.",
    faults: &[
        Fault::ExitOne,
        Fault::After("ADD", "ip -n pod route del default")
    ],
    run: |bench| {
        let ipam = routed(
            host_local(&["10.88.0.0/24"]),
            json!([{ "dst": "0.0.0.0/0" }]),
        );
        attach(bench, json!({ "isDefaultGateway": true, "ipam": ipam }))?;
        expect(
            "routes",
            &list(&["default via 10.88.0.1 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/force-address/01",
    rule: "Another IPv4 address on the bridge is refused without forceAddress, and stays.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip address flush dev suite0")
    ],
    run: |bench| {
        existing(bench, &["10.99.0.1/24"])?;
        refuses_add(
            bench,
            json!({}),
            &[
                "suite0",
                "already has an IP address different from 10.88.0.1/24",
            ],
        )?;
        expect("addresses", &list(&["10.99.0.1/24"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/force-address/02",
    rule: "forceAddress replaces another IPv4 address of the bridge.",
    faults: &[
        Fault::Config("/forceAddress", ""),
        Fault::After("ADD", "ip address add 10.99.0.1/24 dev suite0")
    ],
    run: |bench| {
        existing(bench, &["10.99.0.1/24"])?;
        attach(bench, json!({ "forceAddress": true }))?;
        expect("addresses", &list(&["10.88.0.1/24"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/force-address/03",
    rule: "The gateway's own address on the bridge is accepted.",
    faults: &[
        Fault::Before(
            "ADD",
            "ip address flush dev suite0; ip address add 10.99.0.1/24 dev suite0"
        ),
        Fault::ExitOne
    ],
    run: |bench| {
        existing(bench, &["10.88.0.1/24"])?;
        attach(bench, json!({}))?;
        expect("addresses", &list(&["10.88.0.1/24"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/force-address/04",
    rule: "The gateway's address with another prefix length is refused.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip address flush dev suite0")
    ],
    run: |bench| {
        existing(bench, &["10.88.0.1/16"])?;
        refuses_add(
            bench,
            json!({}),
            &["already has an IP address different from 10.88.0.1/24"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/force-address/05",
    rule: "An IPv6 address of another subnet on the bridge does not matter and stays.",
    faults: &[
        Fault::After("ADD", "ip address del 2001:db8:99::1/64 dev suite0"),
        Fault::ExitOne
    ],
    run: |bench| {
        existing(bench, &["2001:db8:99::1/64"])?;
        attach(bench, json!({ "ipam": six() }))?;
        let mut seen = on_bridge(bench)?;
        seen.sort();
        expect(
            "addresses",
            &list(&["2001:db8:99::1/64", "2001:db8::1/64"]),
            &seen,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/force-address/06",
    rule: "An IPv6 address whose subnet overlaps the gateway's is refused without forceAddress.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -6 address flush dev suite0")
    ],
    run: |bench| {
        existing(bench, &["2001:db8::99/64"])?;
        refuses_add(
            bench,
            json!({ "ipam": six() }),
            &["already has an IP address different from 2001:db8::1/64"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/force-address/07",
    rule: "forceAddress replaces an IPv6 address whose subnet overlaps the gateway's.",
    faults: &[Fault::Config("/forceAddress", "")],
    run: |bench| {
        existing(bench, &["2001:db8::99/64"])?;
        attach(bench, json!({ "ipam": six(), "forceAddress": true }))?;
        expect("addresses", &list(&["2001:db8::1/64"]), &on_bridge(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/01",
    rule: "A route of IPAM with a next hop is in the pod and in the result.",
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::After("ADD", "ip -n pod route del 192.168.5.0/24"),
        Fault::Result("/routes", "")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "192.168.5.0/24", "gw": "10.88.0.9" }]);
        let ipam = routed(host_local(&["10.88.0.0/24"]), wanted.clone());
        let (_, result) = attach(bench, json!({ "ipam": ipam }))?;
        expect(
            "routes",
            &list(&["192.168.5.0/24 via 10.88.0.9 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )?;
        expect("routes of the result", &wanted, &result["routes"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/02",
    rule: "A route of IPAM without a next hop goes by the gateway of its family.",
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::Config("/ipam/routes/0/gw", "10.88.0.9")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "192.168.5.0/24" }, { "dst": "2001:db8:5::/48" }]);
        attach(bench, json!({ "ipam": routed(dual(), wanted) }))?;
        let expected = [
            "192.168.5.0/24 via 10.88.0.1 dev eth0",
            "2001:db8:5::/48 via 2001:db8::1 dev eth0",
        ];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/03",
    rule: "priority is the metric of a route, IPv4 and IPv6.",
    faults: &[
        Fault::Config("/ipam/routes/0/priority", ""),
        Fault::Config("/ipam/routes/1/priority", "")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "192.168.5.0/24", "priority": 77 }, { "dst": "2001:db8:5::/48", "priority": 78 }]);
        attach(bench, json!({ "ipam": routed(dual(), wanted) }))?;
        let expected = [
            "192.168.5.0/24 via 10.88.0.1 dev eth0 metric 77",
            "2001:db8:5::/48 via 2001:db8::1 dev eth0 metric 78",
        ];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/04",
    rule: "table puts a route into that table and not into the main one.",
    faults: &[Fault::Config("/ipam/routes/0/table", "")],
    run: |bench| {
        let wanted = json!([{ "dst": "192.168.5.0/24", "table": 77 }, { "dst": "2001:db8:5::/48", "table": 77 }]);
        attach(bench, json!({ "ipam": routed(dual(), wanted) }))?;
        expect("main table", &list(&[]), &routes(bench, "pod", "main")?)?;
        let expected = [
            "192.168.5.0/24 via 10.88.0.1 dev eth0",
            "2001:db8:5::/48 via 2001:db8::1 dev eth0",
        ];
        expect("table 77", &list(&expected), &routes(bench, "pod", "77")?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/05",
    rule: "scope 253 without any gateway makes a link-scope route.",
    faults: &[Fault::After(
        "ADD",
        "ip -n pod route replace 192.168.5.0/24 dev eth0 scope global"
    )],
    run: |bench| {
        let wanted = json!([{ "dst": "192.168.5.0/24", "scope": 253 }]);
        let ipam = told(bench, &[("10.88.7.9/24", "")], wanted)?;
        attach(bench, json!({ "isGateway": null, "ipam": ipam }))?;
        expect(
            "routes",
            &list(&["192.168.5.0/24 dev eth0 scope link"]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/06",
    rule: "Two next hops for one IPv4 destination are two routes, the later one first.",
    faults: &[
        Fault::Config("/ipam/routes/1", ""),
        Fault::Config("/ipam/routes/0", "")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "192.168.5.0/24", "gw": "10.88.0.8" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }]);
        attach(
            bench,
            json!({ "ipam": routed(host_local(&["10.88.0.0/24"]), wanted) }),
        )?;
        let seen = ip(bench, "pod", &["-4", "route", "show", "192.168.5.0/24"])?;
        expect(
            "next hops",
            &(json!("10.88.0.9"), json!("10.88.0.8")),
            &(seen[0]["gateway"].clone(), seen[1]["gateway"].clone()),
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/07",
    rule: "A route by a next hop that nobody reaches fails ADD and leaves nothing of the attachment.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/routes", "")],
    run: |bench| {
        let ipam = routed(
            host_local(&["10.88.0.0/24"]),
            json!([{ "dst": "192.168.5.0/24", "gw": "172.16.0.1" }]),
        );
        refuses_add(
            bench,
            json!({ "ipam": ipam }),
            &["failed to add route", "192.168.5.0"],
        )?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/routes/08",
    rule: "A pod reaches what lies behind a route of IPAM.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::Config("/isGateway", "")
    ],
    run: |bench| {
        outside(bench)?;
        for (family, subnet, host) in [
            ("-4", "10.88.0.0/24", "192.0.2.1"),
            ("-6", "2001:db8::/64", "2001:db8:ffff::1"),
        ] {
            bench.run(
                "ip",
                &["-n", "outside", family, "route", "add", subnet, "via", host],
            )?;
        }
        let wanted = json!([{ "dst": "192.0.2.0/24" }, { "dst": "2001:db8:ffff::/64" }]);
        attach(bench, json!({ "ipam": routed(dual(), wanted) }))?;
        answers(bench, "pod", "192.0.2.2")?;
        answers(bench, "pod", "2001:db8:ffff::2")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/address/01",
    rule: "Every address of a dual-stack attachment is on the pod's interface.",
    faults: &[
        Fault::Config("/ipam/ranges/1", ""),
        Fault::After("ADD", "ip -n pod -4 address flush dev eth0")
    ],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/address/02",
    rule: "An IPv4 address has the subnet's broadcast address, a /32 has none.",
    faults: &[Fault::After(
        "ADD",
        "ip -n pod address flush dev eth0; ip -n pod address add 10.88.0.2/24 dev eth0"
    )],
    run: |bench| {
        attach(bench, json!({}))?;
        let seen = ip(bench, "pod", &["-4", "address", "show", "dev", "eth0"])?;
        expect(
            "broadcast",
            &json!("10.88.0.255"),
            &seen[0]["addr_info"][0]["broadcast"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/address/03",
    rule: "IPv6 is enabled in a pod where it was off when there is an IPv6 address to set.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6'"
    )],
    run: |bench| {
        bench.pod("pod")?;
        inside(
            bench,
            "pod",
            &[
                "sh",
                "-c",
                "for c in all default; do echo 1 > /proc/sys/net/ipv6/conf/$c/disable_ipv6; done",
            ],
        )?;
        let config = with(bench, json!({ "ipam": six() }));
        bench.add(&config)?;
        expect(
            "addresses",
            &list(&["2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/address/04",
    rule: "The pod keeps its IPv6 addresses while its interface is down.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down'"
    )],
    run: |bench| {
        attach(bench, json!({ "ipam": six() }))?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "down"])?;
        expect(
            "addresses",
            &list(&["2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/address/05",
    rule: "The pod announces its IPv4 address when its interface comes up.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify'"
    )],
    run: |bench| {
        attach(bench, json!({}))?;
        expect(
            "arp_notify",
            &"1".to_owned(),
            &sysctl(bench, "pod", "net/ipv4/conf/eth0/arp_notify")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/enabledad/01",
    rule: "enabledad has the pod detect duplicate addresses.",
    faults: &[Fault::Config("/enabledad", "")],
    run: |bench| {
        attach(bench, json!({ "enabledad": true, "ipam": six() }))?;
        for key in ["accept_dad", "enhanced_dad"] {
            expect(
                key,
                &"1".to_owned(),
                &sysctl(bench, "pod", &format!("net/ipv6/conf/eth0/{key}"))?,
            )?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/enabledad/02",
    rule: "Without enabledad the pod does not detect duplicate addresses.",
    faults: &[Fault::Config("/enabledad", "=true")],
    run: |bench| {
        attach(bench, json!({ "ipam": six() }))?;
        expect(
            "accept_dad",
            &"0".to_owned(),
            &sysctl(bench, "pod", "net/ipv6/conf/eth0/accept_dad")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/enabledad/03",
    rule: "No address is tentative when ADD has returned, with enabledad or without.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad'; \
                                   ip -n pod address flush dev eth0; ip -n pod address add 2001:db8::7/64 dev eth0"
    )],
    run: |bench| {
        let config = with(bench, json!({ "enabledad": true, "ipam": six() }));
        attach_other(bench, "with", &config)?;
        attach(bench, json!({ "ipam": six() }))?;
        for pod in ["with", "pod"] {
            let args = ["-6", "address", "show", "dev", "eth0", "scope", "global"];
            let seen = ip(bench, pod, &args)?[0]["addr_info"][0].clone();
            expect(
                &format!("tentative in {pod}"),
                &Value::Null,
                &seen["tentative"],
            )?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/enabledad/04",
    rule: "With enabledad an address that another pod of the bridge uses fails ADD and leaves nothing of the attachment.",
    faults: &[Fault::ExitZero, Fault::Config("/enabledad", "")],
    run: |bench| {
        let config = with(bench, json!({ "ipam": six() }));
        attach_other(bench, "holder", &config)?;
        bench.run("rm", &["-r", RESERVATIONS])?;
        refuses_add(
            bench,
            json!({ "enabledad": true, "ipam": six() }),
            &["2001:db8::2", "DADFAILED"],
        )?;
        expect("links in the pod", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..BRIDGE
});
