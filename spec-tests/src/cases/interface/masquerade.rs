//! ipMasq of bridge and ptp: packets as the world outside sees them, rules as operators see them.

use crate::cases::{packets::*, prelude::*, sight::*};

const MASQUERADE: Case = Case {
    judges: Judges::Only(&["bridge", "ptp"]),
    needs: &["ping", "iptables", "ip6tables"],
    ..COMPAT
};

const NFTABLES: Case = Case {
    needs: &["ping", "nft"],
    ..MASQUERADE
};

/// The chain of container `ctr1` in network `suite`: `CNI-` and the first 24 digits of the
/// SHA-512 of both names.
const CHAIN: &str = "CNI-6878eed1134402c43bdae8d9";

/// What the comment of that container's nftables rules begins with: 16 digits each of the
/// SHA-512 of `suite` and of `eth0:ctr1`.
const COMMENT: &str = "1069ed420b7a26b3-7883a6f9ce71eedb";

/// Dual stack with default routes.
fn everywhere() -> Value {
    routed(dual(), json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]))
}

/// A pod with masquerading and the machine outside.
fn masqueraded(bench: &mut Bench, backend: &str) -> Result<Value, Failure> {
    outside(bench)?;
    let mut changes = json!({ "ipMasq": true, "ipam": everywhere() });
    if !backend.is_empty() {
        changes["ipMasqBackend"] = backend.into();
    }
    Ok(attach(bench, changes)?.0)
}

fn iptables_rules(bench: &mut Bench) -> Result<String, Failure> {
    let four = bench.run("iptables-save", &["-t", "nat"])?;
    Ok(four + &bench.run("ip6tables-save", &["-t", "nat"])?)
}

fn nft_rules(bench: &mut Bench) -> Result<String, Failure> {
    Ok(bench.run("nft", &["list", "ruleset"])?)
}

/// Whether nftables holds something of this container.
fn knows(bench: &mut Bench, container: &str, expected: bool) -> Result<(), Failure> {
    let rules = nft_rules(bench)?;
    let known = rules.contains(&format!("net: suite, if: eth0, id: {container}\""));
    expect_that(
        known == expected,
        &format!("rules of {container}: {expected}"),
        rules,
    )
}

fn has_lines(rules: &str, lines: &[&str]) -> Result<(), Failure> {
    let has = |line: &&&str| rules.lines().any(|rule| rule.trim() == **line);
    match lines.iter().find(|line| !has(line)) {
        Some(missing) => Err(Failure::new("rules", missing, rules)),
        None => Ok(()),
    }
}

