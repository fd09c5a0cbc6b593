//! firewall: the pod's packets are let through, and who may reach it.

mod policy;
mod takeover;

use crate::cases::{chained::*, packets::*, prelude::*, sight::*};

/// Every case of firewall.
pub(in crate::cases) const FIREWALL: Case = Case {
    judges: Judges::Only(&["firewall"]),
    needs: &["iptables", "ip6tables", "ping"],
    ..COMPAT
};

/// The rules of `iptables` and `ip6tables` that let packets through or not.
pub(in crate::cases) fn filter(bench: &mut Bench) -> Result<String, Failure> {
    let four = bench.watch("iptables-save", &["-t", "filter"])?;
    Ok(four + &bench.watch("ip6tables-save", &["-t", "filter"])?)
}

/// One of the rules is this.
pub(in crate::cases) fn has(rules: &str, line: &str) -> Result<(), Failure> {
    expect_that(rules.lines().any(|rule| rule == line), line, rules)
}

fn iptables() -> Value {
    json!({ "backend": "iptables" })
}

submit!(Case {
    id: "firewall/packets/01",
    rule: "With a FORWARD policy of DROP the pod's connections to the outside pass, those from outside do not.",
    faults: &[
        Fault::Skip("ADD"),
        Fault::After("ADD", "iptables -F CNI-FORWARD"),
        Fault::After("ADD", "iptables -P FORWARD ACCEPT")
    ],
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
        bench.run("iptables", &["-P", "FORWARD", "DROP"])?;
        chained(bench, iptables())?;
        answers(bench, "pod", "192.0.2.2")?;
        is_silent(bench, "outside", "10.88.0.5")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/packets/02",
    rule: "The same holds for IPv6.",
    faults: &[
        Fault::Skip("ADD"),
        Fault::After("ADD", "ip6tables -F CNI-FORWARD")
    ],
    run: |bench| {
        outside(bench)?;
        bench.run(
            "ip",
            &[
                "-n",
                "outside",
                "-6",
                "route",
                "add",
                "2001:db8::/64",
                "via",
                "2001:db8:ffff::1",
            ],
        )?;
        bench.run("ip6tables", &["-P", "FORWARD", "DROP"])?;
        chained(bench, iptables())?;
        answers(bench, "pod", "2001:db8:ffff::2")?;
        is_silent(bench, "outside", "2001:db8::5")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/packets/03",
    rule: "DEL closes the way that ADD opened, in both families.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/prevResult/ips/1", ""))
    ],
    run: |bench| {
        outside(bench)?;
        for (tables, family, pods, host) in [
            ("iptables", "-4", "10.88.0.0/24", "192.0.2.1"),
            ("ip6tables", "-6", "2001:db8::/64", "2001:db8:ffff::1"),
        ] {
            bench.run(
                "ip",
                &["-n", "outside", family, "route", "add", pods, "via", host],
            )?;
            bench.run(tables, &["-P", "FORWARD", "DROP"])?;
        }
        let (config, _) = chained(bench, iptables())?;
        answers(bench, "pod", "192.0.2.2")?;
        answers(bench, "pod", "2001:db8:ffff::2")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_silent(bench, "pod", "192.0.2.2")?;
        is_silent(bench, "pod", "2001:db8:ffff::2")
    },
    ..FIREWALL
});

/// The machine outside knows the way to the pod; FORWARD drops what nothing lets through.
fn closed(bench: &mut Bench) -> Result<(), Failure> {
    outside(bench)?;
    for (tables, family, pods, host) in [
        ("iptables", "-4", "10.88.0.0/24", "192.0.2.1"),
        ("ip6tables", "-6", "2001:db8::/64", "2001:db8:ffff::1"),
    ] {
        bench.run(
            "ip",
            &["-n", "outside", family, "route", "add", pods, "via", host],
        )?;
        bench.run(tables, &["-P", "FORWARD", "DROP"])?;
    }
    Ok(())
}

