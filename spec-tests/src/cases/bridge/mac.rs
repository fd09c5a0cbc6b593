//! bridge: where the pod's MAC address comes from, and frames with another one.

use crate::cases::{bridge::BRIDGE, packets::*, prelude::*, sight::*};

const BY_ARGS: &str = "02:00:00:00:00:0a";
const BY_CONFIG: &str = "02:00:00:00:00:0b";
const BY_RUNTIME: &str = "02:00:00:00:00:0c";

/// ADD with these sources of a MAC; the one that the pod has.
fn mac_of(bench: &mut Bench, args: &str, changes: Value) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let config = with(bench, changes);
    let mut call = bench.call("ADD", &config);
    if !args.is_empty() {
        call = call.env("CNI_ARGS", args);
    }
    let result = call.reply()?.result()?;
    let mac = link(bench, "pod", "eth0")?["address"].clone();
    expect("MAC of the result", &mac, &result["interfaces"][2]["mac"])?;
    Ok(mac)
}

submit!(Case {
    id: "bridge/mac/01",
    rule: "CNI_ARGS MAC sets the pod's MAC address.",
    faults: &[
        Fault::Env("CNI_ARGS", ""),
        Fault::After("ADD", "ip -n pod link set eth0 address 02:00:00:00:00:99")
    ],
    run: |bench| {
        let mac = mac_of(bench, "IgnoreUnknown=1;MAC=02:00:00:00:00:0a", json!({}))?;
        expect("MAC", &json!(BY_ARGS), &mac)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/02",
    rule: "args.cni.mac sets the pod's MAC address.",
    faults: &[
        Fault::Config("/args", ""),
        Fault::Result("/interfaces/2/mac", "02:00:00:00:00:99")
    ],
    run: |bench| {
        let mac = mac_of(
            bench,
            "",
            json!({ "args": { "cni": { "mac": BY_CONFIG } } }),
        )?;
        expect("MAC", &json!(BY_CONFIG), &mac)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/03",
    rule: "runtimeConfig.mac sets the pod's MAC address.",
    faults: &[
        Fault::Config("/runtimeConfig", ""),
        Fault::Result("/interfaces/2/mac", "02:00:00:00:00:99")
    ],
    run: |bench| {
        let mac = mac_of(bench, "", json!({ "runtimeConfig": { "mac": BY_RUNTIME } }))?;
        expect("MAC", &json!(BY_RUNTIME), &mac)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/04",
    rule: "args.cni.mac wins over CNI_ARGS.",
    faults: &[Fault::Config("/args", "")],
    run: |bench| {
        let mac = mac_of(
            bench,
            "IgnoreUnknown=1;MAC=02:00:00:00:00:0a",
            json!({ "args": { "cni": { "mac": BY_CONFIG } } }),
        )?;
        expect("MAC", &json!(BY_CONFIG), &mac)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/05",
    rule: "runtimeConfig.mac wins over args.cni.mac and CNI_ARGS.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let changes = json!({ "args": { "cni": { "mac": BY_CONFIG } }, "runtimeConfig": { "mac": BY_RUNTIME } });
        let mac = mac_of(bench, "IgnoreUnknown=1;MAC=02:00:00:00:00:0a", changes)?;
        expect("MAC", &json!(BY_RUNTIME), &mac)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/06",
    rule: "A MAC address may be written with capital letters and dashes.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let mac = mac_of(
            bench,
            "",
            json!({ "runtimeConfig": { "mac": "02-00-00-00-00-0C" } }),
        )?;
        expect("MAC", &json!(BY_RUNTIME), &mac)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/07",
    rule: "A MAC address that is none is refused and named, and nothing is left.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/runtimeConfig", ""),
        Fault::Error("/msg", "no")
    ],
    run: |bench| {
        refuses_add(
            bench,
            json!({ "runtimeConfig": { "mac": "02:00:00" } }),
            &["02:00:00", "MAC"],
        )?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/08",
    rule: "A MAC address of eight bytes is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        refuses_add(
            bench,
            json!({ "runtimeConfig": { "mac": "02:00:00:00:00:00:00:01" } }),
            &[],
        )?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mac/09",
    rule: "Without a requested MAC address every pod has one of its own.",
    faults: &[Fault::After(
        "ADD",
        "for n in pod other; do ip -n $n link set eth0 address 02:00:00:00:00:99; done"
    )],
    run: |bench| {
        let (config, first) = attach(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        let macs = [
            link(bench, "pod", "eth0")?["address"].clone(),
            link(bench, "other", "eth0")?["address"].clone(),
        ];
        expect_that(macs[0] != macs[1], "two MAC addresses", format!("{macs:?}"))?;
        expect(
            "MAC of the first result",
            &macs[0],
            &first["interfaces"][2]["mac"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/args/01",
    rule: "A key of CNI_ARGS that is not known is refused and named.",
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "K8S_POD_NAME=x;FOO=bar")
            .reply()?;
        complains(&reply, &["unknown args", "FOO=bar"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/args/02",
    rule: "What Kubernetes runtimes send in CNI_ARGS is accepted on ADD and DEL.",
    faults: &[Fault::Env("CNI_ARGS", "K8S_POD_NAME=web-0"), Fault::ExitOne],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=ctr1;K8S_POD_UID=1";
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .succeeds()?;
        bench
            .call("DEL", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .succeeds_silently()
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/args/03",
    rule: "A pair of CNI_ARGS without '=' is refused and named.",
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_ARGS", "IgnoreUnknown=1;FOO")
            .reply()?;
        complains(&reply, &["invalid pair", "FOO"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/macspoofchk/01",
    rule: "With macspoofchk a frame with another source MAC does not leave the pod's port; with the pod's own it does.",
    needs: &["ping", "nft"],
    faults: &[
        Fault::Config("/macspoofchk", ""),
        Fault::After("ADD", "nft flush table bridge nat"),
        Fault::After("ADD", "ip link set suite0 down")
    ],
    run: |bench| {
        attach(bench, json!({ "macspoofchk": true }))?;
        answers(bench, "pod", "10.88.0.1")?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:66",
            ],
        )?;
        is_silent(bench, "pod", "10.88.0.1")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/macspoofchk/02",
    rule: "Without macspoofchk a pod may send with any source MAC.",
    needs: &["ping", "nft"],
    faults: &[Fault::Config("/macspoofchk", "=true")],
    run: |bench| {
        attach(bench, json!({}))?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:66",
            ],
        )?;
        answers(bench, "pod", "10.88.0.1")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/macspoofchk/03",
    rule: "macspoofchk checks IPv6 as well.",
    needs: &["ping", "nft"],
    faults: &[Fault::Config("/macspoofchk", "")],
    run: |bench| {
        attach(bench, json!({ "macspoofchk": true, "ipam": six() }))?;
        answers(bench, "pod", "2001:db8::1")?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:66",
            ],
        )?;
        is_silent(bench, "pod", "2001:db8::1")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/macspoofchk/04",
    rule: "The rules lie in table bridge nat, in chains named by container and interface, and carry a comment so named.",
    needs: &["nft"],
    faults: &[
        Fault::Config("/macspoofchk", ""),
        Fault::Env("CNI_IFNAME", "eth1")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "macspoofchk": true }))?;
        let mac = result["interfaces"][2]["mac"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let rules = bench.run("nft", &["list", "ruleset"])?;
        let host = host_end(&result);
        for line in [
            "chain cni-br-iface-ctr1-eth0 {",
            "chain cni-br-iface-ctr1-eth0-mac {",
            &format!(
                "iifname \"{host}\" jump cni-br-iface-ctr1-eth0 comment \"macspoofchk-ctr1-eth0\""
            ),
            &format!("ether saddr {mac} return comment \"macspoofchk-ctr1-eth0\""),
            "drop comment \"macspoofchk-ctr1-eth0\"",
        ] {
            expect_that(rules.contains(line), line, &rules)?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/macspoofchk/05",
    rule: "DEL removes the pod's rules and chains and leaves those of another pod.",
    needs: &["nft"],
    faults: &[
        Fault::On("DEL", &Fault::Config("/macspoofchk", "")),
        Fault::After("DEL", "nft delete table bridge nat")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "macspoofchk": true }))?;
        attach_other(bench, "other", &config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = bench.run("nft", &["list", "ruleset"])?;
        expect_that(!rules.contains("ctr1"), "nothing of ctr1", &rules)?;
        expect_that(
            rules.contains("macspoofchk-other-eth0"),
            "the other's rules",
            &rules,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/macspoofchk/06",
    rule: "Rules of others in table bridge nat stay.",
    needs: &["nft"],
    faults: &[
        Fault::After("DEL", "nft delete table bridge nat"),
        Fault::Before("ADD", "nft delete table bridge nat")
    ],
    run: |bench| {
        let mine = "table bridge nat { chain PREROUTING { type filter hook prerouting priority -300; \
                    ether type arp counter comment \"mine\"; }; }";
        bench.run("nft", &[mine])?;
        let (config, _) = attach(bench, json!({ "macspoofchk": true }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = bench.run("nft", &["list", "ruleset"])?;
        expect_that(rules.contains("comment \"mine\""), "the other rule", &rules)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/macspoofchk/07",
    rule: "DEL removes the rules also when the namespace is gone.",
    needs: &["nft"],
    // A plugin may know by itself that there are rules: without the key it passes as well.
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "macspoofchk": true }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = bench.run("nft", &["list", "ruleset"])?;
        expect_that(!rules.contains("ctr1"), "nothing of ctr1", &rules)
    },
    ..BRIDGE
});
