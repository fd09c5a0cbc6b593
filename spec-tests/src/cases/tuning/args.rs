//! tuning: what else than its own keys decides, the result, and ADDs that must fail.

use crate::cases::{chained::*, prelude::*, sight::*, tuning::*};

submit!(Case {
    id: "tuning/result/01",
    rule: "The result is prevResult; ADD without one is refused.",
    faults: &[Fault::Result("/ips", ""), Fault::ExitZero],
    run: |bench| {
        let (_, result) = chained(bench, json!({ "mtu": 1400 }))?;
        expect("ips", &wired(SpecVersion::V1_0_0)["ips"], &result["ips"])?;
        let reply = {
            let config = bench.config();
            bench.call("ADD", &config).reply()?
        };
        complains(&reply, &["prevResult missing"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/args/01",
    rule: "args.cni.mtu wins over mtu.",
    faults: &[Fault::Config("/args", "")],
    run: |bench| {
        chained(
            bench,
            json!({ "mtu": 1400, "args": { "cni": { "mtu": 1300 } } }),
        )?;
        expect("MTU", &json!(1300), &eth0(bench)?["mtu"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/args/02",
    rule: "args.cni can switch on promiscuity and all multicast.",
    faults: &[
        Fault::Config("/args/cni/promisc", ""),
        Fault::Config("/args/cni/allmulti", "")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "args": { "cni": { "promisc": true, "allmulti": true } } }),
        )?;
        let link = eth0(bench)?;
        for flag in ["PROMISC", "ALLMULTI"] {
            expect_that(has_flag(&link, flag), flag, &link["flags"])?;
        }
        Ok(())
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/args/03",
    rule: "args.cni.txQLen wins over txQLen.",
    faults: &[Fault::Config("/args", "")],
    repairs: &[
        Fault::Where(
            "/txQLen",
            &Fault::After("ADD", "ip -n pod link set eth0 txqueuelen 500")
        ),
        Fault::Where(
            "/args/cni/txQLen",
            &Fault::After("ADD", "ip -n pod link set eth0 txqueuelen 77")
        )
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "txQLen": 500, "args": { "cni": { "txQLen": 77 } } }),
        )?;
        expect("txqlen", &json!(77), &eth0(bench)?["txqlen"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/args/04",
    rule: "A key of CNI_ARGS that is not known is refused without IgnoreUnknown and passed over with it.",
    faults: &[Fault::ExitZero, Fault::ExitOne],
    run: |bench| {
        let config = behind(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "K8S_POD_NAME=x")
            .reply()?;
        complains(&reply, &["unknown args"])?;
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=x")
            .reply()?
            .succeeds()
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/result/02",
    rule: "In every version the result is prevResult.",
    versions: EVERY,
    faults: &[
        Fault::Result("/ips", ""),
        Fault::Result("/cniVersion", "9.9.9")
    ],
    run: passes_on,
    ..TUNING
});

submit!(Case {
    id: "tuning/result/03",
    rule: "Routes and dns of prevResult are in the result.",
    faults: &[Fault::Result("/routes", ""), Fault::Result("/dns", "")],
    run: |bench| {
        let mut prev = wired(bench.version);
        prev["routes"] =
            json!([{ "dst": "0.0.0.0/0" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }]);
        prev["dns"] = json!({ "nameservers": ["192.0.2.53"], "search": ["a.test"] });
        let (_, result) = chained(bench, json!({ "prevResult": prev, "mtu": 1400 }))?;
        expect("routes", &prev["routes"], &result["routes"])?;
        expect("dns", &prev["dns"], &result["dns"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/result/04",
    rule: "Of what is not configured nothing changes, and no file is left.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 mtu 1400"),
        Fault::After("ADD", "mkdir -p /run/cni/tuning; touch /run/cni/tuning/x"),
        Fault::After("ADD", "ip -n pod link set eth0 promisc on")
    ],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        let before = eth0(bench)?;
        bench.add(&config)?;
        let after = eth0(bench)?;
        for key in ["mtu", "address", "flags", "txqlen"] {
            expect(key, &before[key], &after[key])?;
        }
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/fail/01",
    rule: "An interface that is not there fails ADD and is named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let config = behind(bench, json!({ "mtu": 1400 }))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["eth0"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/fail/02",
    rule: "A namespace that does not exist fails ADD and is named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let config = behind(bench, json!({ "mtu": 1400 }))?;
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/fail/03",
    rule: "An ADD that fails half way leaves interface and sysctls as they were, and no file.",
    faults: &[
        Fault::On("ADD", &Fault::ExitZero),
        Fault::After("ADD", "ip -n pod link set eth0 address 02:00:00:00:00:55"),
        Fault::After(
            "ADD",
            "ip netns exec pod sh -c 'echo 500 > /proc/sys/net/core/somaxconn'"
        )
    ],
    repairs: &[Fault::Instead(
        "ADD",
        r#"config=$(cat)
        old=$(ip netns exec pod cat /proc/sys/net/core/somaxconn)
        if said=$(echo "$config" | "$REAL"); then echo "$said"; exit; fi
        echo "$config" | CNI_COMMAND=DEL "$REAL"
        ip netns exec pod sh -c "echo $old > /proc/sys/net/core/somaxconn"
        echo "$said"; exit 1"#
    )],
    run: |bench| {
        let config = behind(
            bench,
            json!({ "mac": "02:00:00:00:00:55", "mtu": 70000, "sysctl": { "net.core.somaxconn": "500" } }),
        )?;
        let before = sysctl(bench, "pod", "net/core/somaxconn")?;
        bench.call("ADD", &config).reply()?.error()?;
        expect("MAC", &json!(MAC), &eth0(bench)?["address"])?;
        expect(
            "somaxconn",
            &before,
            &sysctl(bench, "pod", "net/core/somaxconn")?,
        )?;
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNING
});
