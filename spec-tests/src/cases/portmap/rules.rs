//! portmap: the rules that iptables shows, which an upgraded or downgraded plugin finds again.

use crate::cases::{chained::*, packets::*, portmap::ports::*, prelude::*, sight::*};

/// ADD with rules in iptables.
fn iptables(bench: &mut Bench, changes: Value) -> Result<(Value, Value), Failure> {
    chained_by(bench, Backend::Iptables, changes)
}

submit!(Case {
    id: "portmap/rules/01",
    rule: "The container's chain is named by the hash of network and container and found by a comment with both names.",
    faults: &[
        Fault::Env("CNI_CONTAINERID", "ctr2"),
        Fault::Config("/name", "other")
    ],
    run: |bench| {
        iptables(bench, web())?;
        let rules = nat(bench)?;
        let jump = r#"-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"suite\" id: \"ctr1\"" -m multiport --dports 8080 -j CNI-DN-6878eed1134402c43bdae"#;
        let target = "-A CNI-DN-6878eed1134402c43bdae -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.88.0.5:80";
        for line in [jump, target] {
            expect_that(rules.lines().any(|rule| rule == line), line, &rules)?;
        }
        Ok(())
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/02",
    rule: "markMasqBit chooses the bit of the mark.",
    faults: &[Fault::Config("/markMasqBit", "")],
    run: |bench| {
        iptables(bench, merged(web(), json!({ "markMasqBit": 5 })))?;
        let rules = nat(bench)?;
        expect_that(
            rules.contains("--mark 0x20/0x20 -j MASQUERADE"),
            "mark 0x20",
            rules,
        )
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/03",
    rule: "externalSetMarkChain takes the place of the plugin's own marking; what it masquerades reaches the pod by 127.0.0.1.",
    faults: &[
        Fault::Config("/externalSetMarkChain", ""),
        Fault::After("ADD", "iptables -t nat -F KUBE-MARK-MASQ")
    ],
    run: |bench| {
        for tables in ["iptables", "ip6tables"] {
            bench.run(tables, &["-t", "nat", "-N", "KUBE-MARK-MASQ"])?;
            bench.run(
                tables,
                &[
                    "-t",
                    "nat",
                    "-A",
                    "KUBE-MARK-MASQ",
                    "-j",
                    "MARK",
                    "--set-xmark",
                    "0x4000/0x4000",
                ],
            )?;
            bench.run(
                tables,
                &[
                    "-t",
                    "nat",
                    "-A",
                    "POSTROUTING",
                    "-m",
                    "mark",
                    "--mark",
                    "0x4000/0x4000",
                    "-j",
                    "MASQUERADE",
                ],
            )?;
        }
        chained(
            bench,
            merged(web(), json!({ "externalSetMarkChain": "KUBE-MARK-MASQ" })),
        )?;
        serve(bench, "80")?;
        is_answered(bench, HOST, "127.0.0.1", 8080)?;
        let rules = nat(bench)?;
        expect_that(
            rules.contains("-j KUBE-MARK-MASQ"),
            "a jump to KUBE-MARK-MASQ",
            &rules,
        )?;
        expect_that(
            !rules.contains("CNI-HOSTPORT-SETMARK"),
            "no CNI-HOSTPORT-SETMARK",
            &rules,
        )
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/04",
    rule: "Conditions in the syntax of iptables need no backend beside them.",
    faults: &[
        Fault::Config("/conditionsV4", ""),
        Fault::Config("/runtimeConfig", "")
    ],
    run: |bench| {
        second_address(bench)?;
        chained(
            bench,
            merged(web(), json!({ "conditionsV4": ["!", "-d", "192.0.2.9"] })),
        )?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.9", 8080)
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/05",
    rule: "Without mappings there are no rules.",
    faults: &[Fault::Config(
        "/runtimeConfig",
        "={\"portMappings\":[{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"tcp\"}]}"
    )],
    run: |bench| {
        iptables(bench, json!({}))?;
        let rules = nat(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/06",
    rule: "markMasqBit 0 is the lowest bit of the mark, not the default one.",
    faults: &[Fault::Config("/markMasqBit", "")],
    run: |bench| {
        iptables(bench, merged(web(), json!({ "markMasqBit": 0 })))?;
        marks(bench, "0x1/0x1")
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/07",
    rule: "markMasqBit 31 is the highest bit of the mark.",
    faults: &[
        Fault::Config("/markMasqBit", ""),
        Fault::Config("/markMasqBit", "=30")
    ],
    run: |bench| {
        iptables(bench, merged(web(), json!({ "markMasqBit": 31 })))?;
        marks(bench, "0x80000000/0x80000000")
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/08",
    rule: "Without markMasqBit bit 13 marks what is masqueraded.",
    faults: &[Fault::Config("/markMasqBit", "=14")],
    run: |bench| {
        iptables(bench, web())?;
        marks(bench, "0x2000/0x2000")
    },
    ..PORTMAP
});

/// In both families the mark is set and looked for, and 127.0.0.1 reaches the pod by it.
fn marks(bench: &mut Bench, mark: &str) -> Result<(), Failure> {
    let rules = nat(bench)?;
    for rule in [
        format!(
            "-A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark {mark}"
        ),
        format!("-A CNI-HOSTPORT-MASQ -m mark --mark {mark} -j MASQUERADE"),
    ] {
        let count = rules.lines().filter(|line| *line == rule).count();
        expect_that(count == 2, &rule, &rules)?;
    }
    serve(bench, "80")?;
    is_answered(bench, HOST, "127.0.0.1", 8080)
}

submit!(Case {
    id: "portmap/rules/09",
    rule: "A protocol in capitals is the same protocol.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        outside(bench)?;
        iptables(
            bench,
            mapped(json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "TCP" }])),
        )?;
        serve(bench, "80")?;
        sees(bench, "192.0.2.2", "192.0.2.1", 8080)
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/10",
    rule: "What must be masqueraded is, although others accept everything in POSTROUTING before.",
    faults: &[Fault::After(
        "ADD",
        "iptables -t nat -D POSTROUTING 1; iptables -t nat -A POSTROUTING -j CNI-HOSTPORT-MASQ"
    )],
    run: |bench| {
        bench.run(
            "iptables",
            &["-t", "nat", "-A", "POSTROUTING", "-j", "ACCEPT"],
        )?;
        iptables(bench, web())?;
        serve(bench, "80")?;
        is_answered(bench, HOST, "127.0.0.1", 8080)
    },
    ..PORTMAP
});

submit!(Case {
    id: "portmap/rules/11",
    rule: "DEL removes also the chain for masquerading that early releases made for a container.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "iptables -t nat -N CNI-SN-6878eed1134402c43bdae")
    ],
    run: |bench| {
        let (config, _) = iptables(bench, web())?;
        let line = "C=CNI-SN-6878eed1134402c43bdae; iptables -t nat -N CNI-HOSTPORT-SNAT && iptables -t nat -N $C && \
            iptables -t nat -A $C -s 127.0.0.1 -j MASQUERADE && iptables -t nat -A CNI-HOSTPORT-SNAT -m comment --comment old -j $C";
        bench.run("sh", &["-c", line])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = nat(bench)?;
        expect_that(
            !rules.contains("6878eed"),
            "no chain of the container",
            rules,
        )
    },
    ..PORTMAP
});
