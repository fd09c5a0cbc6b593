//! ipvlan: an interface of the pod's own on a link of the host's, with the same MAC address.

use crate::cases::{alike::*, announce::*, links::*, packets::*, prelude::*, sight::*};

const IPVLAN: Case = Case {
    judges: Judges::Only(&["ipvlan"]),
    needs: &["link:ipvlan"],
    ..COMPAT
};

/// Bad configurations are refused whatever the kernel can do.
const REFUSED: Case = Case {
    needs: &[],
    ..IPVLAN
};

const WITHOUT_ANYTHING: &[Fault] = &[Fault::After(
    "ADD",
    "ip -n pod link del eth0; rm /var/lib/cni/networks/suite/10.*",
)];

one_link!("ipvlan", IPVLAN, made: on_master, prepare: master,
    name_taken: WITHOUT_UNNAMED, ipam_fails: WITHOUT_LINK, no_address: WITHOUT_LINK, late: WITHOUT_ANYTHING,
    other_mac: "ip link set m0 address 02:00:00:00:00:66");

refused_on_master!(REFUSED, "ipvlan/master/01", "Without master and default route ADD is refused.",
    { "master": null }, ["no default route interface found"]);

refused_on_master!(REFUSED, "ipvlan/master/02", "A master that does not exist is refused and named.",
    { "master": "nope0" }, ["failed to lookup master", "nope0"]);

refused_on_master!(REFUSED, "ipvlan/mode/01", "A mode that there is not is refused and named.",
    { "mode": "l4" }, ["unknown ipvlan mode", "l4"]);

refused_on_master!(REFUSED, "ipvlan/chained/01", "Behind a plugin, without master, a prevResult of several interfaces is refused.",
    { "master": null, "ipam": null, "prevResult": { "cniVersion": "1.0.0",
        "interfaces": [{ "name": "m0" }, { "name": "m1" }], "ips": [{ "address": "10.88.0.9/24" }] } },
    ["single named interface"]);

submit!(Case {
    id: "ipvlan/master/03",
    rule: "Without master the link of the default route is taken.",
    faults: &[
        Fault::Before("ADD", "ip route del default"),
        Fault::Config("/master", "m1")
    ],
    run: |bench| {
        master(bench)?;
        default_route(bench)?;
        attach(bench, json!({ "master": null }))?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/master/04",
    rule: "An IPv6 default route is as good.",
    faults: &[
        Fault::Before("ADD", "ip -6 route del default"),
        Fault::Config("/master", "m1")
    ],
    run: |bench| {
        master(bench)?;
        bench.run("ip", &["-6", "route", "add", "default", "dev", "m0"])?;
        attach(bench, json!({ "master": null }))?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])
    },
    ..IPVLAN
});

/// The host's default route, by `m0`.
fn default_route(bench: &mut Bench) -> Result<(), Failure> {
    bench.run("ip", &["address", "add", "192.0.2.1/24", "dev", "m0"])?;
    bench.run("ip", &["route", "add", "default", "via", "192.0.2.2"])?;
    Ok(())
}

submit!(Case {
    id: "ipvlan/mode/02",
    rule: "mode chooses l2, l3 or l3s; without it l2 counts. Pods on one master may talk to each other.",
    faults: &[
        Fault::Config("/mode", "l2"),
        Fault::Config("/mode", "l3"),
        Fault::Config("/mode", "l3s")
    ],
    run: |bench| {
        master(bench)?;
        for (pod, configured, expected) in [
            ("none", json!(null), "l2"),
            ("two", json!("l2"), "l2"),
            ("three", json!("l3"), "l3"),
            ("source", json!("l3s"), "l3s"),
        ] {
            let config = with(bench, json!({ "mode": configured }));
            attach_other(bench, pod, &config)?;
            let link = link(bench, pod, "eth0")?;
            expect("mode", &json!(expected), &data(&link)["mode"])?;
            expect("between pods", &json!(true), &data(&link)["bridge"])?;
            detach_other(bench, pod, &config)?;
        }
        Ok(())
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/mtu/01",
    rule: "mtu sets the MTU; without it the master's counts.",
    faults: &[Fault::Config("/mtu", ""), Fault::Config("/mtu", "=1300")],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])?;
        bench.run("ip", &["link", "set", "m0", "mtu", "1450"])?;
        let mut none = config.clone();
        none["mtu"] = json!(0);
        attach_other(bench, "other", &none)?;
        expect("MTU", &json!(1450), &link(bench, "other", "eth0")?["mtu"])
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/mac/01",
    rule: "The interface has its master's MAC address.",
    faults: &[Fault::After(
        "ADD",
        "ip -n pod link del eth0; ip -n pod link add eth0 address 02:00:00:00:00:66 type bridge"
    )],
    run: |bench| {
        on_master(bench, json!({}))?;
        expect(
            "MAC",
            &link(bench, HOST, "m0")?["address"],
            &eth0(bench)?["address"],
        )
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/notify/01",
    rule: "The interface announces its addresses when it comes up: arp_notify and ndisc_notify are 1.",
    faults: UNANNOUNCED,
    repairs: &[NDISC_NOTIFY],
    run: |bench| {
        on_master(bench, json!({ "ipam": dual() }))?;
        announces(bench)
    },
    ..IPVLAN
});

