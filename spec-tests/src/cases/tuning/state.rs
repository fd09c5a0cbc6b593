//! tuning: what DEL puts back, and where that is kept.

use crate::cases::{chained::*, prelude::*, sight::*, tuning::*};

submit!(Case {
    id: "tuning/del/01",
    rule: "DEL restores MAC address, MTU, promiscuity, multicast and queue length.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::Before("DEL", "rm -r /run/cni/tuning")
    ],
    run: |bench| {
        let before = comparable(eth0_after_wire(bench)?);
        let mut config = with(
            bench,
            json!({ "mac": "02:00:00:00:00:55", "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 500 }),
        );
        config["prevResult"] = wired(bench.version);
        let result = bench.add(&config)?;
        let changed = comparable(eth0(bench)?);
        expect_that(
            changed != before,
            "ADD changed them",
            format!("{changed:?}"),
        )?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        expect("attributes", &before, &comparable(eth0(bench)?))
    },
    ..TUNING
});

fn eth0_after_wire(bench: &mut Bench) -> Result<Value, Failure> {
    wire(bench)?;
    eth0(bench)
}

fn comparable(link: Value) -> Vec<Value> {
    ["address", "mtu", "txqlen", "flags"]
        .iter()
        .map(|&key| link[key].clone())
        .collect()
}

submit!(Case {
    id: "tuning/del/02",
    rule: "The old values lie in /run/cni/tuning, in a file by container and interface, until DEL.",
    faults: &[
        Fault::After("ADD", "rm /run/cni/tuning/ctr1_eth0.json"),
        Fault::After("DEL", "touch /run/cni/tuning/ctr1_eth0.json")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        let kept: Value =
            serde_json::from_str(&text("/run/cni/tuning/ctr1_eth0.json")).unwrap_or_default();
        expect("mtu of the content", &json!(1500), &kept["mtu"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/03",
    rule: "dataDir holds the old values instead.",
    faults: &[Fault::Config("/dataDir", "")],
    run: |bench| {
        chained(bench, json!({ "mtu": 1400, "dataDir": "/run/kept" }))?;
        expect("files", &list(&["ctr1_eth0.json"]), &files("/run/kept"))
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/04",
    rule: "DEL succeeds again, without an ADD, and when the namespace is gone.",
    faults: &[Fault::Once("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/05",
    rule: "DEL puts back what was there before, also where that is no default.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip -n pod link set eth0 mtu 1500"),
        Fault::After("DEL", "ip -n pod link set eth0 allmulticast off"),
        Fault::After("DEL", "ip -n pod link set eth0 promisc off")
    ],
    run: |bench| {
        let config = behind(
            bench,
            json!({ "mtu": 1400, "allmulti": false, "promisc": true }),
        )?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "mtu",
                "1450",
                "allmulticast",
                "on",
                "promisc",
                "on",
            ],
        )?;
        let before = comparable(eth0(bench)?);
        let result = bench.add(&config)?;
        expect_that(
            before != comparable(eth0(bench)?),
            "ADD changed something",
            "it did not",
        )?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        expect("attributes", &before, &comparable(eth0(bench)?))
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/06",
    rule: "DEL leaves alone what the plugin was not told to change.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip -n pod link set eth0 address 02:00:00:00:00:05")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:77",
            ],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let seen = eth0(bench)?;
        expect(
            "MTU and MAC",
            &(json!(1500), json!("02:00:00:00:00:77")),
            &(seen["mtu"].clone(), seen["address"].clone()),
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/07",
    rule: "DEL restores the queue's length.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip -n pod link set eth0 txqueuelen 500")
    ],
    repairs: &[
        Fault::Where(
            "/txQLen",
            &Fault::After("ADD", "ip -n pod link set eth0 txqueuelen 500")
        ),
        Fault::Where(
            "/txQLen",
            &Fault::After("DEL", "ip -n pod link set eth0 txqueuelen 900")
        )
    ],
    run: |bench| {
        let config = behind(bench, json!({ "txQLen": 500 }))?;
        bench.run(
            "ip",
            &["-n", "pod", "link", "set", "eth0", "txqueuelen", "900"],
        )?;
        let result = bench.add(&config)?;
        expect("txqlen after ADD", &json!(500), &eth0(bench)?["txqlen"])?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        expect("txqlen after DEL", &json!(900), &eth0(bench)?["txqlen"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/08",
    rule: "DEL restores from dataDir as well, and empties it.",
    faults: &[
        Fault::On("DEL", &Fault::Config("/dataDir", "")),
        Fault::After("DEL", "touch /run/kept/here/ctr1_eth0.json")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400, "dataDir": "/run/kept/here" }))?;
        expect(
            "files",
            &list(&["ctr1_eth0.json"]),
            &files("/run/kept/here"),
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("MTU", &json!(1500), &eth0(bench)?["mtu"])?;
        expect("files", &list(&[]), &files("/run/kept/here"))
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/09",
    rule: "Two interfaces of a pod are restored each by its own DEL.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("ADD", "rm -f /run/cni/tuning/ctr1_net1.json"),
        Fault::After("DEL", "ip -n pod link set net1 mtu 1500")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "net1", "type", "veth", "peer", "name", "net2",
            ],
        )?;
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .succeeds()?;
        expect(
            "files",
            &list(&["ctr1_eth0.json", "ctr1_net1.json"]),
            &files("/run/cni/tuning"),
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let mtus = (
            eth0(bench)?["mtu"].clone(),
            link(bench, "pod", "net1")?["mtu"].clone(),
        );
        expect("MTU of eth0 and net1", &(json!(1500), json!(1400)), &mtus)?;
        bench
            .call("DEL", &config)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .succeeds_silently()?;
        expect(
            "MTU of net1",
            &json!(1500),
            &link(bench, "pod", "net1")?["mtu"],
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/10",
    rule: "After an ADD that failed half way DEL restores what it had changed.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let config = behind(bench, json!({ "mac": "02:00:00:00:00:55", "mtu": 70000 }))?;
        bench.call("ADD", &config).reply()?.error()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("MAC", &json!(MAC), &eth0(bench)?["address"])?;
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/11",
    rule: "DEL succeeds when what was kept cannot be read.",
    faults: &[Fault::Instead(
        "DEL",
        r#"grep -q '}' /run/cni/tuning/ctr1_eth0.json || exit 1; exec "$REAL""#
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        bench.write("/run/cni/tuning/ctr1_eth0.json", "{")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/12",
    rule: "DEL succeeds when the interface is gone, CNI_NETNS is empty or a plain file, without prevResult and without an ADD.",
    faults: &[Fault::Once("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (mut config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        config
            .as_object_mut()
            .map(|config| config.remove("prevResult"));
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "never")
            .reply()?
            .succeeds_silently()?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/13",
    rule: "When the namespace is gone, DEL removes what it kept.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "DEL",
        r#"[ -e "$CNI_NETNS" ] && exec "$REAL"; rm -f /run/cni/tuning/ctr1_eth0.json"#
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/del/14",
    rule: "After a second ADD it is still the values before the first that DEL restores.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::Before("ADD", "rm -f /run/cni/tuning/ctr1_eth0.json")
    ],
    repairs: &[Fault::Instead(
        "ADD",
        r#"f=/run/cni/tuning/ctr1_eth0.json
        [ ! -e $f ] || cp $f /run/first
        "$REAL" && { [ ! -e /run/first ] || cp /run/first $f; }"#
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        bench.add(&config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("MTU", &json!(1500), &eth0(bench)?["mtu"])
    },
    ..TUNING
});
