//! firewall: ingressPolicy, with real packets between pods of one bridge and of two.

use crate::cases::{chained::*, firewall::*, packets::*, prelude::*, sight::*};

/// `isolated` laid over 1.1.1, which knows `same-bridge` alone.
const ISOLATED: &[Fault] = &[Fault::Instead(
    "ADD",
    r#"config=$(cat); policy=$(echo "$config" | jq -r .ingressPolicy)
    [ "$policy" != isolated ] || config=$(echo "$config" | jq '.ingressPolicy = "same-bridge"')
    echo "$config" | "$REAL" || exit
    [ "$policy" = isolated ] || exit 0
    for tables in iptables ip6tables; do
        $tables -C CNI-ISOLATION-STAGE-1 -i br0 -o br0 -j DROP || $tables -I CNI-ISOLATION-STAGE-1 -i br0 -o br0 -j DROP
    done"#,
)];

/// Addresses of one family: of the pod, of `near` on the same bridge in another subnet, of `far`
/// on another bridge, of the machine outside.
pub(super) struct Places {
    pub(super) pod: &'static str,
    near: &'static str,
    pub(super) far: &'static str,
    pub(super) outside: &'static str,
}

pub(super) const FOUR: Places = Places {
    pod: "10.88.0.5",
    near: "10.98.0.5",
    far: "10.99.0.5",
    outside: "192.0.2.2",
};
pub(super) const SIX: Places = Places {
    pod: "2001:db8::5",
    near: "2001:db8:98::5",
    far: "2001:db8:99::5",
    outside: "2001:db8:ffff::2",
};

fn policy(name: &str) -> Value {
    json!({ "backend": "iptables", "ingressPolicy": name })
}

/// A pod in a subnet of its own on this bridge, through which the host leads its packets also to
/// pods of the same bridge: 10.`net`.0.5 and 2001:db8:`net`::5; the result that made it.
pub(super) fn place(
    bench: &mut Bench,
    name: &str,
    bridge: &str,
    net: u8,
) -> Result<Value, Failure> {
    bench.pod(name)?;
    without_dad(bench, name)?;
    for line in [
        format!("link add v{name} type veth peer name eth0 netns {name}"),
        format!("link set v{name} master {bridge} up"),
        format!("link set {bridge} up"),
        format!("address add 10.{net}.0.1/24 dev {bridge}"),
        format!("address add 2001:db8:{net}::1/64 dev {bridge} nodad"),
        format!("-n {name} link set eth0 up"),
        format!("-n {name} address add 10.{net}.0.5/24 dev eth0"),
        format!("-n {name} address add 2001:db8:{net}::5/64 dev eth0 nodad"),
        format!("-n {name} route add default via 10.{net}.0.1"),
        format!("-n {name} -6 route add default via 2001:db8:{net}::1"),
    ] {
        bench.run("ip", &line.split(' ').collect::<Vec<_>>())?;
    }
    Ok(json!({
        "cniVersion": bench.version.as_str(),
        "interfaces": [
            { "name": bridge },
            { "name": format!("v{name}") },
            { "name": "eth0", "sandbox": format!("/run/netns/{name}") },
        ],
        "ips": [
            { "address": format!("10.{net}.0.5/24"), "interface": 2 },
            { "address": format!("2001:db8:{net}::5/64"), "interface": 2 },
        ],
    }))
}

/// [`wire`]'s pod and a pod `near` on br0, a pod `far` on br1, and a machine outside that knows the
/// way to them; ADD of the three with these policies. The configuration of the first.
fn populate(bench: &mut Bench, policies: [&str; 2]) -> Result<Value, Failure> {
    let policies = policies.map(policy);
    populate_with(bench, &policies)
}

/// The same with whole configurations.
fn populate_with(bench: &mut Bench, policies: &[Value; 2]) -> Result<Value, Failure> {
    outside(bench)?;
    for (family, pods, host) in [
        ("-4", "10.0.0.0/8", "192.0.2.1"),
        ("-6", "2001:db8::/32", "2001:db8:ffff::1"),
    ] {
        bench.run(
            "ip",
            &["-n", "outside", family, "route", "add", pods, "via", host],
        )?;
    }
    let config = behind(bench, policies[0].clone())?;
    let near = place(bench, "near", "br0", 98)?;
    bench.run("ip", &["link", "add", "br1", "type", "bridge"])?;
    let far = place(bench, "far", "br1", 99)?;
    bench.add(&config)?;
    for (name, policy, result) in [("near", &policies[0], near), ("far", &policies[1], far)] {
        add_other(bench, name, policy, result)?;
    }
    Ok(config)
}