submit!(Case {
    id: "masquerade/packets/01",
    rule: "With ipMasq a pod is answered by a machine that knows no way to the pod, IPv4 and IPv6.",
    faults: &[
        Fault::Config("/ipMasq", ""),
        Fault::After("ADD", "nft flush ruleset"),
        Fault::Config("/ipam/ranges/1", "")
    ],
    run: |bench| {
        masqueraded(bench, "")?;
        answers(bench, "pod", "192.0.2.2")?;
        answers(bench, "pod", "2001:db8:ffff::2")
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/packets/02",
    rule: "With ipMasq a server outside sees the host's address, IPv4 and IPv6.",
    needs: &["busybox", "ping"],
    faults: &[Fault::Config("/ipMasq", "")],
    run: |bench| {
        masqueraded(bench, "")?;
        // A way back, so that an answer alone proves nothing.
        for (family, subnet, host) in [
            ("-4", "10.88.0.0/24", "192.0.2.1"),
            ("-6", "2001:db8::/64", "2001:db8:ffff::1"),
        ] {
            bench.run(
                "ip",
                &["-n", "outside", family, "route", "add", subnet, "via", host],
            )?;
        }
        answers(bench, "pod", "2001:db8:ffff::2")?;
        expect(
            "IPv4",
            &"192.0.2.1".to_owned(),
            &seen_outside(bench, "pod", "192.0.2.2")?,
        )?;
        expect(
            "IPv6",
            &"2001:db8:ffff::1".to_owned(),
            &seen_outside(bench, "pod", "[2001:db8:ffff::2]")?,
        )
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/packets/03",
    rule: "Without ipMasq a server outside sees the pod's address.",
    needs: &["busybox"],
    faults: &[Fault::Config("/ipMasq", "=true")],
    run: |bench| {
        outside(bench)?;
        bench.run(
            "ip",
            &[
                "-n",
                "outside",
                "route",
                "add",
                "10.88.0.0/24",
                "via",
                "192.0.2.1",
            ],
        )?;
        attach(bench, json!({ "ipam": everywhere() }))?;
        expect(
            "address",
            &"10.88.0.2".to_owned(),
            &seen_outside(bench, "pod", "192.0.2.2")?,
        )
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/packets/04",
    rule: "Pods of one subnet see each other's own addresses in spite of ipMasq.",
    needs: &["busybox", "ping", "iptables"],
    faults: &[Fault::After(
        "ADD",
        "iptables -t nat -I POSTROUTING -d 10.88.0.0/24 -j MASQUERADE; echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"
    )],
    run: |bench| {
        let config = masqueraded(bench, "")?;
        // The second pod is the server outside's stand-in: same subnet as the first.
        bench.run("ip", &["netns", "del", "outside"])?;
        attach_other(bench, "outside", &config)?;
        answers(bench, "pod", "10.88.0.3")?;
        expect(
            "address",
            &"10.88.0.2".to_owned(),
            &seen_outside(bench, "pod", "10.88.0.3")?,
        )
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/packets/05",
    rule: "DEL of one pod leaves another's masquerading.",
    faults: &[Fault::After("DEL", "iptables -t nat -F; nft flush ruleset")],
    run: |bench| {
        let config = masqueraded(bench, "")?;
        attach_other(bench, "other", &config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        answers(bench, "other", "192.0.2.2")
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/01",
    rule: "The IPv4 rules: a chain by the hash of network and container, the subnet accepted, the rest but multicast masqueraded.",
    faults: &[
        Fault::Config("/ipMasq", ""),
        Fault::Env("CNI_CONTAINERID", "ctr2"),
        Fault::After("ADD", "iptables -t nat -F POSTROUTING")
    ],
    run: |bench| {
        attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables" }),
        )?;
        let comment = r#"-m comment --comment "name: \"suite\" id: \"ctr1\"""#;
        has_lines(
            &iptables_rules(bench)?,
            &[
                &format!("-A POSTROUTING -s 10.88.0.2/32 {comment} -j {CHAIN}"),
                &format!("-A {CHAIN} -d 10.88.0.0/24 {comment} -j ACCEPT"),
                &format!("-A {CHAIN} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
            ],
        )
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/02",
    rule: "The IPv6 rules are of the same form in ip6tables.",
    faults: &[
        Fault::Config("/ipMasq", ""),
        Fault::After("ADD", "ip6tables -t nat -F POSTROUTING")
    ],
    run: |bench| {
        attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": six() }),
        )?;
        let comment = r#"-m comment --comment "name: \"suite\" id: \"ctr1\"""#;
        has_lines(
            &iptables_rules(bench)?,
            &[
                &format!("-A POSTROUTING -s 2001:db8::2/128 {comment} -j {CHAIN}"),
                &format!("-A {CHAIN} -d 2001:db8::/64 {comment} -j ACCEPT"),
                &format!("-A {CHAIN} ! -d ff00::/8 {comment} -j MASQUERADE"),
            ],
        )
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/03",
    rule: "Without ipMasq there are no rules.",
    faults: &[Fault::Config("/ipMasq", "=true")],
    run: |bench| {
        attach(
            bench,
            json!({ "ipMasqBackend": "iptables", "ipam": dual() }),
        )?;
        let rules = iptables_rules(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/04",
    rule: "DEL removes the container's rules and chain of both families.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", ""))
    ],
    run: |bench| {
        let (config, _) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": dual() }),
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = iptables_rules(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/05",
    rule: "Rules of others in nat stay through ADD and DEL.",
    faults: &[
        Fault::After("DEL", "iptables -t nat -F POSTROUTING"),
        Fault::Before("ADD", "iptables -t nat -F POSTROUTING")
    ],
    run: |bench| {
        bench.run(
            "iptables",
            &[
                "-t",
                "nat",
                "-A",
                "POSTROUTING",
                "-s",
                "10.55.0.0/16",
                "-j",
                "ACCEPT",
            ],
        )?;
        let (config, _) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables" }),
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        has_lines(
            &iptables_rules(bench)?,
            &["-A POSTROUTING -s 10.55.0.0/16 -j ACCEPT"],
        )
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/06",
    rule: "DEL removes the rules also when the namespace is gone.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", ""))
    ],
    run: |bench| {
        let (config, result) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": dual() }),
        )?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        let rules = iptables_rules(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/07",
    rule: "DEL removes the rules also when the interface is gone.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", ""))
    ],
    run: |bench| {
        let (config, result) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": dual() }),
        )?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        let rules = iptables_rules(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/iptables/08",
    rule: "A container with two IPv4 addresses is masqueraded for both, and one DEL removes all.",
    faults: &[
        Fault::Config("/ipMasq", ""),
        Fault::On("DEL", &Fault::Config("/ipMasq", ""))
    ],
    run: |bench| {
        let ipam = host_local(&["10.88.0.0/24", "10.89.0.0/24"]);
        let (config, _) = attach(
            bench,
            json!({ "isGateway": null, "ipMasq": true, "ipMasqBackend": "iptables", "ipam": ipam }),
        )?;
        let rules = iptables_rules(bench)?;
        for source in ["-s 10.88.0.2/32", "-s 10.89.0.2/32"] {
            expect_that(rules.contains(source), source, &rules)?;
        }
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = iptables_rules(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..MASQUERADE
});

refused!(MASQUERADE, "masquerade/backend/01", "Another ipMasqBackend is refused and named.",
    { "ipMasq": true, "ipMasqBackend": "pf" }, ["ipmasq backend", "pf"]);

submit!(Case {
    id: "masquerade/backend/02",
    rule: "After a refused ipMasqBackend nothing of the attachment is left.",
    faults: &[Fault::ExitZero, Fault::Config("/ipMasqBackend", "")],
    run: |bench| {
        refuses_add(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "pf" }),
            &["pf"],
        )?;
        nothing_left(bench)
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/nftables/01",
    rule: "With ipMasqBackend nftables a pod is answered by a machine that knows no way to it, IPv4 and IPv6.",
    faults: &[
        Fault::Config("/ipMasq", ""),
        Fault::After("ADD", "nft flush ruleset")
    ],
    run: |bench| {
        masqueraded(bench, "nftables")?;
        answers(bench, "pod", "192.0.2.2")?;
        answers(bench, "pod", "2001:db8:ffff::2")
    },
    ..NFTABLES
});

submit!(Case {
    id: "masquerade/nftables/02",
    rule: "With nftables a comment tells network, interface and container of each address, behind their hash.",
    faults: &[
        Fault::Config("/ipMasqBackend", "iptables"),
        Fault::Env("CNI_CONTAINERID", "ctr2"),
        Fault::Env("CNI_IFNAME", "eth1")
    ],
    run: |bench| {
        attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "nftables", "ipam": dual() }),
        )?;
        let rules = nft_rules(bench)?;
        let comment = format!("comment \"{COMMENT}, net: suite, if: eth0, id: ctr1\"");
        for address in ["10.88.0.2", "2001:db8::2"] {
            let commented = rules
                .lines()
                .any(|line| line.contains(address) && line.contains(&comment));
            expect_that(commented, &format!("{address} with {comment}"), &rules)?;
        }
        Ok(())
    },
    ..NFTABLES
});

submit!(Case {
    id: "masquerade/nftables/03",
    rule: "DEL removes the container's nftables rules and leaves those of another pod.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", "")),
        Fault::After("DEL", "nft flush ruleset")
    ],
    run: |bench| {
        let (config, _) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "nftables", "ipam": dual() }),
        )?;
        attach_other(bench, "other", &config)?;
        knows(bench, "ctr1", true)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        knows(bench, "ctr1", false)?;
        knows(bench, "other", true)
    },
    ..NFTABLES
});

