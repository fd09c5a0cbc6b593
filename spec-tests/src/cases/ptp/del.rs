//! ptp: DEL, and ADDs that must fail.

use crate::cases::{packets::*, prelude::*, ptp::*, sight::*};

submit!(Case {
    id: "ptp/fail/01",
    rule: "When a route cannot be set, ADD fails and leaves nothing of the attachment.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/routes", "")],
    repairs: &[Fault::After(
        "ADD",
        "ip -n pod link del eth0; rm /var/lib/cni/networks/suite/10.*"
    )],
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
    ..PTP
});

submit!(Case {
    id: "ptp/fail/02",
    rule: "An interface of the name CNI_IFNAME that is there already is refused and its reservation freed.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link del eth0"),
        Fault::After("ADD", "touch /var/lib/cni/networks/suite/10.88.0.2")
    ],
    run: |bench| {
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        refuses_add(bench, json!({}), &["eth0", "already exists"])?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
});

submit!(Case {
    id: "ptp/fail/03",
    rule: "When the namespace does not exist, ADD fails, names it and keeps no reservation.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::After("ADD", "touch /var/lib/cni/networks/suite/10.88.0.2")
    ],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])?;
        nothing_left(bench)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/del/01",
    rule: "DEL removes the pair, the host's routes and the reservations.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip route add 10.88.0.2 dev lo scope host")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("routes", &list(&[]), &routes(bench, HOST, "main")?)?;
        nothing_left(bench)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/del/02",
    rule: "DEL frees the addresses when the namespace is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
});

submit!(Case {
    id: "ptp/del/03",
    rule: "DEL frees the addresses when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
});

submit!(Case {
    id: "ptp/del/04",
    rule: "DEL succeeds when a plain file lies at the namespace's path, and frees the addresses.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::On("DEL", &Fault::Env("CNI_NETNS", ""))],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
});

submit!(Case {
    id: "ptp/del/05",
    rule: "DEL succeeds again, without an ADD, and when the interface is gone.",
    faults: &[Fault::Once("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "never")
            .reply()?
            .succeeds_silently()?;
        nothing_left(bench)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/del/06",
    rule: "DEL of one pod leaves another reaching its gateway.",
    needs: &["ping"],
    faults: &[Fault::After(
        "DEL",
        "for v in $(ls /sys/class/net | grep ^veth); do ip link del $v; done"
    )],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        answers(bench, "other", "10.88.0.1")
    },
    ..PTP
});

submit!(Case {
    id: "ptp/fail/04",
    rule: "An address without a gateway is refused and nothing left.",
    faults: &[
        Fault::ExitZero,
        Fault::Config(
            "/ipam",
            "={\"type\":\"host-local\",\"subnet\":\"10.88.0.0/24\"}"
        )
    ],
    repairs: &[Fault::After("ADD", "ip -n pod link del eth0")],
    run: |bench| {
        refuses_add(
            bench,
            json!({ "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.7/24" }] } }),
            &[],
        )?;
        nothing_left(bench)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/fail/05",
    rule: "When IPAM fails, ADD fails with its message and leaves nothing.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/ipam/subnet", "10.88.0.0/24")
    ],
    run: |bench| {
        refuses_add(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }),
            &["too small"],
        )?;
        nothing_left(bench)
    },
    ..PTP
});

submit!(Case {
    id: "ptp/fail/06",
    rule: "When IPAM gives no address, ADD fails and leaves nothing.",
    faults: &[
        Fault::ExitZero,
        Fault::Config(
            "/ipam",
            "={\"type\":\"host-local\",\"subnet\":\"10.88.0.0/24\"}"
        )
    ],
    run: |bench| {
        let ipam = told(bench, &[], Value::Null)?;
        refuses_add(bench, json!({ "ipam": ipam }), &["IP"])?;
        nothing_left(bench)
    },
    ..PTP
});
