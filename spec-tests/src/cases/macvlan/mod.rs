//! macvlan: an interface of the pod's own on a link of the host's.

mod check;
mod del;
mod ipam;

use crate::cases::{links::*, prelude::*, sight::*};

pub(in crate::cases) const MACVLAN: Case = Case {
    judges: Judges::Only(&["macvlan"]),
    needs: &["link:macvlan"],
    ..COMPAT
};

submit!(Case {
    id: "macvlan/add/01",
    rule: "ADD makes a macvlan of mode bridge, up, with its addresses.",
    faults: &[
        Fault::Config("/mode", "private"),
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::Config("/ipam/ranges/1", "")
    ],
    run: |bench| {
        on_master(bench, json!({ "ipam": dual() }))?;
        let link = eth0(bench)?;
        expect("kind", &json!("macvlan"), &link["linkinfo"]["info_kind"])?;
        expect(
            "mode",
            &json!("bridge"),
            &link["linkinfo"]["info_data"]["mode"],
        )?;
        expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])?;
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/result/01",
    rule: "The result lists the pod's interface alone, with MAC address and sandbox; the addresses point at it.",
    faults: &[
        Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"),
        Fault::Result("/ips/0/interface", "=1")
    ],
    run: |bench| {
        let (_, result) = on_master(bench, json!({}))?;
        let mac = eth0(bench)?["address"].clone();
        expect(
            "interfaces",
            &json!([{ "name": "eth0", "mac": mac, "sandbox": "/run/netns/pod" }]),
            &result["interfaces"],
        )?;
        expect("interface", &json!(0), &result["ips"][0]["interface"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mode/01",
    rule: "mode chooses private or vepa.",
    faults: &[Fault::Config("/mode", "")],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "mode": "private" }))?;
        expect(
            "mode",
            &json!("private"),
            &eth0(bench)?["linkinfo"]["info_data"]["mode"],
        )?;
        let mut vepa = config.clone();
        vepa["mode"] = json!("vepa");
        attach_other(bench, "other", &vepa)?;
        expect(
            "mode",
            &json!("vepa"),
            &link(bench, "other", "eth0")?["linkinfo"]["info_data"]["mode"],
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mode/02",
    rule: "mode passthru takes the master's MAC address.",
    faults: &[Fault::Config("/mode", "")],
    run: |bench| {
        on_master(bench, json!({ "mode": "passthru" }))?;
        expect(
            "mode",
            &json!("passthru"),
            &eth0(bench)?["linkinfo"]["info_data"]["mode"],
        )?;
        expect(
            "MAC",
            &link(bench, HOST, "m0")?["address"],
            &eth0(bench)?["address"],
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mode/03",
    rule: "Another mode is refused and named.",
    faults: &[Fault::ExitZero, Fault::Config("/mode", "")],
    run: |bench| refuses_on_master(
        bench,
        json!({ "mode": "ring" }),
        &["unknown macvlan mode", "ring"]
    ),
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mtu/01",
    rule: "mtu sets the MTU; without it the master's counts.",
    faults: &[Fault::Config("/mtu", "")],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])?;
        let mut none = config.clone();
        none["mtu"] = json!(0);
        attach_other(bench, "other", &none)?;
        expect("MTU", &json!(1500), &link(bench, "other", "eth0")?["mtu"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mtu/02",
    rule: "An mtu above the master's is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/mtu", "")],
    run: |bench| refuses_on_master(bench, json!({ "mtu": 1600 }), &["invalid MTU 1600", "1500"]),
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mac/01",
    rule: "mac sets the MAC address.",
    faults: &[Fault::Config("/mac", "")],
    run: |bench| {
        on_master(bench, json!({ "mac": "02:00:00:00:00:0b" }))?;
        expect("MAC", &json!("02:00:00:00:00:0b"), &eth0(bench)?["address"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mac/02",
    rule: "runtimeConfig.mac wins over CNI_ARGS and mac.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        let config = with(
            bench,
            json!({ "mac": "02:00:00:00:00:0b", "runtimeConfig": { "mac": "02:00:00:00:00:0c" } }),
        );
        let args = "IgnoreUnknown=1;MAC=02:00:00:00:00:0a";
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:0c"), &eth0(bench)?["address"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mac/03",
    rule: "CNI_ARGS MAC wins over mac.",
    faults: &[Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        let config = with(bench, json!({ "mac": "02:00:00:00:00:0b" }));
        let args = "IgnoreUnknown=1;MAC=02:00:00:00:00:0a";
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:0a"), &eth0(bench)?["address"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/master/01",
    rule: "Without master the link of the default route is taken.",
    faults: &[
        Fault::Before("ADD", "ip route del default"),
        Fault::Config("/master", "m1")
    ],
    run: |bench| {
        master(bench)?;
        bench.run("ip", &["address", "add", "192.0.2.1/24", "dev", "m0"])?;
        bench.run("ip", &["route", "add", "default", "via", "192.0.2.2"])?;
        attach(bench, json!({ "master": null }))?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/master/02",
    rule: "Without master and default route ADD is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/master", "m0")],
    run: |bench| refuses_on_master(
        bench,
        json!({ "master": null }),
        &["no default route interface found"]
    ),
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mtu/03",
    rule: "Without mtu a master of a smaller MTU decides.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 mtu 1300"),
        Fault::Config("/mtu", "=1300")
    ],
    run: |bench| {
        master(bench)?;
        bench.run("ip", &["link", "set", "m0", "mtu", "1400"])?;
        attach(bench, json!({}))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mtu/04",
    rule: "A negative mtu is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/mtu", "")],
    run: |bench| refuses_on_master(bench, json!({ "mtu": -1 }), &["invalid MTU -1", "1500"]),
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mac/04",
    rule: "A MAC address that is none is refused and named.",
    faults: &[Fault::ExitZero, Fault::Config("/mac", "")],
    run: |bench| refuses_on_master(bench, json!({ "mac": "02:00" }), &["02:00", "MAC"]),
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/mac/05",
    rule: "Without mac each pod has a MAC address of its own.",
    faults: &[
        Fault::Config("/mac", "02:00:00:00:00:0b"),
        Fault::After("ADD", "ip -n pod link set eth0 address 00:16:3e:00:00:01")
    ],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "mode": "vepa" }))?;
        attach_other(bench, "other", &config)?;
        let macs = [
            link(bench, HOST, "m0")?,
            eth0(bench)?,
            link(bench, "other", "eth0")?,
        ]
        .map(|link| link["address"].to_string());
        expect(
            "different addresses",
            &3,
            &macs.iter().collect::<std::collections::BTreeSet<_>>().len(),
        )?;
        let local = macs[1]
            .trim_matches('"')
            .split(':')
            .next()
            .and_then(|octet| u8::from_str_radix(octet, 16).ok());
        expect(
            "group and local bit",
            &Some(2),
            &local.map(|octet| octet & 3),
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/master/03",
    rule: "A master that does not exist fails ADD.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/master", "m0"),
        Fault::Error("/msg", "it failed")
    ],
    run: |bench| {
        refuses_on_master(bench, json!({ "master": "nope0" }), &["not found"])?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/master/04",
    rule: "An IPv6 default route names the master as well.",
    faults: &[
        Fault::Before("ADD", "ip -6 route del default"),
        Fault::Config("/master", "m1")
    ],
    run: |bench| {
        master(bench)?;
        bench.run(
            "ip",
            &["address", "add", "2001:db8:1::1/64", "dev", "m0", "nodad"],
        )?;
        bench.run(
            "ip",
            &["-6", "route", "add", "default", "via", "2001:db8:1::2"],
        )?;
        attach(bench, json!({ "master": null }))?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])
    },
    ..MACVLAN
});

