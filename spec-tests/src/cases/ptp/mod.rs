//! ptp: a pair with a route on either side.

mod check;
mod del;
mod ipam;

use crate::cases::{packets::*, prelude::*, route_fields::*, sight::*};

pub(in crate::cases) const PTP: Case = Case {
    judges: Judges::Only(&["ptp"]),
    ..COMPAT
};
submit!(Case {
    id: "ptp/result/01",
    rule: "The result lists the host end and the pod's interface; the addresses point at the second.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Result("/interfaces/0", ""),
        Fault::Result("/ips/0/interface", "=0")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let names = [
            result["interfaces"][0]["name"].clone(),
            result["interfaces"][1]["name"].clone(),
        ];
        expect("names", &[json!(host_end(&result)), json!("eth0")], &names)?;
        expect(
            "count",
            &Some(2),
            &result["interfaces"].as_array().map(Vec::len),
        )?;
        expect(
            "interface of the address",
            &json!(1),
            &result["ips"][0]["interface"],
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/result/02",
    rule: "The result has both MAC addresses, and the sandbox of the pod's interface alone.",
    faults: &[
        Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"),
        Fault::Result("/interfaces/1/sandbox", "")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let host = link(bench, HOST, &host_end(&result))?["address"].clone();
        expect("MAC on the host", &host, &result["interfaces"][0]["mac"])?;
        expect(
            "MAC in the pod",
            &link(bench, "pod", "eth0")?["address"],
            &result["interfaces"][1]["mac"],
        )?;
        expect(
            "sandbox",
            &json!("/run/netns/pod"),
            &result["interfaces"][1]["sandbox"],
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/pod/01",
    rule: "In the pod the gateway is a link-scope route and the subnet goes by it, both from the pod's address.",
    faults: &[
        Fault::After("ADD", "ip -n pod route flush dev eth0 root 10.88.0.0/24"),
        Fault::Config("/ipam/subnet", "10.88.0.0/23")
    ],
    run: |bench| {
        attach(bench, json!({}))?;
        let expected = [
            "10.88.0.0/24 via 10.88.0.1 dev eth0 src 10.88.0.2",
            "10.88.0.1 dev eth0 scope link src 10.88.0.2",
        ];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)?;
        let all = ip(bench, "pod", &["-4", "route"])?;
        expect("no other route", &Some(2), &all.as_array().map(Vec::len))
    },
    ..PTP
});

submit!(Case {
    id: "ptp/pod/02",
    rule: "IPv6 has the same two routes.",
    faults: &[Fault::After("ADD", "ip -n pod -6 route del 2001:db8::1")],
    run: |bench| {
        attach(bench, json!({ "ipam": six() }))?;
        let expected = [
            "2001:db8::/64 via 2001:db8::1 dev eth0 src 2001:db8::2",
            "2001:db8::1 dev eth0 src 2001:db8::2",
        ];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/pod/03",
    rule: "The pod's interface has the addresses with their prefix lengths.",
    faults: &[
        Fault::Config("/ipam/ranges/1", ""),
        Fault::After("ADD", "ip -n pod address del 10.88.0.2/24 dev eth0")
    ],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/host/01",
    rule: "The host end has the gateway's address as /32 and /128.",
    faults: &[Fault::After(
        "ADD",
        "v=$(ls /sys/class/net | grep ^veth); ip address flush dev $v"
    )],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": dual() }))?;
        expect(
            "addresses",
            &list(&["10.88.0.1/32", "2001:db8::1/128"]),
            &addresses(bench, HOST, &host_end(&result))?,
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/host/05",
    rule: "Nobody looks for duplicates of the host end's link-local address: it is usable at once.",
    faults: &[Fault::After(
        "ADD",
        "v=$(ls /sys/class/net | grep ^veth); echo 1 > /proc/sys/net/ipv6/conf/$v/accept_dad; \
         ip -6 address flush dev $v scope link; ip address add fe80::1/64 dev $v"
    )],
    repairs: &[Fault::After(
        "ADD",
        "v=$(ls /sys/class/net | grep ^veth); ip -6 address flush dev $v scope link; \
         ip address add fe80::1/64 dev $v nodad"
    )],
    run: |bench| {
        // With IPv6 addresses ADD may wait for the pod's, and for this one by that.
        let (_, result) = attach(bench, json!({}))?;
        expect_usable_link_local(bench, &host_end(&result))
    },
    ..PTP
});

submit!(Case {
    id: "ptp/host/02",
    rule: "The host has a route of scope host to the pod's IPv4 address and one to its IPv6 address.",
    faults: &[
        Fault::After("ADD", "ip route del 10.88.0.2"),
        Fault::After("ADD", "ip -6 route del 2001:db8::2"),
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); ip route del 10.88.0.2; ip route add 10.88.0.2 dev $v scope link"
        )
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": dual() }))?;
        let host = host_end(&result);
        let expected = [
            format!("10.88.0.2 dev {host} scope host"),
            format!("2001:db8::2 dev {host}"),
        ];
        expect("routes", &expected.to_vec(), &routes(bench, HOST, "main")?)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/host/03",
    rule: "The host end is a veth named 'veth' and eight hexadecimal digits, up, without a master.",
    faults: &[
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); ip link set $v down"
        ),
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); ip link set $v name veth1"
        )
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let name = host_veths(bench)?.pop().unwrap_or_default();
        expect("name", &host_end(&result), &name)?;
        let digits = name.trim_start_matches("veth");
        expect_that(
            digits.len() == 8 && digits.chars().all(|c| c.is_ascii_hexdigit()),
            "eight digits",
            &name,
        )?;
        let host = link(bench, HOST, &name)?;
        expect(
            "state and master",
            &(json!("UP"), Value::Null),
            &(host["operstate"].clone(), host["master"].clone()),
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/forwarding/01",
    rule: "Forwarding is enabled for the families of the addresses and no other.",
    faults: &[
        Fault::After("ADD", "echo 0 > /proc/sys/net/ipv4/ip_forward"),
        Fault::After("ADD", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
    ],
    run: |bench| {
        bench.run("sh", &["-c", "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"])?;
        attach(bench, json!({}))?;
        expect(
            "IPv4",
            &"1".to_owned(),
            &sysctl(bench, HOST, "net/ipv4/ip_forward")?,
        )?;
        expect(
            "IPv6",
            &"0".to_owned(),
            &sysctl(bench, HOST, "net/ipv6/conf/all/forwarding")?,
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/forwarding/02",
    rule: "An IPv6 address enables IPv6 forwarding.",
    faults: &[Fault::After(
        "ADD",
        "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"
    )],
    run: |bench| {
        bench.run(
            "sh",
            &["-c", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"],
        )?;
        attach(bench, json!({ "ipam": dual() }))?;
        expect(
            "IPv6",
            &"1".to_owned(),
            &sysctl(bench, HOST, "net/ipv6/conf/all/forwarding")?,
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/mtu/01",
    rule: "mtu is set on both ends.",
    faults: &[
        Fault::Config("/mtu", ""),
        Fault::After("ADD", "ip -n pod link set eth0 mtu 1500")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "mtu": 1400 }))?;
        expect(
            "MTU in the pod",
            &json!(1400),
            &link(bench, "pod", "eth0")?["mtu"],
        )?;
        expect(
            "MTU on the host",
            &json!(1400),
            &link(bench, HOST, &host_end(&result))?["mtu"],
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/mtu/02",
    rule: "Without mtu the kernel's default stays.",
    faults: &[Fault::Config("/mtu", "=1400")],
    run: |bench| {
        attach(bench, json!({}))?;
        expect("MTU", &json!(1500), &link(bench, "pod", "eth0")?["mtu"])
    },
    ..PTP
});

submit!(Case {
    id: "ptp/routes/01",
    rule: "A route of IPAM without a next hop goes by the gateway of its family.",
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::Result("/routes", "")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        let (_, result) = attach(bench, json!({ "ipam": routed(dual(), wanted.clone()) }))?;
        let seen = routes(bench, "pod", "main")?;
        for route in [
            "default via 10.88.0.1 dev eth0",
            "default via 2001:db8::1 dev eth0",
        ] {
            expect_that(seen.contains(&route.to_owned()), route, format!("{seen:?}"))?;
        }
        expect("routes of the result", &wanted, &result["routes"])
    },
    ..PTP
});

submit!(Case {
    id: "ptp/routes/02",
    rule: "A route of IPAM with a next hop goes by that, IPv4 and IPv6.",
    faults: &[
        Fault::Config("/ipam/routes/0/gw", ""),
        Fault::Config("/ipam/routes/1/gw", "")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "192.168.5.0/24", "gw": "10.88.0.9" }, { "dst": "2001:db8:5::/48", "gw": "2001:db8::9" }]);
        attach(bench, json!({ "ipam": routed(dual(), wanted) }))?;
        let seen = routes(bench, "pod", "main")?;
        for route in [
            "192.168.5.0/24 via 10.88.0.9 dev eth0",
            "2001:db8:5::/48 via 2001:db8::9 dev eth0",
        ] {
            expect_that(seen.contains(&route.to_owned()), route, format!("{seen:?}"))?;
        }
        Ok(())
    },
    ..PTP
});

submit!(Case {
    id: "ptp/routes/03",
    rule: "priority is the metric of a route, IPv4 and IPv6.",
    faults: &[
        Fault::Config("/ipam/routes/0/priority", ""),
        Fault::Config("/ipam/routes/1/priority", "")
    ],
    repairs: PRIORITIES,
    run: |bench| {
        attach(bench, json!({ "ipam": routed(dual(), with_priorities()) }))?;
        let seen = routes(bench, "pod", "main")?;
        for route in WITH_PRIORITIES {
            expect_that(
                seen.contains(&(*route).to_owned()),
                route,
                format!("{seen:?}"),
            )?;
        }
        Ok(())
    },
    ..PTP
});

submit!(Case {
    id: "ptp/routes/04",
    rule: "table puts a route into that table and not into the main one.",
    faults: &[
        Fault::Config("/ipam/routes/0/table", ""),
        Fault::Config("/ipam/routes/1/table", "")
    ],
    repairs: TABLES,
    run: |bench| {
        attach(bench, json!({ "ipam": routed(dual(), with_tables()) }))?;
        expect("table 77", &list(WITH_TABLES), &routes(bench, "pod", "77")?)?;
        let main = routes(bench, "pod", "main")?;
        expect_that(
            !main
                .iter()
                .any(|route| route.starts_with("192.168.5") || route.starts_with("2001:db8:5")),
            "not in the main table",
            format!("{main:?}"),
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/pod/04",
    rule: "Two IPv4 addresses have each its gateway's routes, on the host as well, and both gateways answer.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/ipam/ranges/1", ""),
        Fault::After("ADD", "ip -n pod route del 10.89.0.1"),
        Fault::After("ADD", "ip route del 10.89.0.2")
    ],
    run: |bench| {
        let (_, result) = attach(
            bench,
            json!({ "ipam": host_local(&["10.88.0.0/24", "10.89.0.0/24"]) }),
        )?;
        let expected = [
            "10.88.0.0/24 via 10.88.0.1 dev eth0 src 10.88.0.2",
            "10.88.0.1 dev eth0 scope link src 10.88.0.2",
            "10.89.0.0/24 via 10.89.0.1 dev eth0 src 10.89.0.2",
            "10.89.0.1 dev eth0 scope link src 10.89.0.2",
        ];
        expect(
            "routes in the pod",
            &list(&expected),
            &routes(bench, "pod", "main")?,
        )?;
        let host = host_end(&result);
        let expected = [
            format!("10.88.0.2 dev {host} scope host"),
            format!("10.89.0.2 dev {host} scope host"),
        ];
        expect(
            "routes on the host",
            &expected.to_vec(),
            &routes(bench, HOST, "main")?,
        )?;
        answers(bench, "pod", "10.88.0.1")?;
        answers_from(bench, "pod", "10.89.0.2", "10.89.0.1")
    },
    ..PTP
});

submit!(Case {
    id: "ptp/host/04",
    rule: "The host end takes no router advertisements.",
    faults: &[Fault::After(
        "ADD",
        "v=$(ls /sys/class/net | grep ^veth); echo 1 > /proc/sys/net/ipv6/conf/$v/accept_ra"
    )],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let seen = sysctl(
            bench,
            HOST,
            &format!("net/ipv6/conf/{}/accept_ra", host_end(&result)),
        )?;
        expect("accept_ra", &"0".to_owned(), &seen)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/forwarding/03",
    rule: "Forwarding stays enabled after DEL.",
    faults: &[
        Fault::After("DEL", "echo 0 > /proc/sys/net/ipv4/ip_forward"),
        Fault::After("DEL", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "IPv4",
            &"1".to_owned(),
            &sysctl(bench, HOST, "net/ipv4/ip_forward")?,
        )?;
        expect(
            "IPv6",
            &"1".to_owned(),
            &sysctl(bench, HOST, "net/ipv6/conf/all/forwarding")?,
        )
    },
    ..PTP
});
