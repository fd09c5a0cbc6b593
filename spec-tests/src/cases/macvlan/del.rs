//! macvlan: DEL, and ADDs that must fail.

use crate::cases::{links::*, macvlan::*, packets::*, prelude::*, sight::*};

submit!(Case {
    id: "macvlan/del/01",
    rule: "DEL removes the interface and the reservations, and succeeds again.",
    faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "ipam": dual() }))?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        expect("links", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/del/02",
    rule: "DEL frees the reservations when the namespace is gone and when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = on_master(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "other")
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/del/03",
    rule: "DEL succeeds when a plain file lies at the namespace's path, and frees the addresses.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::On("DEL", &Fault::Env("CNI_NETNS", ""))],
    run: |bench| {
        let (config, _) = on_master(bench, json!({}))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/del/04",
    rule: "DEL succeeds and frees the addresses when the interface is gone, and without an ADD.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = on_master(bench, json!({}))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "never")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/del/05",
    rule: "DEL succeeds and frees the addresses when the master is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::On("DEL", &Fault::Config("/master", "lo"))],
    run: |bench| {
        let (config, _) = on_master(bench, json!({}))?;
        bench.run("ip", &["link", "del", "m0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/del/06",
    rule: "DEL without prevResult, master and default route succeeds.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::On("DEL", &Fault::Config("/master", "lo"))],
    run: |bench| {
        master(bench)?;
        bench.run("ip", &["address", "add", "192.0.2.1/24", "dev", "m0"])?;
        bench.run("ip", &["route", "add", "default", "via", "192.0.2.2"])?;
        let (config, _) = attach(bench, json!({ "master": null }))?;
        bench.run("ip", &["route", "del", "default"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/del/07",
    rule: "DEL of one pod leaves the others and the master.",
    needs: &["link:macvlan", "ping"],
    faults: &[
        Fault::After("DEL", "ip -n other link del eth0"),
        Fault::After("DEL", "ip link set m0 down"),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        let (config, _) = on_master(bench, json!({}))?;
        for pod in ["other", "third"] {
            attach_other(bench, pod, &config)?;
        }
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)?;
        let m0 = link(bench, HOST, "m0")?;
        expect_that(has_flag(&m0, "UP"), "m0 is up", &m0["flags"])?;
        answers(bench, "other", "10.88.0.4")
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/fail/01",
    rule: "When IPAM fails, ADD leaves no interface.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/ipam/subnet", "10.88.0.0/24")
    ],
    repairs: &[Fault::After("ADD", "ip -n pod link del eth0")],
    run: |bench| {
        refuses_on_master(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }),
            &["too small"],
        )?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/fail/02",
    rule: "An interface of the name CNI_IFNAME that is there already is refused and stays; nothing is left beside it.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link del eth0")
    ],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        refuses_add(bench, json!({}), &["eth0"])?;
        expect(
            "links",
            &list(&["lo", "eth9", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/fail/03",
    rule: "When a route cannot be set, ADD fails and leaves nothing.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/routes", "")],
    repairs: &[Fault::After(
        "ADD",
        "ip -n pod link del eth0; rm -f /var/lib/cni/networks/suite/10.*"
    )],
    run: |bench| {
        let ipam = routed(
            host_local(&["10.88.0.0/24"]),
            json!([{ "dst": "192.168.5.0/24", "gw": "172.16.0.1" }]),
        );
        refuses_on_master(bench, json!({ "ipam": ipam }), &["192.168.5.0"])?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/fail/04",
    rule: "A namespace that does not exist fails ADD, is named, and no reservation kept.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::After(
            "ADD",
            "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.2"
        )
    ],
    run: |bench| {
        master(bench)?;
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/fail/05",
    rule: "Without IPAM, too, a taken name is refused, stays, and nothing is left beside it.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link del eth0"),
        Fault::After("ADD", "ip -n pod link add left type veth")
    ],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        refuses_add(bench, json!({ "ipam": null }), &["eth0"])?;
        expect(
            "links",
            &list(&["lo", "eth9", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..MACVLAN
});

submit!(Case {
    id: "macvlan/fail/06",
    rule: "When IPAM gives no address, ADD fails and leaves no interface.",
    faults: &[
        Fault::ExitZero,
        Fault::Config(
            "/ipam",
            "={\"type\":\"host-local\",\"subnet\":\"10.88.0.0/24\"}"
        )
    ],
    repairs: &[Fault::After("ADD", "ip -n pod link del eth0")],
    run: |bench| {
        master(bench)?;
        let ipam = told(bench, &[], Value::Null)?;
        refuses_add(bench, json!({ "ipam": ipam }), &["IP"])?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..MACVLAN
});