submit!(Case {
    id: "masquerade/nftables/04",
    rule: "DEL removes the nftables rules also when interface and namespace are gone.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", ""))
    ],
    run: |bench| {
        let (config, result) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "nftables", "ipam": dual() }),
        )?;
        knows(bench, "ctr1", true)?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        knows(bench, "ctr1", false)
    },
    ..NFTABLES
});

submit!(Case {
    id: "masquerade/nftables/05",
    rule: "DEL with ipMasq removes the rules of both backends, also when the configuration changed in between.",
    needs: &["nft", "iptables"],
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", ""))
    ],
    run: |bench| {
        let (config, _) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "nftables" }),
        )?;
        knows(bench, "ctr1", true)?;
        let mut changed = config.clone();
        changed["ipMasqBackend"] = json!("iptables");
        bench.call("DEL", &changed).reply()?.succeeds_silently()?;
        knows(bench, "ctr1", false)
    },
    ..NFTABLES
});

submit!(Case {
    id: "masquerade/nftables/06",
    rule: "With nftables pods of one subnet see each other's own addresses.",
    needs: &["busybox", "ping", "nft"],
    faults: &[Fault::After(
        "ADD",
        "nft 'table inet x { chain p { type nat hook postrouting priority 90; ip daddr 10.88.0.0/24 masquerade; }; }'"
    )],
    run: |bench| {
        let config = masqueraded(bench, "nftables")?;
        bench.run("ip", &["netns", "del", "outside"])?;
        attach_other(bench, "outside", &config)?;
        answers(bench, "pod", "10.88.0.3")?;
        expect(
            "address",
            &"10.88.0.2".to_owned(),
            &seen_outside(bench, "pod", "10.88.0.3")?,
        )
    },
    ..NFTABLES
});

