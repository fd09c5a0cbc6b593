//! A whole chain of plugins, added by one suite, checked and deleted by the other, both ways: a pod on
//! a bridge that masquerades, with a port of the host, limits, firewall rules, and a tuned interface.

use std::path::PathBuf;

use crate::cases::{bandwidth::IFB, prelude::*, sight::*};

const CHAIN: Case = Case {
    judges: Judges::Only(&["bridge"]),
    set: Set::Takeover,
    versions: CHECKED,
    needs: &[
        "plugin:portmap",
        "plugin:bandwidth",
        "plugin:firewall",
        "plugin:tuning",
        "link:ifb",
        "iptables-save",
        "ip6tables-save",
        "nft",
    ],
    ..COMPAT
};

/// Whose plugins are called.
#[derive(Clone, Copy)]
enum Whose {
    /// The judged directory's.
    Own,
    /// Those that were here before.
    Others,
}
use Whose::{Others, Own};

/// The list, in the order of ADD. Rules are iptables', which both suites have.
fn list_of(bench: &Bench) -> [Value; 5] {
    let ports = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]);
    let mut plugins = [
        with(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": dual() }),
        ),
        json!({ "type": "portmap", "backend": "iptables", "runtimeConfig": { "portMappings": ports } }),
        json!({ "type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 800_000,
                "egressRate": 16_000_000, "egressBurst": 1_600_000 }),
        json!({ "type": "firewall", "backend": "iptables" }),
        json!({ "type": "tuning", "mtu": 1400, "mac": "02:00:00:00:00:55",
                "sysctl": { "net.core.somaxconn": "500" } }),
    ];
    for plugin in &mut plugins {
        plugin["name"] = json!(crate::plugins::NETWORK);
        plugin["cniVersion"] = bench.version.as_str().into();
        plugin["type"] = plugin["type"].as_str().unwrap_or("bridge").into();
    }
    plugins
}

fn call(
    bench: &mut Bench,
    whose: Whose,
    command: &str,
    plugin: &Value,
    previous: Option<&Value>,
) -> Result<Reply, Failure> {
    let mut request = plugin.clone();
    if let Some(previous) = previous {
        request["prevResult"] = previous.clone();
    }
    let name = plugin["type"].as_str().unwrap_or_default();
    let call = match whose {
        Own => {
            let directory: PathBuf = bench.dir_of(name).unwrap_or_default();
            bench.call(command, &request).of(&directory, name)
        }
        Others => bench.call_other(command, &request)?.named(name),
    };
    Ok(call.reply()?)
}

/// ADD of all, each with the result of the one before; the last result.
fn add(bench: &mut Bench, whose: Whose) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let mut result = None;
    for plugin in list_of(bench) {
        result = Some(call(bench, whose, "ADD", &plugin, result.as_ref())?.result()?);
    }
    Ok(result.unwrap_or_default())
}

/// CHECK of all but portmap: that of 1.1.1 looks for IPv4's rules among IPv6's, and fails on its own
/// pods as well.
fn check(bench: &mut Bench, whose: Whose, result: &Value) -> Result<(), Failure> {
    let plugins = list_of(bench);
    for plugin in plugins.iter().filter(|plugin| plugin["type"] != "portmap") {
        call(bench, whose, "CHECK", plugin, Some(result))?.succeeds_silently()?;
    }
    Ok(())
}

/// DEL of all in reverse; nothing is left on the node.
fn del(bench: &mut Bench, whose: Whose, result: &Value) -> Result<(), Failure> {
    let before = traces(bench)?;
    expect_that(!before.is_empty(), "the pod has rules and an ifb", "none")?;
    for plugin in list_of(bench).iter().rev() {
        call(bench, whose, "DEL", plugin, Some(result))?.succeeds_silently()?;
    }
    nothing_left(bench)?;
    expect("rules, ifb and files", &list(&[]), &traces(bench)?)
}

/// Rules that name the pod, its ifb, and what tuning keeps.
fn traces(bench: &mut Bench) -> Result<Vec<String>, Failure> {
    let mut traces = files("/run/cni/tuning");
    traces.extend(links(bench, HOST)?.into_iter().filter(|name| name == IFB));
    for (program, args) in [
        ("iptables-save", &[][..]),
        ("ip6tables-save", &[]),
        ("nft", &["list", "ruleset"]),
    ] {
        let text = bench.run(program, args)?;
        let of_pod = |line: &&str| {
            let words = ["10.88.0.2", "2001:db8::2", "ctr1"];
            words.iter().any(|word| line.contains(word))
        };
        traces.extend(text.lines().filter(of_pod).map(str::to_owned));
    }
    Ok(traces)
}

submit!(Case {
    id: "takeover/chain/01",
    rule: "CHECK of the plugins of a chain that the other suite added succeeds.",
    faults: &[Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let result = add(bench, Others)?;
        check(bench, Own, &result)
    },
    ..CHAIN
});

submit!(Case {
    id: "takeover/chain/02",
    rule: "DEL of all plugins of a chain removes everything that the other suite made.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", "=false"))
    ],
    run: |bench| {
        let result = add(bench, Others)?;
        del(bench, Own, &result)
    },
    ..CHAIN
});
