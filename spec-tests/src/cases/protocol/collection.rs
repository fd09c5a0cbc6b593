//! GC and STATUS of bridge, ptp and host-local: only 1.1.0 has them.

use crate::cases::{packets::*, prelude::*, sight::*};

const GC: Case = Case {
    versions: [SpecVersion::V1_1_0, SpecVersion::V1_1_0],
    level: Level::Should,
    source: "Section 2, GC",
    judges: Judges::Only(&["bridge", "ptp"]),
    ..CASE
};
const STATUS: Case = Case {
    versions: [SpecVersion::V1_1_0, SpecVersion::V1_1_0],
    judges: Judges::Only(&["bridge", "ptp"]),
    ..COMPAT
};

/// Pods `pod` (container `ctr1`) and `other`; the configuration.
fn two(bench: &mut Bench, changes: Value) -> Result<Value, Failure> {
    let (config, _) = attach(bench, changes)?;
    attach_other(bench, "other", &config)?;
    Ok(config)
}

/// GC that leaves these containers' `eth0`.
fn collect(bench: &mut Bench, config: &Value, valid: &[&str]) -> Result<(), Failure> {
    let entries: Vec<_> = valid
        .iter()
        .map(|id| json!({ "containerID": id, "ifname": "eth0" }))
        .collect();
    let mut config = config.clone();
    config["cni.dev/valid-attachments"] = json!(entries);
    config["cni.dev/attachments"] = json!(entries);
    let call = bench
        .call("GC", &config)
        .unset("CNI_CONTAINERID")
        .unset("CNI_NETNS");
    call.unset("CNI_IFNAME").reply()?.succeeds_silently()
}

submit!(Case {
    id: "gc/reservation/01",
    rule: "GC frees the addresses of attachments that are not in the list and keeps the others.",
    faults: &[
        Fault::Skip("GC"),
        Fault::After("GC", "rm -f /var/lib/cni/networks/suite/10.*")
    ],
    run: |bench| {
        let config = two(bench, json!({ "ipam": dual() }))?;
        collect(bench, &config, &["other"])?;
        expect(
            "reservations",
            &list(&["10.88.0.3", "2001:db8::3"]),
            &reserved(),
        )
    },
    ..GC
});