submit!(Case {
    id: "masquerade/check/01",
    rule: "CHECK of a healthy masqueraded pod succeeds.",
    faults: &[Fault::Where(
        "/ipMasq",
        &Fault::On("CHECK", &Fault::ExitOne)
    )],
    run: |bench| {
        let (config, result) = attach(bench, json!({ "ipMasq": true, "ipam": dual() }))?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()
    },
    ..MASQUERADE
});

submit!(Case {
    id: "masquerade/check/02",
    rule: "CHECK finds the masquerading rules gone.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, result) = attach(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables" }),
        )?;
        let config = after_add(&config, &result);
        check_finds(bench, &config, &["iptables", "-t", "nat", "-F"])
    },
    ..MASQUERADE
});

macro_rules! flushed {
    ($backend:literal, $id:literal) => {
        submit!(Case {
            id: $id,
            rule: "After the ruleset was flushed CHECK fails and names the address that is not masqueraded.",
            needs: &["iptables", "nft"],
            faults: &[
                Fault::Skip("CHECK"),
                Fault::On("CHECK", &Fault::Error("/msg", "it failed")),
            ],
            run: |bench| {
                let changes = json!({ "ipMasq": true, "ipMasqBackend": $backend });
                let (config, result) = attach(bench, changes)?;
                let config = after_add(&config, &result);
                check_names_what_was_flushed(bench, &config, &["masquerade", "10.88.0.2"])
            },
            ..MASQUERADE
        });
    };
}
flushed!("iptables", "masquerade/check/03");
flushed!("nftables", "masquerade/check/04");