/// ADD of a pod that [`place`] made.
fn add_other(bench: &mut Bench, name: &str, by: &Value, result: Value) -> Result<(), Failure> {
    let mut config = with(bench, by.clone());
    config["prevResult"] = result;
    let netns = format!("/run/netns/{name}");
    let call = bench.call("ADD", &config).env("CNI_CONTAINERID", name);
    call.env("CNI_NETNS", &netns).reply()?.succeeds()
}

/// Pod and outside reach each other.
fn is_open(bench: &mut Bench, at: &Places) -> Result<(), Failure> {
    answers(bench, "pod", at.outside)?;
    answers(bench, "outside", at.pod)
}

submit!(Case {
    id: "firewall/policy/01",
    rule: "ingressPolicy same-bridge lets pods of the bridge reach each other and drops what comes from another.",
    faults: &[
        Fault::Config("/ingressPolicy", ""),
        Fault::Config("/ingressPolicy", "open")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "backend": "iptables", "ingressPolicy": "same-bridge" }),
        )?;
        let rules = filter(bench)?;
        has(
            &rules,
            r#"-A CNI-ISOLATION-STAGE-1 -i br0 ! -o br0 -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)" -j CNI-ISOLATION-STAGE-2"#,
        )?;
        has(&rules, r#"-A CNI-ISOLATION-STAGE-2 -o br0 -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)" -j DROP"#)
            .or_else(|_| has(&rules, r#"-A CNI-ISOLATION-STAGE-2 -o br0 -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)" -j DROP"#))
    },
    ..FIREWALL
});

refused_chained!(FIREWALL, "firewall/policy/02", "Another ingressPolicy is refused and named.",
    { "backend": "iptables", "ingressPolicy": "closed" }, ["ingress policy", "closed"]);

fn same_bridge(bench: &mut Bench, at: &Places) -> Result<(), Failure> {
    populate(bench, ["same-bridge"; 2])?;
    is_open(bench, at)?;
    answers(bench, "pod", at.near)?;
    answers(bench, "near", at.pod)?;
    is_silent(bench, "far", at.pod)?;
    is_silent(bench, "pod", at.far)
}

submit!(Case {
    id: "firewall/policy/03",
    rule: "With same-bridge pods of one bridge and machines outside reach the pod, pods of another bridge do not.",
    faults: &[
        Fault::Config("/ingressPolicy", ""),
        Fault::After(
            "ADD",
            "iptables -I CNI-ISOLATION-STAGE-1 -i br0 -o br0 -j DROP"
        ),
        Fault::After("ADD", "iptables -P FORWARD DROP")
    ],
    run: |bench| same_bridge(bench, &FOUR),
    ..FIREWALL
});

submit!(Case {
    id: "firewall/policy/04",
    rule: "The same holds for same-bridge over IPv6.",
    faults: &[
        Fault::Config("/ingressPolicy", ""),
        Fault::After("ADD", "ip6tables -F CNI-ISOLATION-STAGE-2")
    ],
    run: |bench| same_bridge(bench, &SIX),
    ..FIREWALL
});

fn isolated(bench: &mut Bench, at: &Places) -> Result<(), Failure> {
    populate(bench, ["isolated"; 2])?;
    is_open(bench, at)?;
    is_silent(bench, "near", at.pod)?;
    is_silent(bench, "far", at.pod)
}

submit!(Case {
    id: "firewall/policy/05",
    rule: "With isolated machines outside reach the pod, other pods do not, whatever their bridge.",
    faults: &[
        Fault::Config("/ingressPolicy", "same-bridge"),
        Fault::Config("/ingressPolicy", ""),
        Fault::After("ADD", "iptables -P FORWARD DROP")
    ],
    repairs: ISOLATED,
    run: |bench| isolated(bench, &FOUR),
    ..FIREWALL
});

submit!(Case {
    id: "firewall/policy/06",
    rule: "The same holds for isolated over IPv6.",
    faults: &[
        Fault::Config("/ingressPolicy", "same-bridge"),
        Fault::After("ADD", "ip6tables -F CNI-ISOLATION-STAGE-2")
    ],
    repairs: ISOLATED,
    run: |bench| isolated(bench, &SIX),
    ..FIREWALL
});

submit!(Case {
    id: "firewall/policy/07",
    rule: "With open, and with an empty policy, pods of any bridge reach each other.",
    faults: &[Fault::Config("/ingressPolicy", "same-bridge")],
    run: |bench| {
        populate(bench, ["open", ""])?;
        for at in [FOUR, SIX] {
            is_open(bench, &at)?;
            answers(bench, "pod", at.near)?;
            answers(bench, "far", at.pod)?;
            answers(bench, "pod", at.far)?;
        }
        Ok(())
    },
    ..FIREWALL
});