/// What 1.2.0 and later do, laid over a release that looks for the master on the host.
const IN_POD: Fault = Fault::Where(
    "/linkInContainer",
    &Fault::Instead("ADD", r#"ip netns exec pod "$REAL""#),
);

submit!(Case {
    id: "macvlan/linkincontainer/01",
    rule: "With linkInContainer the master is a link of the pod's.",
    faults: &[
        Fault::Config("/linkInContainer", ""),
        Fault::After(
            "ADD",
            "ip -n pod link del eth0; ip -n pod link add eth0 type dummy || ip -n pod link add eth0 type veth"
        )
    ],
    repairs: &[IN_POD],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "p0", "type", "veth", "peer", "name", "p1",
            ],
        )?;
        bench.run("ip", &["-n", "pod", "link", "set", "p0", "up"])?;
        let config = with(bench, json!({ "master": "p0", "linkInContainer": true }));
        bench.add(&config)?;
        let made = eth0(bench)?;
        expect("kind", &json!("macvlan"), &made["linkinfo"]["info_kind"])?;
        expect("master", &json!("p0"), &made["link"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/linkincontainer/02",
    rule: "With linkInContainer and without master the pod's default route names it.",
    faults: &[
        Fault::Config("/linkInContainer", ""),
        Fault::Before("ADD", "ip -n pod route del default")
    ],
    repairs: &[IN_POD],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        for line in [
            "link add p0 type veth peer name p1",
            "link set p0 up",
            "address add 192.0.2.1/24 dev p0",
            "route add default via 192.0.2.2",
        ] {
            bench.run(
                "ip",
                &[
                    &["-n", "pod"],
                    line.split(' ').collect::<Vec<_>>().as_slice(),
                ]
                .concat(),
            )?;
        }
        let config = with(bench, json!({ "master": null, "linkInContainer": true }));
        bench.add(&config)?;
        expect("master", &json!("p0"), &eth0(bench)?["link"])
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/bcqueuelen/01",
    rule: "bcqueuelen sets the length of the queue for broadcasts.",
    faults: &[Fault::Config("/bcqueuelen", "")],
    repairs: &[Fault::Where(
        "/bcqueuelen",
        &Fault::After("ADD", "ip -n pod link set eth0 type macvlan bcqueuelen 500")
    )],
    run: |bench| {
        on_master(bench, json!({ "bcqueuelen": 500 }))?;
        expect(
            "bcqueuelen",
            &json!(500),
            &eth0(bench)?["linkinfo"]["info_data"]["bcqueuelen"],
        )
    },
    ..MACVLAN
});
