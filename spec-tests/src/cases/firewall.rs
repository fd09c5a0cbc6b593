//! firewall: the pod's packets are let through, and who may reach it.

use super::{chained::*, packets::*, prelude::*, sight::*};

const FIREWALL: Case = Case {
    judges: Judges::Only(&["firewall"]),
    needs: &["iptables", "ip6tables", "ping"],
    ..COMPAT
};

fn filter(bench: &mut Bench) -> Result<String, Failure> {
    let four = bench.run("iptables-save", &["-t", "filter"])?;
    Ok(four + &bench.run("ip6tables-save", &["-t", "filter"])?)
}

fn has(rules: &str, line: &str) -> Result<(), Failure> {
    expect_that(rules.lines().any(|rule| rule == line), line, rules)
}

fn iptables() -> Value {
    json!({ "backend": "iptables" })
}

submit! { Case {
    id: "firewall/packets/01",
    rule: "With a FORWARD policy of DROP the pod's connections to the outside pass, those from outside do not.",
    faults: &[Fault::Skip("ADD"), Fault::After("ADD", "iptables -F CNI-FORWARD"), Fault::After("ADD", "iptables -P FORWARD ACCEPT")],
    run: |bench| {
        outside(bench)?;
        bench.run("ip", &["-n", "outside", "route", "add", "10.88.0.0/24", "via", "192.0.2.1"])?;
        bench.run("iptables", &["-P", "FORWARD", "DROP"])?;
        chained(bench, iptables())?;
        answers(bench, "pod", "192.0.2.2")?;
        is_silent(bench, "outside", "10.88.0.5")
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/packets/02",
    rule: "The same holds for IPv6.",
    faults: &[Fault::Skip("ADD"), Fault::After("ADD", "ip6tables -F CNI-FORWARD")],
    run: |bench| {
        outside(bench)?;
        bench.run("ip", &["-n", "outside", "-6", "route", "add", "2001:db8::/64", "via", "2001:db8:ffff::1"])?;
        bench.run("ip6tables", &["-P", "FORWARD", "DROP"])?;
        chained(bench, iptables())?;
        answers(bench, "pod", "2001:db8:ffff::2")?;
        is_silent(bench, "outside", "2001:db8::5")
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/rules/01",
    rule: "FORWARD leads to CNI-FORWARD first, and that to CNI-ADMIN first.",
    faults: &[Fault::After("ADD", "iptables -F FORWARD"), Fault::After("ADD", "iptables -D CNI-FORWARD 1")],
    run: |bench| {
        bench.run("iptables", &["-A", "FORWARD", "-s", "10.55.0.0/16", "-j", "DROP"])?;
        chained(bench, iptables())?;
        let forward = bench.run("iptables", &["-S", "FORWARD", "1"])?;
        has(&forward, r#"-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD"#)?;
        let first = bench.run("iptables", &["-S", "CNI-FORWARD", "1"])?;
        has(&first, r#"-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN"#)
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/rules/02",
    rule: "Two rules for each address: answers to it, and everything from it.",
    faults: &[Fault::After("ADD", "ip6tables -F CNI-FORWARD"), Fault::Config("/prevResult/ips/0", "")],
    run: |bench| {
        chained(bench, iptables())?;
        let rules = filter(bench)?;
        for address in ["10.88.0.5/32", "2001:db8::5/128"] {
            has(&rules, &format!("-A CNI-FORWARD -d {address} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"))?;
            has(&rules, &format!("-A CNI-FORWARD -s {address} -j ACCEPT"))?;
        }
        Ok(())
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/rules/03",
    rule: "iptablesAdminChainName names the administrator's chain.",
    faults: &[Fault::Config("/iptablesAdminChainName", "")],
    run: |bench| {
        chained(bench, json!({ "backend": "iptables", "iptablesAdminChainName": "OURS" }))?;
        let rules = filter(bench)?;
        expect_that(rules.contains("-j OURS"), "a jump to OURS", rules)
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/rules/04",
    rule: "A rule in the administrator's chain wins.",
    faults: &[Fault::After("ADD", "iptables -F CNI-ADMIN"), Fault::After("ADD", "iptables -D CNI-FORWARD 1")],
    run: |bench| {
        outside(bench)?;
        bench.run("ip", &["-n", "outside", "route", "add", "10.88.0.0/24", "via", "192.0.2.1"])?;
        bench.run("iptables", &["-N", "CNI-ADMIN"])?;
        bench.run("iptables", &["-A", "CNI-ADMIN", "-s", "10.88.0.5", "-d", "192.0.2.2", "-j", "DROP"])?;
        chained(bench, iptables())?;
        answers(bench, "pod", "192.0.2.1")?;
        is_silent(bench, "pod", "192.0.2.2")
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/rules/05",
    rule: "A second ADD adds nothing.",
    faults: &[Fault::After("ADD", "iptables -A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT")],
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        bench.add(&config)?;
        let rules = filter(bench)?;
        let count = rules.lines().filter(|rule| *rule == "-A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT").count();
        expect("rules", &1, &count)
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/del/01",
    rule: "DEL removes the rules of the addresses in prevResult and leaves the shared chains and others' rules.",
    faults: &[Fault::Skip("DEL"), Fault::After("DEL", "iptables -F CNI-FORWARD")],
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        bench.run("iptables", &["-A", "CNI-FORWARD", "-s", "10.88.0.9/32", "-j", "ACCEPT"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = filter(bench)?;
        expect_that(!rules.contains("10.88.0.5") && !rules.contains("2001:db8::5"), "nothing of the pod", &rules)?;
        has(&rules, "-A CNI-FORWARD -s 10.88.0.9/32 -j ACCEPT")
    },
    ..FIREWALL
} }

submit! { Case {
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
} }

submit! { Case {
    id: "firewall/policy/01",
    rule: "ingressPolicy same-bridge lets pods of the bridge reach each other and drops what comes from another.",
    faults: &[Fault::Config("/ingressPolicy", ""), Fault::Config("/ingressPolicy", "open")],
    run: |bench| {
        chained(bench, json!({ "backend": "iptables", "ingressPolicy": "same-bridge" }))?;
        let rules = filter(bench)?;
        has(&rules, r#"-A CNI-ISOLATION-STAGE-1 -i br0 ! -o br0 -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)" -j CNI-ISOLATION-STAGE-2"#)?;
        has(&rules, r#"-A CNI-ISOLATION-STAGE-2 -o br0 -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)" -j DROP"#)
            .or_else(|_| has(&rules, r#"-A CNI-ISOLATION-STAGE-2 -o br0 -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)" -j DROP"#))
    },
    ..FIREWALL
} }

refused_chained!(FIREWALL, "firewall/policy/02", "Another ingressPolicy is refused and named.",
    { "backend": "iptables", "ingressPolicy": "closed" }, ["ingress policy", "closed"]);

submit! { Case {
    id: "firewall/result/01",
    rule: "The result is prevResult; ADD without one is refused.",
    faults: &[Fault::Result("/ips/1", ""), Fault::ExitZero],
    run: |bench| {
        let (_, result) = chained(bench, iptables())?;
        expect("ips", &wired(SpecVersion::V1_0_0)["ips"], &result["ips"])?;
        let config = with(bench, iptables());
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["missing prevResult"])
    },
    ..FIREWALL
} }

submit! { Case {
    id: "firewall/check/01",
    rule: "CHECK of healthy rules succeeds, and finds one gone.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = chained(bench, iptables())?;
        check_finds(bench, &config, &["iptables", "-D", "CNI-FORWARD", "-s", "10.88.0.5/32", "-j", "ACCEPT"])
    },
    ..FIREWALL
} }