refused_chained!(FIREWALL, "firewall/policy/08", "same-bridge without interfaces in prevResult is refused.",
    { "backend": "iptables", "ingressPolicy": "same-bridge",
      "prevResult": { "cniVersion": "1.0.0", "ips": [{ "address": "10.88.0.5/24" }] } },
    ["interface needs to be set", "same-bridge", "bridge"]);
refused_chained!(FIREWALL, "firewall/policy/09", "same-bridge with a bridge that has no name is refused.",
    { "backend": "iptables", "ingressPolicy": "same-bridge",
      "prevResult": { "cniVersion": "1.0.0", "interfaces": [{ "name": "" }], "ips": [{ "address": "10.88.0.5/24" }] } },
    ["empty bridge name"]);

submit!(Case {
    id: "firewall/policy/10",
    rule: "A second ADD with a policy adds nothing.",
    faults: &[
        Fault::After("ADD", "iptables -I FORWARD -j CNI-ISOLATION-STAGE-1"),
        Fault::After("ADD", "ip6tables -A CNI-ISOLATION-STAGE-2 -o br0 -j DROP")
    ],
    run: |bench| {
        let (config, _) = chained(bench, policy("same-bridge"))?;
        let rules = |bench: &mut Bench| -> Result<Vec<String>, Failure> {
            let all = filter(bench)?;
            Ok(all
                .lines()
                .filter(|rule| rule.starts_with("-A"))
                .map(str::to_owned)
                .collect())
        };
        let before = rules(bench)?;
        bench.add(&config)?;
        expect("rules", &before, &rules(bench)?)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/policy/11",
    rule: "DEL of one pod leaves the others protected.",
    faults: &[
        Fault::After("DEL", "iptables -F CNI-ISOLATION-STAGE-1"),
        Fault::Config("/ingressPolicy", "open")
    ],
    run: |bench| {
        let config = populate(bench, ["same-bridge"; 2])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        answers(bench, "near", FOUR.outside)?;
        is_silent(bench, "far", FOUR.near)?;
        answers(bench, "near", SIX.outside)?;
        is_silent(bench, "far", SIX.near)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/policy/12",
    rule: "Bridges have their policies side by side: one isolated, pods of the other reach each other, and nothing crosses.",
    faults: &[
        Fault::Config("/ingressPolicy", "same-bridge"),
        Fault::Config("/ingressPolicy", "open"),
        Fault::After(
            "ADD",
            "iptables -I CNI-ISOLATION-STAGE-1 -i br1 -o br1 -j DROP"
        )
    ],
    repairs: ISOLATED,
    run: |bench| {
        populate(bench, ["isolated", "same-bridge"])?;
        let beside = place(bench, "beside", "br1", 97)?;
        add_other(bench, "beside", &policy("same-bridge"), beside)?;
        is_open(bench, &FOUR)?;
        answers(bench, "far", "10.97.0.5")?;
        is_silent(bench, "near", FOUR.pod)?;
        is_silent(bench, "far", FOUR.pod)?;
        is_silent(bench, "pod", FOUR.far)
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/policy/13",
    rule: "same-bridge holds without a backend as well, in both families.",
    faults: &[
        Fault::Config("/ingressPolicy", "open"),
        Fault::After("ADD", "iptables -I FORWARD -i br0 -o br0 -j DROP"),
        Fault::After("ADD", "ip6tables -P FORWARD DROP; ip6tables -F FORWARD")
    ],
    run: |bench| {
        let policy = json!({ "ingressPolicy": "same-bridge" });
        populate_with(bench, &[policy.clone(), policy])?;
        for at in [FOUR, SIX] {
            is_open(bench, &at)?;
            answers(bench, "near", at.pod)?;
            is_silent(bench, "far", at.pod)?;
            is_silent(bench, "pod", at.far)?;
        }
        Ok(())
    },
    ..FIREWALL
});

submit!(Case {
    id: "firewall/policy/14",
    rule: "isolated holds without a backend as well, in both families.",
    faults: &[
        Fault::Config("/ingressPolicy", "same-bridge"),
        Fault::Config("/ingressPolicy", "open")
    ],
    repairs: ISOLATED,
    run: |bench| {
        let policy = json!({ "ingressPolicy": "isolated" });
        populate_with(bench, &[policy.clone(), policy])?;
        for at in [FOUR, SIX] {
            is_open(bench, &at)?;
            is_silent(bench, "near", at.pod)?;
            is_silent(bench, "far", at.pod)?;
        }
        Ok(())
    },
    ..FIREWALL
});