keeps_dns!(IPVLAN, on_master, "ipvlan/dns/01");

submit!(Case {
    id: "ipvlan/ipam/01",
    rule: "A configuration with neither IPAM nor prevResult is refused and leaves no interface.",
    faults: &[
        Fault::ExitZero,
        Fault::Config(
            "/ipam",
            "={\"type\":\"static\",\"addresses\":[{\"address\":\"10.88.0.2/24\"}]}"
        )
    ],
    repairs: WITHOUT_LINK,
    run: |bench| {
        refuses_on_master(bench, json!({ "ipam": null }), &["no plugin name"])?;
        expect("links", &list(&[]), &pod_links(bench)?)
    },
    ..IPVLAN
});

/// A prevResult of another plugin, which made `m0` and chose an address for the pod.
fn behind_m0() -> Value {
    json!({ "master": null, "ipam": null, "prevResult": { "cniVersion": "1.0.0",
        "interfaces": [{ "name": "m0" }], "ips": [{ "address": "10.88.0.9/24", "gateway": "10.88.0.1" }],
        "routes": [{ "dst": "192.168.5.0/24" }] } })
}

submit!(Case {
    id: "ipvlan/chained/02",
    rule: "Behind a plugin whose result has one interface, that is the master, and the addresses and routes of the result are the pod's.",
    faults: &[
        Fault::Config("/master", "m1"),
        Fault::Config("/prevResult/ips/0/address", "10.88.0.8/24"),
        Fault::Config("/prevResult/routes", "")
    ],
    run: |bench| {
        on_master(bench, behind_m0())?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])?;
        expect(
            "addresses",
            &list(&["10.88.0.9/24"]),
            &addresses(bench, "pod", "eth0")?,
        )?;
        expect(
            "routes",
            &list(&["192.168.5.0/24 via 10.88.0.1 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/chained/03",
    rule: "Behind a plugin the result lists the pod's interface in place of the plugin's, with the addresses of that result.",
    faults: &[
        Fault::Result("/interfaces/-", "={\"name\":\"m0\"}"),
        Fault::Result("/ips/0", "")
    ],
    run: |bench| {
        let (_, result) = on_master(bench, behind_m0())?;
        let mac = eth0(bench)?["address"].clone();
        expect(
            "interfaces",
            &json!([{ "name": "eth0", "mac": mac, "sandbox": "/run/netns/pod" }]),
            &result["interfaces"],
        )?;
        expect(
            "ips",
            &json!([{ "interface": 0, "address": "10.88.0.9/24", "gateway": "10.88.0.1" }]),
            &result["ips"],
        )
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/chained/04",
    rule: "With master the prevResult's interfaces do not matter, and with IPAM its addresses do not.",
    faults: &[Fault::Config("/master", ""), Fault::Config("/ipam", "")],
    run: |bench| {
        let mut changes = behind_m0();
        changes["master"] = json!("m0");
        changes["ipam"] = host_local(&["10.88.0.0/24"]);
        changes["prevResult"]["interfaces"] = json!([{ "name": "m1" }, { "name": "m0" }]);
        on_master(bench, changes)?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])?;
        expect(
            "addresses",
            &list(&["10.88.0.2/24"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/link-in-container/01",
    rule: "With linkInContainer the master is a link of the pod's.",
    faults: &[
        Fault::Config("/linkInContainer", ""),
        Fault::Config("/master", "m0")
    ],
    repairs: &[Fault::Where(
        "/linkInContainer",
        &Fault::Instead("ADD", r#"exec nsenter --net="$CNI_NETNS" "$REAL""#)
    )],
    run: |bench| {
        let config = in_pod(bench)?;
        bench.add(&config)?;
        let link = eth0(bench)?;
        expect("master", &json!("p0"), &link["link"])?;
        expect("mode", &json!("l2"), &data(&link)["mode"])
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/link-in-container/02",
    rule: "With linkInContainer a master that the pod does not have is refused and named.",
    needs: &[],
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let mut config = in_pod(bench)?;
        config["master"] = json!("p7");
        complains(
            &bench.call("ADD", &config).reply()?,
            &["failed to lookup master", "p7"],
        )
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/packets/01",
    rule: "Two pods on one master reach each other and a machine behind it.",
    needs: &["link:ipvlan", "ping"],
    faults: &[
        Fault::After(
            "ADD",
            "ip -n pod link set eth0 type ipvlan mode l2 private; ip -n other link set eth0 type ipvlan mode l2 private"
        ),
        Fault::Config("/master", "m9")
    ],
    run: |bench| {
        bench.run(
            "ip",
            &["link", "add", "m9", "type", "veth", "peer", "name", "m8"],
        )?;
        let (config, _) = on_master(bench, json!({ "ipam": dual() }))?;
        attach_other(bench, "other", &config)?;
        far(bench)?;
        bench.run(
            "ip",
            &["-n", "far", "address", "add", "10.88.0.1/24", "dev", "m1"],
        )?;
        bench.run(
            "ip",
            &[
                "-n",
                "far",
                "address",
                "add",
                "2001:db8::1/64",
                "dev",
                "m1",
                "nodad",
            ],
        )?;
        for address in ["10.88.0.3", "10.88.0.1", "2001:db8::3", "2001:db8::1"] {
            answers(bench, "pod", address)?;
        }
        Ok(())
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/packets/02",
    rule: "In mode l3 pods of different subnets on one master reach each other.",
    needs: &["link:ipvlan", "ping"],
    faults: &[
        Fault::Config("/ipam/routes", ""),
        Fault::Config("/master", "m9")
    ],
    run: |bench| {
        bench.run(
            "ip",
            &["link", "add", "m9", "type", "veth", "peer", "name", "m8"],
        )?;
        let everywhere = json!([{ "dst": "10.0.0.0/8", "gw": "0.0.0.0" }]);
        let (mut config, _) = on_master(
            bench,
            json!({ "mode": "l3", "ipam": routed(host_local(&["10.88.0.0/24"]), everywhere) }),
        )?;
        config["ipam"]["ranges"] = json!([[{ "subnet": "10.89.0.0/24" }]]);
        attach_other(bench, "other", &config)?;
        answers(bench, "pod", "10.89.0.2")
    },
    ..IPVLAN
});

/// DEL that does not look for a master.
const IPAM_WITHOUT_MASTER: Fault = Fault::On("DEL", &Fault::Config("/master", "lo"));

submit!(Case {
    id: "ipvlan/del/05",
    rule: "DEL frees the reservations when the master is gone.",
    needs: &[],
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        reserve(bench)?;
        let netns = bench.pod("pod")?;
        let config = bench.config();
        frees(bench, &config, &netns)
    },
    ..IPVLAN
});

submit!(Case {
    id: "ipvlan/del/06",
    rule: "Without master DEL frees the reservations also when there is no default route any more.",
    needs: &[],
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[IPAM_WITHOUT_MASTER],
    run: |bench| {
        reserve(bench)?;
        let netns = bench.pod("pod")?;
        let config = with(bench, json!({ "master": null }));
        frees(bench, &config, &netns)
    },
    ..IPVLAN
});

spots!(IPVLAN, on_master, "ipvlan/check/07", "CHECK finds another mode.", { "mode": "l2" },
    "ip -n pod link set eth0 type ipvlan mode l3");
spots!(IPVLAN, on_master, "ipvlan/check/08", "CHECK finds a route gone.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "routes": [{ "dst": "192.168.5.0/24", "gw": "10.88.0.9" }] } },
    "ip -n pod route del 192.168.5.0/24");

submit!(Case {
    id: "ipvlan/check/09",
    rule: "CHECK of a healthy pod succeeds also when ADD took the master from the default route.",
    faults: &[Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[Fault::On("CHECK", &Fault::Config("/master", "m0"))],
    run: |bench| {
        master(bench)?;
        default_route(bench)?;
        let (config, result) = attach(bench, json!({ "master": null }))?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()
    },
    ..IPVLAN
});