submit!(Case {
    id: "firewall/packets/04",
    rule: "Also without a backend the pod's connections pass a FORWARD policy of DROP in both families, those from outside do not, and DEL closes the way.",
    faults: &[
        Fault::Skip("ADD"),
        Fault::After("ADD", "ip6tables -I FORWARD -j DROP"),
        Fault::After(
            "ADD",
            "iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT"
        ),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        closed(bench)?;
        let (config, _) = chained(bench, json!({}))?;
        answers(bench, "pod", "192.0.2.2")?;
        answers(bench, "pod", "2001:db8:ffff::2")?;
        is_silent(bench, "outside", "10.88.0.5")?;
        is_silent(bench, "outside", "2001:db8::5")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_silent(bench, "pod", "192.0.2.2")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/packets/05",
    rule: "Also without a backend a rule in the administrator's chain wins.",
    faults: &[
        Fault::After("ADD", "iptables -F CNI-ADMIN"),
        Fault::Config("/iptablesAdminChainName", r#"="OTHER""#)
    ],
    run: |bench| {
        closed(bench)?;
        bench.run("iptables", &["-N", "CNI-ADMIN"])?;
        let rule = "-A CNI-ADMIN -s 10.88.0.5 -d 192.0.2.2 -j DROP";
        bench.run("iptables", &rule.split(' ').collect::<Vec<_>>())?;
        chained(bench, json!({}))?;
        answers(bench, "pod", "2001:db8:ffff::2")?;
        is_silent(bench, "pod", "192.0.2.2")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/packets/06",
    rule: "What iptables-save prints can be restored, also behind an ADD without a backend, and lets no more through than before.",
    faults: &[Fault::After(
        "ADD",
        "nft add set ip filter x '{ type ipv4_addr; }'; nft insert rule ip filter FORWARD ip saddr @x accept"
    )],
    run: |bench| {
        closed(bench)?;
        chained(bench, json!({}))?;
        answers(bench, "pod", "192.0.2.2")?;
        let line = "iptables-save > /run/saved && grep -q COMMIT /run/saved && iptables-restore < /run/saved";
        bench.run("sh", &["-c", line])?;
        is_silent(bench, "outside", "10.88.0.5")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/01",
    rule: "FORWARD leads to CNI-FORWARD first, and that to CNI-ADMIN first.",
    faults: &[
        Fault::After("ADD", "iptables -F FORWARD"),
        Fault::After("ADD", "iptables -D CNI-FORWARD 1")
    ],
    run: |bench| {
        bench.run(
            "iptables",
            &["-A", "FORWARD", "-s", "10.55.0.0/16", "-j", "DROP"],
        )?;
        chained(bench, iptables())?;
        let forward = bench.watch("iptables", &["-S", "FORWARD", "1"])?;
        has(
            &forward,
            r#"-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD"#,
        )?;
        let first = bench.watch("iptables", &["-S", "CNI-FORWARD", "1"])?;
        has(
            &first,
            r#"-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN"#,
        )
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/02",
    rule: "Two rules for each address: answers to it, and everything from it.",
    faults: &[
        Fault::After("ADD", "ip6tables -F CNI-FORWARD"),
        Fault::Config("/prevResult/ips/0", "")
    ],
    run: |bench| {
        chained(bench, iptables())?;
        let rules = filter(bench)?;
        for address in ["10.88.0.5/32", "2001:db8::5/128"] {
            has(
                &rules,
                &format!(
                    "-A CNI-FORWARD -d {address} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                ),
            )?;
            has(&rules, &format!("-A CNI-FORWARD -s {address} -j ACCEPT"))?;
        }
        Ok(())
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/03",
    rule: "iptablesAdminChainName names the administrator's chain.",
    faults: &[Fault::Config("/iptablesAdminChainName", "")],
    run: |bench| {
        chained(
            bench,
            json!({ "backend": "iptables", "iptablesAdminChainName": "OURS" }),
        )?;
        let rules = filter(bench)?;
        let jump =
            r#"-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j OURS"#;
        let count = rules.lines().filter(|rule| *rule == jump).count();
        expect_that(count == 2, "a jump to OURS in both families", rules)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/04",
    rule: "A rule in the administrator's chain wins.",
    faults: &[
        Fault::After("ADD", "iptables -F CNI-ADMIN"),
        Fault::After("ADD", "iptables -D CNI-FORWARD 1")
    ],
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
        bench.run("iptables", &["-N", "CNI-ADMIN"])?;
        bench.run(
            "iptables",
            &[
                "-A",
                "CNI-ADMIN",
                "-s",
                "10.88.0.5",
                "-d",
                "192.0.2.2",
                "-j",
                "DROP",
            ],
        )?;
        chained(bench, iptables())?;
        answers(bench, "pod", "192.0.2.1")?;
        is_silent(bench, "pod", "192.0.2.2")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/05",
    rule: "A second ADD adds nothing.",
    faults: &[Fault::After(
        "ADD",
        "iptables -A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT"
    )],
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        bench.add(&config)?;
        let rules = filter(bench)?;
        let count = rules
            .lines()
            .filter(|rule| *rule == "-A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT")
            .count();
        expect("rules", &1, &count)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/06",
    rule: "A jump to CNI-FORWARD that is there stays where it is.",
    faults: &[Fault::After(
        "ADD",
        r#"iptables -I FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD"#
    )],
    run: |bench| {
        let line = r#"iptables -N CNI-FORWARD; iptables -A FORWARD -s 10.55.0.0/16 -j ACCEPT
            iptables -A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD"#;
        bench.run("sh", &["-c", line])?;
        let before = bench.watch("iptables", &["-S", "FORWARD"])?;
        chained(bench, iptables())?;
        expect(
            "FORWARD",
            &before,
            &bench.watch("iptables", &["-S", "FORWARD"])?,
        )
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/07",
    rule: "Rules of others in CNI-FORWARD stay, behind the administrator's.",
    faults: &[
        Fault::Before("ADD", "iptables -F CNI-FORWARD"),
        Fault::After(
            "ADD",
            "iptables -D CNI-FORWARD 1; iptables -A CNI-FORWARD -j CNI-ADMIN"
        )
    ],
    run: |bench| {
        bench.run("iptables", &["-N", "CNI-FORWARD"])?;
        bench.run(
            "iptables",
            &["-A", "CNI-FORWARD", "-s", "10.88.0.9/32", "-j", "ACCEPT"],
        )?;
        chained(bench, iptables())?;
        let first = bench.watch("iptables", &["-S", "CNI-FORWARD", "1"])?;
        expect_that(
            first.contains("-j CNI-ADMIN"),
            "the administrator's rules first",
            first,
        )?;
        has(&filter(bench)?, "-A CNI-FORWARD -s 10.88.0.9/32 -j ACCEPT")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/08",
    rule: "Without addresses there are no rules and no chains.",
    faults: &[
        Fault::Config("/prevResult/ips", r#"=[{"address":"10.88.0.5/24"}]"#),
        Fault::Fail("ADD")
    ],
    run: |bench| {
        let mut result = wired(bench.version);
        result["ips"] = json!([]);
        chained(
            bench,
            json!({ "backend": "iptables", "prevResult": result }),
        )?;
        let rules = filter(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/09",
    rule: "A pod that has IPv4 alone has rules of IPv4 alone.",
    faults: &[
        Fault::Config("/prevResult/ips/-", r#"={"address":"2001:db8::5/64"}"#),
        Fault::Config("/prevResult/ips/0", "")
    ],
    run: |bench| {
        let mut result = wired(bench.version);
        result["ips"].as_array_mut().map(|all| all.remove(1));
        chained(
            bench,
            json!({ "backend": "iptables", "prevResult": result }),
        )?;
        has(
            &bench.watch("iptables-save", &[])?,
            "-A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT",
        )?;
        let six = bench.watch("ip6tables-save", &[])?;
        expect_that(!six.contains("CNI-"), "no CNI chain of IPv6", six)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/10",
    rule: "A pod that has IPv6 alone has rules of IPv6 alone.",
    faults: &[
        Fault::Config("/prevResult/ips/-", r#"={"address":"10.88.0.5/24"}"#),
        Fault::Config("/prevResult/ips/0", "")
    ],
    run: |bench| {
        let mut result = wired(bench.version);
        result["ips"].as_array_mut().map(|all| all.remove(0));
        chained(
            bench,
            json!({ "backend": "iptables", "prevResult": result }),
        )?;
        has(
            &bench.watch("ip6tables-save", &[])?,
            "-A CNI-FORWARD -s 2001:db8::5/128 -j ACCEPT",
        )?;
        let four = bench.watch("iptables-save", &[])?;
        expect_that(!four.contains("CNI-"), "no CNI chain of IPv4", four)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/rules/11",
    rule: "Every address of prevResult has its rules, also one that names no interface.",
    faults: &[
        Fault::Config("/prevResult/ips/1", ""),
        Fault::Config("/prevResult/ips/0", "")
    ],
    run: |bench| {
        let mut result = wired(bench.version);
        result["ips"] =
            json!([{ "address": "10.88.0.5/24", "interface": 2 }, { "address": "10.88.0.6/24" }]);
        chained(
            bench,
            json!({ "backend": "iptables", "prevResult": result }),
        )?;
        let rules = filter(bench)?;
        has(&rules, "-A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT")?;
        has(&rules, "-A CNI-FORWARD -s 10.88.0.6/32 -j ACCEPT")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/del/01",
    rule: "DEL removes the rules of the addresses in prevResult and leaves the shared chains and others' rules.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "iptables -F CNI-FORWARD")
    ],
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        bench.run(
            "iptables",
            &["-A", "CNI-FORWARD", "-s", "10.88.0.9/32", "-j", "ACCEPT"],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = filter(bench)?;
        expect_that(
            !rules.contains("10.88.0.5") && !rules.contains("2001:db8::5"),
            "nothing of the pod",
            &rules,
        )?;
        has(&rules, "-A CNI-FORWARD -s 10.88.0.9/32 -j ACCEPT")
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/del/02",
    rule: "DEL succeeds again, without an ADD, without prevResult, and when the namespace is gone.",
    faults: &[Fault::Once("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let mut config = behind(bench, iptables())?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        config.as_object_mut().map(|all| all.remove("prevResult"));
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..FIREWALL
});

/// No element and no rule of the pod is left.
fn is_clean(bench: &mut Bench) -> Result<(), Failure> {
    let rules = filter(bench)? + &bench.watch("nft", &["list", "ruleset"])?;
    let is_left = |address: &&str| rules.contains(*address);
    let left = ["10.88.0.5", "2001:db8::5"].into_iter().find(is_left);
    expect_that(left.is_none(), "nothing of the pod", &rules)
}

const RETRIED: Case = Case {
    needs: &["iptables", "ip6tables", "nft", "setpriv"],
    ..FIREWALL
};

macro_rules! by_each {
    ($backend:expr, $id:literal, $blind:literal, $again:literal) => {
        submit!(Case {
            id: concat!("firewall/", $id, $blind),
            rule: "DEL removes what ADD made also when prevResult lacks an address of it.",
            faults: &[
                Fault::Skip("DEL"),
                Fault::On("DEL", &Fault::Env("CNI_CONTAINERID", "ctr2")),
            ],
            run: |bench| {
                let (mut config, _) = chained(bench, $backend)?;
                config["prevResult"] = wired(bench.version);
                if let Some(ips) = config["prevResult"]["ips"].as_array_mut() {
                    ips.truncate(1);
                }
                bench.call("DEL", &config).reply()?.succeeds_silently()?;
                is_clean(bench)
            },
            ..RETRIED
        });
        submit!(Case {
            id: concat!("firewall/", $id, $again),
            rule: "A DEL that has not the right to change the network fails; called again, without prevResult, it removes what ADD made.",
            faults: &[
                Fault::Where("/prevResult", &Fault::Skip("DEL")),
                Fault::On("DEL", &Fault::ExitZero),
                Fault::Skip("DEL"),
            ],
            run: |bench| {
                let (mut config, _) = chained(bench, $backend)?;
                let failed = bench.call("DEL", &config).through(POWERLESS);
                failed.reply()?.error()?;
                config.as_object_mut().map(|all| all.remove("prevResult"));
                let again = bench.call("DEL", &config).env("CNI_NETNS", "");
                again.reply()?.succeeds_silently()?;
                is_clean(bench)
            },
            ..RETRIED
        });
    };
}
by_each!(iptables(), "del/", "03", "04");
by_each!(json!({}), "del/", "05", "06");

submit!(Case {
    id: "firewall/result/01",
    versions: CHECKED,
    rule: "The result is prevResult; ADD without one is refused.",
    faults: &[Fault::Result("/ips/1", ""), Fault::ExitZero],
    run: |bench| {
        let (_, result) = chained(bench, iptables())?;
        expect("ips", &wired(bench.version)["ips"], &result["ips"])?;
        let config = with(bench, iptables());
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["missing prevResult"])
    },
    ..FIREWALL
});

const UNCHECKED: &[Fault] = &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)];

submit!(Case {
    id: "firewall/check/01",
    rule: "CHECK of healthy rules succeeds, and finds one gone.",
    versions: CHECKED,
    faults: UNCHECKED,
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        check_finds(
            bench,
            &config,
            &[
                "iptables",
                "-D",
                "CNI-FORWARD",
                "-s",
                "10.88.0.5/32",
                "-j",
                "ACCEPT",
            ],
        )
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/check/02",
    rule: "CHECK finds the jump to CNI-FORWARD gone.",
    versions: CHECKED,
    faults: UNCHECKED,
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        check_finds(bench, &config, &["iptables", "-F", "FORWARD"])
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/check/03",
    rule: "CHECK finds the jump to the administrator's chain gone.",
    versions: CHECKED,
    faults: UNCHECKED,
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        check_finds(bench, &config, &["iptables", "-D", "CNI-FORWARD", "1"])
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/check/04",
    rule: "CHECK finds the rule for answers gone, of IPv6 too.",
    versions: CHECKED,
    faults: UNCHECKED,
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        check_finds(
            bench,
            &config,
            &[
                "ip6tables",
                "-D",
                "CNI-FORWARD",
                "-d",
                "2001:db8::5/128",
                "-m",
                "conntrack",
                "--ctstate",
                "RELATED,ESTABLISHED",
                "-j",
                "ACCEPT",
            ],
        )
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/check/05",
    rule: "CHECK without prevResult is refused.",
    versions: CHECKED,
    faults: &[
        Fault::On("CHECK", &Fault::ExitZero),
        Fault::Error("/msg", "it failed")
    ],
    run: |bench| {
        let (mut config, _) = chained(bench, iptables())?;
        config.as_object_mut().map(|all| all.remove("prevResult"));
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["missing prevResult"])
    },
    ..FIREWALL
});

macro_rules! flushed {
    ($backend:expr, $id:literal) => {
        submit!(Case {
            id: $id,
            rule: "After the ruleset was flushed CHECK fails and names the chain that lets nothing through any more.",
            versions: CHECKED,
            needs: &["iptables", "ip6tables", "nft"],
            faults: &[
                Fault::Skip("CHECK"),
                Fault::On("CHECK", &Fault::Error("/msg", "it failed")),
            ],
            run: |bench| {
                let (config, _) = chained(bench, $backend)?;
                check_names_what_was_flushed(bench, &config, &["FORWARD"])
            },
            ..FIREWALL
        });
    };
}
flushed!(iptables(), "firewall/check/06");
flushed!(json!({}), "firewall/check/07");
