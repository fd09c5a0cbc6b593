//! ptp: packets, names and what comes from IPAM, many pods.

use crate::cases::{packets::*, prelude::*, ptp::*, sight::*};

submit!(Case {
    id: "ptp/packets/01",
    rule: "The pod reaches its gateway, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[Fault::After(
        "ADD",
        "v=$(ls /sys/class/net | grep ^veth); ip address flush dev $v scope global; ip route add 10.88.0.2 dev $v"
    )],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        answers(bench, "pod", "10.88.0.1")?;
        answers(bench, "pod", "2001:db8::1")
    },
    ..PTP
});

submit!(Case {
    id: "ptp/packets/02",
    rule: "Two pods reach each other through the host, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::After("ADD", "echo 0 > /proc/sys/net/ipv4/ip_forward"),
        Fault::After("ADD", "ip -6 route del 2001:db8::2")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        attach_other(bench, "other", &config)?;
        answers(bench, "pod", "10.88.0.3")?;
        answers(bench, "pod", "2001:db8::3")
    },
    ..PTP
});

submit!(Case {
    id: "ptp/packets/03",
    rule: "With default routes the pod is answered by a machine behind the host that knows the way back, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::After("ADD", "ip route del 10.88.0.2"),
        Fault::After("ADD", "ip -n pod -6 route del default")
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
        attach(
            bench,
            json!({ "ipam": routed(dual(), json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }])) }),
        )?;
        answers(bench, "pod", "192.0.2.2")?;
        answers(bench, "pod", "2001:db8:ffff::2")
    },
    ..PTP
});

submit!(Case {
    id: "ptp/dns/01",
    rule: "dns of the configuration wins over that of IPAM.",
    faults: &[Fault::Config("/dns", "")],
    run: |bench| {
        bench.run("sh", &["-c", "echo nameserver 192.0.2.53 > /run/resolv"])?;
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = attach(
            bench,
            json!({ "dns": { "nameservers": ["192.0.2.1"] }, "ipam": ipam }),
        )?;
        expect(
            "dns",
            &json!({ "nameservers": ["192.0.2.1"] }),
            &result["dns"],
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/dns/02",
    rule: "Without dns in the configuration that of IPAM is in the result.",
    faults: &[Fault::Config("/ipam/resolvConf", "")],
    run: |bench| {
        bench.run("sh", &["-c", "echo nameserver 192.0.2.53 > /run/resolv"])?;
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = attach(bench, json!({ "ipam": ipam }))?;
        expect(
            "dns",
            &json!({ "nameservers": ["192.0.2.53"] }),
            &result["dns"],
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/ipam/01",
    rule: "Without IPAM ADD is refused and leaves no link.",
    faults: &[
        Fault::ExitZero,
        Fault::Config(
            "/ipam",
            "={\"type\":\"host-local\",\"subnet\":\"10.88.0.0/24\"}"
        )
    ],
    run: |bench| {
        refuses_add(bench, json!({ "ipam": null }), &["plugin name"])?;
        nothing_left(bench)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/address/01",
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
    ..PTP
});

submit!(Case {
    id: "ptp/address/02",
    rule: "No IPv6 address is tentative when ADD has returned.",
    faults: &[Fault::After(
        "ADD",
        "ip -n pod address del 2001:db8::2/64 dev eth0; ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad'; \
                                   ip -n pod address add 2001:db8::2/64 dev eth0"
    )],
    run: |bench| {
        attach(bench, json!({ "ipam": six() }))?;
        let seen = ip(
            bench,
            "pod",
            &["-6", "address", "show", "dev", "eth0", "scope", "global"],
        )?;
        expect(
            "tentative",
            &Value::Null,
            &seen[0]["addr_info"][0]["tentative"],
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/dns/03",
    rule: "A dns of the configuration that has one key alone takes the whole place of IPAM's.",
    faults: &[
        Fault::Config("/dns", ""),
        Fault::Result("/dns/nameservers", "=[\"192.0.2.53\"]")
    ],
    run: |bench| {
        bench.write("/run/resolv", "nameserver 192.0.2.53\n")?;
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = attach(
            bench,
            json!({ "dns": { "search": ["a.test"] }, "ipam": ipam }),
        )?;
        expect("dns", &json!({ "search": ["a.test"] }), &result["dns"])
    },
    ..PTP
});

submit!(Case {
    id: "ptp/ipam/02",
    rule: "Addresses and gateways of the static plugin are the pod's and the host's.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/ipam/addresses/1", ""),
        Fault::Config("/ipam/addresses/0/address", "10.88.0.8/24"),
        Fault::Config("/ipam/addresses/0/gateway", "10.88.0.253")
    ],
    run: |bench| {
        let ipam = json!({ "type": "static", "addresses": [{ "address": "10.88.0.7/24", "gateway": "10.88.0.254" },
                                                           { "address": "2001:db8::7/64", "gateway": "2001:db8::ff" }] });
        let (_, result) = attach(bench, json!({ "ipam": ipam }))?;
        expect(
            "in the pod",
            &list(&["10.88.0.7/24", "2001:db8::7/64"]),
            &addresses(bench, "pod", "eth0")?,
        )?;
        expect(
            "on the host",
            &list(&["10.88.0.254/32", "2001:db8::ff/128"]),
            &addresses(bench, HOST, &host_end(&result))?,
        )?;
        answers(bench, "pod", "10.88.0.254")?;
        answers(bench, "pod", "2001:db8::ff")
    },
    ..PTP
});

submit!(Case {
    id: "ptp/address/03",
    rule: "IPv6 addresses stay when the interface goes down.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down'"
    )],
    repairs: &[KEEP_ADDRESSES],
    run: |bench| {
        attach(bench, json!({ "ipam": six() }))?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "down"])?;
        expect(
            "addresses",
            &list(&["2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..PTP
});

submit!(Case {
    id: "ptp/many/01",
    rule: "Pods share the gateway's address: every host end has it.",
    faults: &[Fault::After(
        "ADD",
        "v=$(ls /sys/class/net | grep ^veth | tail -1); ip address flush dev $v"
    )],
    run: |bench| {
        let (config, first) = attach(bench, json!({}))?;
        let second = attach_other(bench, "other", &config)?;
        for result in [first, second] {
            expect(
                "addresses",
                &list(&["10.88.0.1/32"]),
                &addresses(bench, HOST, &host_end(&result))?,
            )?;
        }
        Ok(())
    },
    ..PTP
});

submit!(Case {
    id: "ptp/many/02",
    rule: "Eight ADDs at once give eight pods addresses and host routes of their own.",
    faults: &[Fault::After(
        "ADD",
        "for n in 2 3 4 5 6 7 8 9; do ip route del 10.88.0.$n; done"
    )],
    run: |bench| {
        let config = bench.config();
        let mut running = Vec::new();
        for number in 0..8 {
            bench.pod(&format!("p{number}"))?;
        }
        for number in 0..8 {
            let pod = format!("p{number}");
            let call = bench.call("ADD", &config).env("CNI_CONTAINERID", &pod);
            running.push(
                call.env("CNI_NETNS", &format!("/run/netns/{pod}"))
                    .start()?,
            );
        }
        for call in running {
            call.reply()?.succeeds()?;
        }
        expect("host routes", &8, &routes(bench, HOST, "main")?.len())?;
        expect("reservations", &8, &reserved().len())
    },
    ..PTP
});
