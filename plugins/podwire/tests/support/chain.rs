//! A chain of plugins, run as a runtime runs it: each with the result of the one before, and DEL in
//! reverse order with the result of all.

use std::{collections::BTreeSet, ffi::OsStr, path::Path, process::Command};

use serde_json::{Value, json};

use super::{Answer, Call, Node};

/// A network's plugins.
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// Their configurations, in the order of ADD.
    pub(crate) plugins: Vec<Value>,
}

impl Chain {
    /// What a Kubernetes node has: bridge with host-local, portmap, bandwidth, firewall, tuning.
    pub(crate) fn of_a_node() -> Self {
        Self {
            name: "net",
            plugins: vec![
                json!({
                    "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
                    "ipam": { "type": "host-local", "ranges": [
                        [{ "subnet": "10.22.0.0/24" }], [{ "subnet": "fd22::/64" }]
                    ] },
                }),
                json!({ "type": "portmap" }),
                json!({
                    "type": "bandwidth", "ingressRate": 100_000_000, "ingressBurst": 1_000_000,
                    "egressRate": 100_000_000, "egressBurst": 1_000_000,
                }),
                json!({ "type": "firewall" }),
                json!({
                    "type": "tuning", "mtu": 1400,
                    "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" },
                }),
            ],
        }
    }

    /// The whole configuration of one plugin for one call.
    pub(crate) fn config(&self, plugin: &Value, pod: &Pod, result: Option<&Value>) -> String {
        let mut config = plugin.clone();
        config["cniVersion"] = "1.0.0".into();
        config["name"] = self.name.into();
        if plugin["type"] == "portmap" {
            config["runtimeConfig"] = json!({ "portMappings": [
                { "hostPort": pod.port, "containerPort": 80, "protocol": "tcp" }
            ] });
        }
        if let Some(result) = result {
            config["prevResult"] = result.clone();
        }
        config.to_string()
    }

    /// ADD of every plugin; ends with the first that fails.
    pub(crate) fn add(&self, node: &Node, pod: &Pod) -> Result<Value, Answer> {
        self.add_up_to(node, pod, self.plugins.len())
    }

    /// ADD of the first `count` plugins.
    pub(crate) fn add_up_to(&self, node: &Node, pod: &Pod, count: usize) -> Result<Value, Answer> {
        let mut result = Value::Null;
        for plugin in &self.plugins[..count] {
            let previous = Some(&result).filter(|result| !result.is_null());
            let answer = pod.call(node, "ADD", plugin, &self.config(plugin, pod, previous));
            if answer.exit != Some(0) {
                return Err(answer);
            }
            result = answer.json();
        }
        Ok(result)
    }

    /// CHECK of every plugin; the failures.
    pub(crate) fn check(&self, node: &Node, pod: &Pod, result: &Value) -> Vec<Answer> {
        let plugins = self.plugins.iter();
        let answers = plugins.map(|plugin| {
            pod.call(
                node,
                "CHECK",
                plugin,
                &self.config(plugin, pod, Some(result)),
            )
        });
        answers.filter(|answer| answer.exit != Some(0)).collect()
    }

    /// DEL of every plugin, whatever the others say; the failures.
    pub(crate) fn del(&self, node: &Node, pod: &Pod, result: Option<&Value>) -> Vec<Answer> {
        let plugins = self.plugins.iter().rev();
        let answers =
            plugins.map(|plugin| pod.call(node, "DEL", plugin, &self.config(plugin, pod, result)));
        answers.filter(|answer| answer.exit != Some(0)).collect()
    }
}

/// Who is attached.
pub(crate) struct Pod {
    pub(crate) container: String,
    pub(crate) netns: String,
    pub(crate) port: u16,
}

impl Pod {
    pub(crate) fn call(&self, node: &Node, command: &str, plugin: &Value, config: &str) -> Answer {
        Call {
            executable: &node.plugin(plugin["type"].as_str().unwrap()),
            command,
            container: &self.container,
            config,
            env: &[("CNI_NETNS", OsStr::new(&self.netns))],
        }
        .run()
    }
}

/// What pods leave on a node, a line each: links and addresses, routes, rules of all kinds, shapers,
/// files. What changes by itself (counters, states, order) is not in it.
pub(crate) fn state() -> Vec<String> {
    let commands = [
        "ip -br link",
        "ip -br addr",
        "ip -4 route show table all",
        "ip -6 route show table all",
        "ip rule",
        "tc qdisc",
        "nft list ruleset",
        "iptables-save",
        "ip6tables-save",
    ];
    let mut lines: Vec<String> = commands.iter().flat_map(|command| look(command)).collect();
    for directory in ["/var/lib/cni", "/run/cni", "/run/podwire"] {
        list(Path::new(directory), &mut lines);
    }
    lines.sort();
    lines
}

/// Lines of `now` that were not there.
pub(crate) fn more(now: &[String], before: &BTreeSet<String>) -> Vec<String> {
    now.iter()
        .filter(|line| !before.contains(*line))
        .cloned()
        .collect()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the kernel is looked at from outside"
)]
fn look(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !is_passing(line));
    let stable = |line: &str| match words.get(1).copied() {
        // A bridge's state and its link-local address come and go with its ports.
        Some("-br") => line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
        _ => without_counts(line),
    };
    lines
        .map(|line| format!("{command}: {}", stable(line)))
        .collect()
}

/// Counters of packets and bytes count.
fn without_counts(line: &str) -> String {
    let is_count = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    let words = line.split(' ');
    let words = words.filter(|word| !line.contains("counter") || !is_count(word));
    words.collect::<Vec<_>>().join(" ")
}

/// Comments with times, counters, and what the kernel makes of a bridge that has ports.
fn is_passing(line: &str) -> bool {
    line.is_empty()
        || line.starts_with('#')
        || line.starts_with(':')
        || line.contains("proto kernel")
        || line.contains("linkdown")
}

fn list(directory: &Path, lines: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            // An index of reservations, made when there are many.
            Ok(kind) if kind.is_dir() && entry.path().ends_with("podwire/host-local") => {}
            Ok(kind) if kind.is_dir() => list(&entry.path(), lines),
            _ => lines.push(format!("file: {}", entry.path().display())),
        }
    }
}