submit!(Case {
    id: "gc/reservation/02",
    rule: "GC with an empty list frees everything of the network.",
    faults: &[Fault::Skip("GC")],
    run: |bench| {
        let config = two(bench, json!({}))?;
        collect(bench, &config, &[])?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..GC
});

submit!(Case {
    id: "gc/reservation/03",
    rule: "GC without a list frees nothing.",
    faults: &[Fault::After("GC", "rm -f /var/lib/cni/networks/suite/10.*")],
    run: |bench| {
        let config = two(bench, json!({}))?;
        bench.call("GC", &config).reply()?.succeeds_silently()?;
        expect(
            "reservations",
            &list(&["10.88.0.2", "10.88.0.3"]),
            &reserved(),
        )
    },
    ..GC
});

submit!(Case {
    id: "gc/reservation/04",
    rule: "GC of one network leaves another network's reservations.",
    faults: &[Fault::After("GC", "rm -rf /var/lib/cni/networks/second")],
    run: |bench| {
        let config = two(bench, json!({}))?;
        let second = with(
            bench,
            json!({ "name": "second", "bridge": "suite1",
            "ipam": { "type": "host-local", "subnet": "10.99.0.0/24" } }),
        );
        bench
            .call("ADD", &second)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .succeeds()?;
        collect(bench, &config, &[])?;
        expect_that(
            files("/var/lib/cni/networks/second").contains(&"10.99.0.2".to_owned()),
            "10.99.0.2 is reserved",
            format!("{:?}", files("/var/lib/cni/networks/second")),
        )
    },
    ..GC
});

submit!(Case {
    id: "gc/link/01",
    rule: "GC removes the pairs of attachments that are not in the list; the others keep working.",
    needs: &["ping"],
    faults: &[
        Fault::Skip("GC"),
        Fault::After("GC", "ip -n other link del eth0")
    ],
    run: |bench| {
        let config = two(bench, json!({}))?;
        collect(bench, &config, &["other"])?;
        expect("links in the pod", &list(&["lo"]), &links(bench, "pod")?)?;
        answers(bench, "other", "10.88.0.1")
    },
    ..GC
});

submit!(Case {
    id: "gc/masquerade/01",
    rule: "GC removes the masquerading of attachments that are not in the list and keeps that of the others.",
    needs: &["iptables"],
    faults: &[Fault::Skip("GC"), Fault::After("GC", "iptables -t nat -F")],
    run: |bench| {
        let config = two(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables" }),
        )?;
        bench.run("ip", &["netns", "del", "pod"])?;
        collect(bench, &config, &["other"])?;
        let rules = bench.run("iptables-save", &["-t", "nat"])?;
        expect_that(!rules.contains("ctr1"), "nothing of ctr1", &rules)?;
        expect_that(rules.contains("other"), "the other's rules", &rules)
    },
    ..GC
});

submit!(Case {
    id: "gc/masquerade/02",
    rule: "GC does so with nftables.",
    needs: &["nft"],
    faults: &[Fault::Skip("GC"), Fault::After("GC", "nft flush ruleset")],
    run: |bench| {
        let config = two(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "nftables" }),
        )?;
        bench.run("ip", &["netns", "del", "pod"])?;
        collect(bench, &config, &["other"])?;
        let rules = bench.run("nft", &["list", "ruleset"])?;
        expect_that(!rules.contains("id: ctr1"), "nothing of ctr1", &rules)?;
        expect_that(rules.contains("id: other"), "the other's rules", &rules)
    },
    ..GC
});

submit!(Case {
    id: "gc/twice/01",
    rule: "GC succeeds again and with nothing to do.",
    faults: &[Fault::Once("GC"), Fault::On("GC", &Fault::ExitOne)],
    run: |bench| {
        let config = bench.config();
        for _ in 0..2 {
            collect(bench, &config, &[])?;
        }
        Ok(())
    },
    ..GC
});

submit!(Case {
    id: "gc/host-local/01",
    rule: "GC of host-local frees what is not in the list, keeps the rest, the lock and the last reserved address.",
    judges: Judges::Only(&["host-local"]),
    faults: &[
        Fault::Skip("GC"),
        Fault::After("GC", "rm /var/lib/cni/networks/suite/last_reserved_ip.0")
    ],
    run: |bench| {
        let config = bench.config();
        for container in ["a", "b"] {
            bench
                .call("ADD", &config)
                .env("CNI_CONTAINERID", container)
                .reply()?
                .succeeds()?;
        }
        collect(bench, &config, &["b"])?;
        expect(
            "files",
            &list(&["10.88.0.3", "last_reserved_ip.0", "lock"]),
            &files(RESERVATIONS),
        )
    },
    ..GC
});

submit!(Case {
    id: "gc/host-local/02",
    rule: "GC of host-local keeps a listed container's file of an old release.",
    judges: Judges::Only(&["host-local"]),
    faults: &[
        Fault::Skip("GC"),
        Fault::After("GC", "rm /var/lib/cni/networks/suite/10.88.0.30")
    ],
    run: |bench| {
        let config = bench.config();
        bench.run("mkdir", &["-p", RESERVATIONS])?;
        for (address, content) in [("10.88.0.30", "b\n"), ("10.88.0.31", "gone\n")] {
            bench.write(&format!("{RESERVATIONS}/{address}"), content)?;
        }
        collect(bench, &config, &["b"])?;
        expect("reservations", &list(&["10.88.0.30"]), &reserved())
    },
    ..GC
});

