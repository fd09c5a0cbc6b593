//! macvlan: addresses, routes and names from IPAM, without it, and packets.

use crate::cases::{
    alike::*, announce::*, links::*, macvlan::*, packets::*, prelude::*, route_fields::*, sight::*,
};

submit!(Case {
    id: "macvlan/layer2/01",
    rule: "Without IPAM the interface is up and has no address.",
    faults: &[Fault::After("ADD", "ip -n pod link set eth0 down")],
    run: |bench| {
        on_master(bench, json!({ "ipam": null }))?;
        let link = eth0(bench)?;
        expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])?;
        expect("addresses", &list(&[]), &addresses(bench, "pod", "eth0")?)
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/layer2/02",
    rule: "Without IPAM the result has the interface and no addresses, CHECK succeeds and DEL removes it.",
    versions: CHECKED,
    faults: &[
        Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"),
        Fault::On("CHECK", &Fault::ExitOne),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        let (config, result) = on_master(bench, json!({ "ipam": null }))?;
        let mac = eth0(bench)?["address"].clone();
        expect(
            "interfaces",
            &json!([{ "name": "eth0", "mac": mac, "sandbox": "/run/netns/pod" }]),
            &result["interfaces"],
        )?;
        expect_that(
            result["ips"].as_array().is_none_or(Vec::is_empty),
            "no ips",
            &result["ips"],
        )?;
        let config = after_add(&config, &result);
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/routes/01",
    rule: "A default route of IPAM is in the pod.",
    faults: &[Fault::Config("/ipam/routes", "")],
    run: |bench| {
        on_master(
            bench,
            json!({ "ipam": routed(host_local(&["10.88.0.0/24"]), json!([{ "dst": "0.0.0.0/0" }])) }),
        )?;
        expect(
            "routes",
            &list(&["default via 10.88.0.1 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..MACVLAN
});

priorities!(MACVLAN, on_master, "macvlan/routes/03");

tables!(MACVLAN, on_master, "macvlan/routes/04");

oldest_result!(MACVLAN, on_master, "macvlan/result/02");

older_result!(MACVLAN, on_master, "macvlan/result/03");

keeps_dns!(MACVLAN, on_master, "macvlan/dns/01");

submit!(Case {
    id: "macvlan/routes/02",
    rule: "A route of IPAM without a next hop goes by the gateway of its family, one with a next hop by that.",
    faults: &[
        Fault::Config("/ipam/routes/0", ""),
        Fault::Config("/ipam/routes/1/gw", ""),
        Fault::Result("/routes/1", "")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "::/0" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }]);
        let (_, result) = on_master(bench, json!({ "ipam": routed(dual(), wanted.clone()) }))?;
        let expected = [
            "192.168.5.0/24 via 10.88.0.9 dev eth0",
            "default via 2001:db8::1 dev eth0",
        ];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)?;
        expect("routes of the result", &wanted, &result["routes"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/dns/02",
    rule: "dns of IPAM is not in the result.",
    faults: &[Fault::Result("/dns", "={\"nameservers\":[\"192.0.2.53\"]}")],
    run: |bench| {
        bench.write("/run/resolv", "nameserver 192.0.2.53\n")?;
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = on_master(bench, json!({ "ipam": ipam }))?;
        expect_that(
            result["dns"]["nameservers"].is_null(),
            "no nameservers",
            &result["dns"],
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/address/01",
    rule: "IPv6 is enabled in a pod where it was off when there is an IPv6 address to set.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6'"
    )],
    run: |bench| {
        master(bench)?;
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
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/address/02",
    rule: "IPv6 addresses stay when the interface goes down.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down'"
    )],
    repairs: &[KEEP_ADDRESSES],
    run: |bench| {
        on_master(bench, json!({ "ipam": six() }))?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "down"])?;
        expect(
            "addresses",
            &list(&["2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/announce/01",
    rule: "The interface announces its addresses: arp_notify and ndisc_notify are on.",
    faults: UNANNOUNCED,
    repairs: &[NDISC_NOTIFY],
    run: |bench| {
        on_master(bench, json!({ "ipam": dual() }))?;
        announces(bench)
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/announce/02",
    rule: "A machine that knew the address elsewhere learns the pod's MAC address from ADD alone.",
    faults: &[Fault::After(
        "ADD",
        "ip -n lan neigh replace 10.88.0.2 lladdr 02:00:00:00:00:99 dev m1 nud permanent"
    )],
    run: |bench| {
        lan(bench)?;
        let stale = [
            "-n",
            "lan",
            "neigh",
            "add",
            "10.88.0.2",
            "lladdr",
            "02:00:00:00:00:99",
            "dev",
            "m1",
            "nud",
            "stale",
        ];
        bench.run("ip", &stale)?;
        attach(bench, json!({}))?;
        let mac = eth0(bench)?["address"].clone();
        let mut seen = Value::Null;
        let learnt = bench.in_time(|bench| {
            seen = ip(bench, "lan", &["neigh", "show", "to", "10.88.0.2"]).unwrap_or_default()
                    [0]["lladdr"]
                    .clone();
            seen == mac
        });
        expect_that(learnt, &format!("10.88.0.2 is at {mac}"), &seen)
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/packets/01",
    rule: "Two pods on one master reach each other in mode bridge, not in mode private.",
    needs: &["link:macvlan", "ping"],
    faults: &[
        Fault::Config("/mode", "private"),
        Fault::Config("/mode", "bridge")
    ],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "mode": "bridge" }))?;
        attach_other(bench, "other", &config)?;
        crate::cases::packets::answers(bench, "pod", "10.88.0.3")?;
        let mut private = config.clone();
        private["mode"] = json!("private");
        for pod in ["third", "fourth"] {
            attach_other(bench, pod, &private)?;
        }
        crate::cases::packets::is_silent(bench, "third", "10.88.0.5")
    },
    ..MACVLAN
});

/// Machine `lan` at the other end of the master: 10.88.0.1 and 2001:db8::1 on `m1`.
fn lan(bench: &mut Bench) -> Result<(), Failure> {
    master(bench)?;
    bench.pod("lan")?;
    without_dad(bench, "lan")?;
    for line in [
        "link set m1 netns lan",
        "-n lan link set m1 up",
        "-n lan address add 10.88.0.1/24 dev m1",
        "-n lan address add 2001:db8::1/64 dev m1 nodad",
    ] {
        bench.run("ip", &line.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

submit!(Case {
    id: "macvlan/packets/02",
    rule: "Two pods on one master reach each other over IPv6.",
    needs: &["link:macvlan", "ping"],
    faults: &[
        Fault::Config("/mode", "private"),
        Fault::Config("/ipam/ranges/1", "")
    ],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "ipam": dual() }))?;
        attach_other(bench, "other", &config)?;
        answers(bench, "pod", "2001:db8::3")
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/packets/03",
    rule: "In every mode the pod reaches a machine beyond the master, IPv4 and IPv6.",
    needs: &["link:macvlan", "ping"],
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::After("ADD", "ip -n pod address del 2001:db8::2/64 dev eth0"),
        Fault::After("ADD", "ip link set m0 down")
    ],
    run: |bench| {
        lan(bench)?;
        bench.pod("pod")?;
        for mode in ["bridge", "private", "vepa", "passthru"] {
            let config = with(bench, json!({ "mode": mode, "ipam": static_dual() }));
            bench.add(&config)?;
            answers(bench, "pod", "10.88.0.1")?;
            answers(bench, "pod", "2001:db8::1")?;
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..MACVLAN
});

/// An IPAM configuration of fixed addresses, one per family.
fn static_dual() -> Value {
    json!({ "type": "static", "addresses": [{ "address": "10.88.0.2/24", "gateway": "10.88.0.1" },
                                            { "address": "2001:db8::2/64", "gateway": "2001:db8::1" }] })
}

submit!(Case {
    id: "macvlan/packets/04",
    rule: "In mode vepa two pods reach each other only when the machine beyond the master sends their packets back.",
    needs: &["link:macvlan", "ping"],
    faults: &[Fault::Config("/mode", "bridge")],
    run: |bench| {
        lan(bench)?;
        let (config, _) = attach(bench, json!({ "mode": "vepa" }))?;
        attach_other(bench, "other", &config)?;
        answers(bench, "pod", "10.88.0.1")?;
        is_silent(bench, "pod", "10.88.0.3")
    },
    ..MACVLAN
});
