//! firewall: pods change hands between two suites while they run.

use crate::cases::{
    chained::*,
    firewall::{policy::*, *},
    packets::*,
    prelude::*,
    sight::*,
};

const TAKEOVER: Case = Case {
    set: Set::Takeover,
    versions: CHECKED,
    ..FIREWALL
};

/// ADD by the other plugin with iptables, which every release knows, behind [`wire`], with FORWARD closed; the
/// configuration as a runtime sends it afterwards to a plugin that chooses its backend itself.
fn added_by_other(bench: &mut Bench, changes: Value) -> Result<Value, Failure> {
    closed(bench)?;
    let config = behind(bench, changes)?;
    let mut by_iptables = config.clone();
    by_iptables["backend"] = json!("iptables");
    let result = bench.call_other("ADD", &by_iptables)?.reply()?.result()?;
    Ok(after_add(&config, &result))
}

/// Nothing of iptables or nftables knows the pod.
fn is_forgotten(bench: &mut Bench) -> Result<(), Failure> {
    let rules = filter(bench)? + &bench.watch("nft", &["list", "ruleset"])?;
    let knows = |line: &str| line.contains("10.88.0.5") || line.contains("2001:db8::5");
    expect_that(!rules.lines().any(knows), "no rule of the pod", rules)
}

submit!(Case {
    id: "takeover/firewall/01",
    rule: "CHECK of a pod that the other plugin let through succeeds, whatever this one's backend, and finds a rule gone.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = added_by_other(bench, json!({}))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        let rule = "-D CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT";
        let damage: Vec<&str> = ["iptables"].into_iter().chain(rule.split(' ')).collect();
        check_finds(bench, &config, &damage)
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/firewall/02",
    rule: "DEL removes the rules of a pod that the other plugin let through, of both families.",
    needs: &["iptables", "ip6tables", "nft", "ping"],
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/prevResult/ips/1", ""))
    ],
    run: |bench| {
        let config = added_by_other(bench, json!({}))?;
        answers(bench, "pod", "192.0.2.2")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_silent(bench, "pod", "192.0.2.2")?;
        is_silent(bench, "pod", "2001:db8:ffff::2")?;
        is_forgotten(bench)
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/firewall/03",
    rule: "The other plugin's CHECK of a pod that this one let through with iptables succeeds, its ADD adds nothing, and its DEL removes the rules.",
    needs: &["iptables", "ip6tables", "nft", "ping"],
    faults: &[
        Fault::After("ADD", "iptables -D CNI-FORWARD 1"),
        Fault::After("ADD", "iptables -A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT"),
        Fault::Skip("ADD")
    ],
    run: |bench| {
        closed(bench)?;
        let (config, _) = chained(bench, iptables())?;
        let rules = filter(bench)?
            .lines()
            .filter(|line| line.starts_with("-A"))
            .count();
        for command in ["CHECK", "ADD", "DEL"] {
            bench.call_other(command, &config)?.reply()?.succeeds()?;
            let now = filter(bench)?
                .lines()
                .filter(|line| line.starts_with("-A"))
                .count();
            if command != "DEL" {
                expect("rules", &rules, &now)?;
            }
        }
        is_forgotten(bench)
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/firewall/04",
    rule: "Bridges that the other plugin keeps apart with iptables are kept apart from those of this one, whatever its backend.",
    faults: &[
        Fault::Config("/ingressPolicy", "open"),
        Fault::After("ADD", "iptables -F CNI-ISOLATION-STAGE-2")
    ],
    run: |bench| {
        let policy = json!({ "ingressPolicy": "same-bridge" });
        let config = added_by_other(bench, policy.clone())?;
        bench.run("ip", &["link", "add", "br1", "type", "bridge"])?;
        let far = place(bench, "far", "br1", 99)?;
        let mut other = with(bench, policy);
        other["prevResult"] = far;
        let call = bench.call("ADD", &other).env("CNI_CONTAINERID", "far");
        call.env("CNI_NETNS", "/run/netns/far")
            .reply()?
            .succeeds()?;
        for at in [FOUR, SIX] {
            answers(bench, "pod", at.outside)?;
            is_silent(bench, "far", at.pod)?;
            is_silent(bench, "pod", at.far)?;
        }
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..TAKEOVER
});