submit!(Case {
    id: "gc/foreign/01",
    rule: "GC leaves a link alone that is no veth, although it bears the alias of a stale attachment.",
    faults: &[Fault::After("GC", "ip link delete strange")],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let alias = link(bench, HOST, &host_end(&result))?["ifalias"].clone();
        let alias = alias.as_str().unwrap_or("suite/ctr1/eth0").to_owned();
        bench.run("ip", &["link", "add", "strange", "type", "bridge"])?;
        bench.run("ip", &["link", "set", "strange", "alias", &alias])?;
        collect(bench, &config, &[])?;
        link(bench, HOST, "strange").map(drop)
    },
    ..GC
});

submit!(Case {
    id: "gc/foreign/02",
    rule: "GC leaves a veth alone that bears the alias of a stale attachment and another name than the plugin gives.",
    faults: &[Fault::After("GC", "ip link delete strange")],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let alias = link(bench, HOST, &host_end(&result))?["ifalias"].clone();
        let alias = alias.as_str().unwrap_or("suite/ctr1/eth0").to_owned();
        let pair = [
            "link", "add", "strange", "type", "veth", "peer", "name", "end",
        ];
        bench.run("ip", &pair)?;
        bench.run("ip", &["link", "set", "strange", "alias", &alias])?;
        collect(bench, &config, &[])?;
        link(bench, HOST, "strange").map(drop)
    },
    ..GC
});

submit!(Case {
    id: "status/full/01",
    rule: "STATUS answers code 50 when a range has no free address.",
    level: Level::Should,
    source: "Section 2, STATUS",
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    faults: &[Fault::Skip("STATUS"), Fault::Code(7)],
    run: |bench| {
        let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/30" });
        let config = with(bench, json!({ "ipam": ipam }));
        status(bench, &config)?.succeeds_silently()?;
        attach_other(bench, "a", &config)?;
        status(bench, &config)?.fails_with(50).map(drop)
    },
    ..STATUS
});

submit!(Case {
    id: "status/ready/01",
    rule: "STATUS of a plugin that can serve succeeds and prints nothing.",
    faults: &[
        Fault::On("STATUS", &Fault::ExitOne),
        Fault::On("STATUS", &Fault::Garbage)
    ],
    run: |bench| {
        let config = bench.config();
        bench.call("STATUS", &config).reply()?.succeeds_silently()
    },
    ..STATUS
});

submit!(Case {
    id: "status/ready/02",
    rule: "STATUS changes nothing: no link, no file.",
    faults: &[
        Fault::After("STATUS", "ip link add suite0 type bridge"),
        Fault::After("STATUS", "mkdir -p /var/lib/cni/networks/suite")
    ],
    run: |bench| {
        let config = bench.config();
        bench.call("STATUS", &config).reply()?.succeeds_silently()?;
        expect("links", &list(&["lo"]), &links(bench, HOST)?)?;
        expect("networks", &list(&[]), &files("/var/lib/cni/networks"))
    },
    ..STATUS
});

submit!(Case {
    id: "status/ipam/01",
    rule: "STATUS fails when the IPAM plugin is not there, and names it.",
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::Error("/msg", "no"))
    ],
    run: |bench| {
        let config = with(bench, json!({ "ipam": { "type": "no-such-ipam" } }));
        let reply = bench.call("STATUS", &config).reply()?;
        complains(&reply, &["no-such-ipam"])
    },
    ..STATUS
});

submit!(Case {
    id: "status/ipam/02",
    rule: "STATUS passes on the IPAM plugin's error.",
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::Code(999))
    ],
    run: |bench| {
        bench.actor(
            "told",
            &[(
                "STATUS",
                crate::actor::Answer::error(50, "no more addresses here"),
            )],
        )?;
        let config = with(bench, json!({ "ipam": { "type": "told" } }));
        let reply = bench.call("STATUS", &config).reply()?;
        reply.fails_with(50)?;
        complains(&reply, &["no more addresses here"])
    },
    ..STATUS
});
